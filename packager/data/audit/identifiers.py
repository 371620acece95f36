"""Patient identifiers in text: found, counted, replaced; never shown.

CPF and CNS are recognized by their check digits, and where they are written without separators also
by context (random digits pass the check at 1.0 % and 4.5 %). Phones are recognized in the Brazilian
forms, names after "paciente" and the like. Public numbers (0800, 4004, three digits) are no
identifiers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from packager.data.audit.duplicates import normalise

KINDS = ("CPF", "CNS", "TELEFONE", "E-MAIL", "NOME")

_CPF = re.compile(r"(?<![\d.,-])(\d{3})([. ]?)(\d{3})([. ]?)(\d{3})([-–. /]?)(\d{2})(?![\d]|[.,]\d)")
_CNS = re.compile(r"(?<![\d.,-])([1-2789]\d{2})([. -]?)(\d{4})([. -]?)(\d{4})([. -]?)(\d{4})(?![\d]|[.,]\d)")
_PHONE = re.compile(
    r"(?<![\d.,/-])(?P<country>\+?55[ -]?)?(?P<area>\(0?[1-9]\d\) ?|0?[1-9]\d[ -])?"
    r"(?P<number>9[ .]?\d{4}[ .-]?\d{4}|[2-5]\d{3}[ .-]?\d{4})(?![\d]|[.,/-]\d)"
)
_BARE_MOBILE = re.compile(r"(?<![\d.,/-])(?:\+?55)?[1-9]\d9\d{8}(?![\d]|[.,/-]\d)")
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]+@(?:[\w-]+\.)+[^\W\d_]{2,}(?![\w-])")
_CPF_CONTEXT = re.compile(r"\b(?:cpf|documento|paciente|prontu[áa]rio|nascid[oa]|nascimento)\b", re.IGNORECASE)
_CNS_CONTEXT = re.compile(r"\b(?:cns|cart[ãa]o|sus|paciente|prontu[áa]rio)\b", re.IGNORECASE)
_PHONE_CONTEXT = re.compile(r"\b(?:tel|telefone|fone|celular|whats\w*|zap|contato|ligar|ligue|recado)\b", re.IGNORECASE)
_CONTEXT_CHARACTERS = 80

# The commonest given names of Brazil (without accents): with one of them, case does not matter.
_GIVEN_TEXT = """
    maria jose ana joao antonio francisco carlos paulo pedro lucas luiz luis marcos rafael daniel marcelo
    bruno eduardo felipe raimundo rodrigo manoel manuel mateus matheus andre fernando fabio leonardo gustavo
    guilherme leandro tiago thiago anderson ricardo marcio jorge sebastiao alexandre roberto edson diego vitor
    victor sergio claudio gabriel arthur artur miguel heitor davi bernardo samuel enzo joaquim benedito geraldo
    severino cicero mario wilson nelson otavio vicente renato rogerio adriano cristiano flavio wagner gilberto
    francisca antonia adriana juliana marcia fernanda patricia aline sandra camila amanda bruna jessica leticia
    julia luciana vanessa mariana gabriela vera vitoria larissa claudia beatriz luana rita sonia renata eliane
    josefa simone natalia cristiane carla debora rosangela jaqueline rosa daniela aparecida marlene terezinha
    raimunda andreia fabiana lucia raquel angela rafaela joana luzia elaine silvia sueli alice helena laura
    sophia sofia isabella isabela valentina cecilia lorena livia giovanna manuela heloisa tereza teresa
    benedita conceicao regina cristina monica viviane tatiane priscila michele bianca sabrina kaua
"""
_GIVEN = frozenset(_GIVEN_TEXT.split())
_SURNAMES_TEXT = """
    silva santos oliveira souza sousa lima pereira ferreira costa rodrigues almeida nascimento alves
    carvalho araujo ribeiro gomes martins rocha barbosa cardoso correia dias fernandes teixeira cavalcante
    cavalcanti moreira mendes nunes vieira freitas moura machado lopes soares barros ramos batista
"""
_SURNAMES = frozenset(_SURNAMES_TEXT.split())
_NO_NAMES_TEXT = """
    testemunha testemunhas ministerio secretaria secretario unidade hospital clinica servico sistema programa
    estrategia atencao saude sus caps ubs usf nasf rede centro instituto universidade estatuto lei politica
    plano carteira caderneta cartao prontuario conselho agente equipe enfermeira enfermeiro medico medica
    """
_NO_NAMES = frozenset(_NO_NAMES_TEXT.split())
_WORD = r"[^\W\d_]+(?:['’-][^\W\d_]+)*"
_PARTICLE = r"(?:d[aeo]s?)"
_NAME = re.compile(
    rf"(?<!\w)(?P<lead>(?:[Nn]ome(?: completo)?(?: d[oa] paciente)?|NOME(?: DO PACIENTE)?)[ ]?:[ ]*"
    rf"|(?:(?:[Pp]acientes?|PACIENTES?)|[Pp]cte?\.?|[Uu]suári[oa]|[Gg]estante)(?:[ ]?:[ ]*|,?[ ]+)"
    rf"(?:(?:de nome|chamad[oa]|(?:[Ss]r|[Ss]ra|[Dd]ona?|[Dd]r|[Dd]ra)\b\.?)[ ]+)?)"
    rf"(?P<name>{_WORD}(?:[ ](?:{_PARTICLE}[ ])?{_WORD}){{0,5}})"
)


def redact(text: str) -> tuple[str, tuple[str, ...]]:
    """The text with each identifier replaced by `[CPF]` and the like, and the kinds found, in order.

    Longer numbers are looked for first, so that a CNS is not taken for a phone.
    """
    kinds: list[str] = []
    for kind, find in _FINDERS.items():
        pieces, end = [], 0
        for start, stop in find(text):
            pieces += [text[end:start], f"[{kind}]"]
            end = stop
            kinds.append(kind)
        text = "".join([*pieces, text[end:]])
    return text, tuple(kinds)


def valid_cpf(digits: str) -> bool:
    """Whether 11 digits carry the two check digits of a CPF (Receita Federal; equal digits are void)."""
    if len(set(digits)) == 1:
        return False
    for length in (9, 10):
        total = sum(int(d) * (length + 1 - i) for i, d in enumerate(digits[:length]))
        if int(digits[length]) != total * 10 % 11 % 10:
            return False
    return True


def valid_cns(digits: str) -> bool:
    """Whether 15 digits are a CNS: weights 15 to 1, sum divisible by 11 (Ministério da Saúde, e-SUS)."""
    return digits[0] in "12789" and sum(int(d) * (15 - i) for i, d in enumerate(digits)) % 11 == 0


def _cpfs(text: str) -> Iterator[tuple[int, int]]:
    for found in _CPF.finditer(text):
        digits = re.sub(r"\D", "", found[0])
        separated = sum(bool(found[i]) for i in (2, 4, 6)) >= 2
        if valid_cpf(digits) and (separated or _near(text, found, _CPF_CONTEXT)):
            yield found.span()


def _cnss(text: str) -> Iterator[tuple[int, int]]:
    for found in _CNS.finditer(text):
        separated = all(found[i] for i in (2, 4, 6))
        if valid_cns(re.sub(r"\D", "", found[0])) and (separated or _near(text, found, _CNS_CONTEXT)):
            yield found.span()


def _phones(text: str) -> Iterator[tuple[int, int]]:
    """With an area code, in brackets or before a hyphen, or with a word such as `telefone` near it."""
    spans = []
    for found in _PHONE.finditer(text):
        separated = re.search(r"-\d{4}$", found["number"]) or (found["area"] or "").startswith("(")
        if (found["area"] and separated) or _near(text, found, _PHONE_CONTEXT):
            spans.append(found.span())
    spans += [m.span() for m in _BARE_MOBILE.finditer(text) if m[0][0] == "+" or _near(text, m, _PHONE_CONTEXT)]
    end = 0
    for start, stop in sorted(spans):
        if start >= end:
            yield start, stop
            end = stop


def _emails(text: str) -> Iterator[tuple[int, int]]:
    return (found.span() for found in _EMAIL.finditer(text))


def _names(text: str) -> Iterator[tuple[int, int]]:
    for found in _NAME.finditer(text):
        length = _name_length(found["lead"], found["name"], text[found.end("name") :])
        if length:
            start = found.start("name")
            yield start, start + length


def _name_length(lead: str, candidate: str, after: str) -> int:
    """How many characters of `candidate`, the words after `lead`, are a person's name (0: none).

    A given name that is common in Brazil is one in any case; other words must be capitalized, at
    least two of them, after a lead that is not itself capitalized as in a heading, or `Nome:`.
    """
    words = list(re.finditer(_WORD, candidate))
    if normalise(words[0][0]) in _NO_NAMES:
        return 0
    known = normalise(words[0][0]) in _GIVEN
    shouted = candidate.isupper()
    if known and not words[0][0][0].isupper():
        return _lower_case_name(words)
    taken = 0
    for number, word in enumerate(words):
        particle = re.fullmatch(_PARTICLE, word[0], re.IGNORECASE) is not None
        if not word[0][0].isupper() and not particle:
            break
        if not particle:
            taken = number + 1
    capitalized = sum(re.fullmatch(_PARTICLE, w[0], re.IGNORECASE) is None for w in words[:taken])
    labelled = ":" in lead
    plain_lead = lead[0].islower() and not shouted
    aged = taken == len(words) and re.match(r",? \d{1,3} ?(?:anos?|a\b|meses)", after) is not None
    if known or (capitalized >= 2 and (labelled or plain_lead or aged)):
        return words[taken - 1].end() if taken else 0
    return 0


def _lower_case_name(words: Sequence[re.Match[str]]) -> int:
    """`maria da silva`: common given names and surnames, and whatever follows a particle."""
    end, number = 0, 0
    while number < len(words):
        plain = normalise(words[number][0])
        if plain in _GIVEN or plain in _SURNAMES:
            number += 1
        elif re.fullmatch(_PARTICLE, words[number][0]) and number + 1 < len(words):
            number += 2
        else:
            break
        end = words[number - 1].end()
    return end


def _near(text: str, found: re.Match[str], context: re.Pattern[str]) -> bool:
    start = max(0, found.start() - _CONTEXT_CHARACTERS)
    return context.search(text[start : found.end() + _CONTEXT_CHARACTERS // 2]) is not None


_FINDERS: dict[str, Callable[[str], Iterator[tuple[int, int]]]] = {
    "CNS": _cnss,
    "CPF": _cpfs,
    "E-MAIL": _emails,
    "TELEFONE": _phones,
    "NOME": _names,
}
