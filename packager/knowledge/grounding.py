"""An answer + the passages it was written from -> the answer with every sentence struck that they do not carry.

A sentence stands when each number with its unit, and all but a few of its content words, are in one of the passages.
It judges words, not meaning: a negation that was turned round is only caught where the passage has none of its words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from packager.knowledge.variants import without_accents

STRUCK = "[Frase retirada: não está no material aprovado.]"
CARRIED = 0.8
"""Of a sentence's content words, the share that must stand in the passages; the rest is what joins them."""
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=\S)|\n+")
_TOKEN = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+|[%°]")
_TO_TWENTY = """zero|um uma|dois duas|tres|quatro|cinco|seis|sete|oito|nove|dez|onze|doze|treze|quatorze catorze|quinze|
    dezesseis|dezessete|dezoito|dezenove|vinte"""
_NUMBERS = {word: number for number, words in enumerate(_TO_TWENTY.split("|")) for word in words.split()} | {
    "trinta": 30, "quarenta": 40, "cinquenta": 50, "sessenta": 60, "setenta": 70, "oitenta": 80, "noventa": 90,
    "cem": 100, "cento": 100, "duzentos": 200, "trezentos": 300, "quatrocentos": 400, "quinhentos": 500, "mil": 1000,
}  # fmt: skip
_ARTICLES = {"um", "uma"}
"""They are far oftener articles than numbers."""
_UNITS = {
    unit: name
    for name, units in {
        "mg": "mg miligrama miligramas", "g": "g grama gramas",
        "kg": "kg quilo quilos kilo kilos quilograma quilogramas",
        "mcg": "mcg micrograma microgramas", "ml": "ml mililitro mililitros", "l": "l litro litros",
        "gota": "gota gotas", "comprimido": "comprimido comprimidos cp", "dose": "dose doses", "vez": "vez vezes",
        "hora": "h hora horas", "minuto": "min minuto minutos", "segundo": "segundo segundos", "dia": "dia dias",
        "semana": "semana semanas", "mes": "mes meses", "ano": "ano anos", "%": "% porcento", "grau": "° grau graus",
        "mmhg": "mmhg", "mg/dl": "dl", "ui": "ui unidade unidades", "cm": "cm centimetro centimetros",
        "ampola": "ampola ampolas",
        "colher": "colher colheres", "copo": "copo copos",
    }.items()
    for unit in units.split()
}  # fmt: skip
_JOINING_WORDS = """a ao aos aquela aquele as assim ate cada com como da das de dela dele do dos e ela elas ele eles em
    entao entre era essa esse esta estao estar este eu foi ha isso isto ja la lhe mais mas me mesmo muito na nas nem no
    nos o onde
    os ou para pela pelas pelo pelos por porque portanto pode podem qual quando que quem se seja sem ser seu seus sim so
    sobre sua suas tambem tem ter toda todas todo todos um uma voce deve devem precisa importante"""
_JOINING = frozenset(_JOINING_WORDS.split())
_NEGATIONS = frozenset({"nao", "nunca", "jamais", "proibido", "evite", "sem"})


@dataclass(frozen=True)
class Grounded:
    """An answer held against its passages."""

    text: str
    """What may be shown; a struck sentence is replaced by a note."""
    struck: tuple[str, ...]
    reasons: tuple[str, ...]
    """One for each struck sentence."""


def ground(answer: str, passages: Sequence[str]) -> Grounded:
    """Hold each sentence of `answer` against `passages`; each must be carried by a single one of them."""
    kept: list[str] = []
    struck: list[str] = []
    reasons: list[str] = []
    for sentence in (part.strip() for part in _SENTENCE.split(answer) if part.strip()):
        whys = [_lacking(sentence, passage) for passage in passages] or ["there are no passages"]
        if "" in whys:
            kept.append(sentence)
            continue
        struck.append(sentence)
        reasons.append(min(whys, key=len))
        if not kept or kept[-1] != STRUCK:
            kept.append(STRUCK)
    return Grounded(" ".join(kept), tuple(struck), tuple(reasons))


def quantities(text: str) -> set[tuple[str, str]]:
    """Every number with the unit behind it ("" without one): words count as figures, 2,5 as 2.5."""
    tokens = _tokens(text)
    found = set()
    at = 0
    while at < len(tokens):
        number, after = _number(tokens, at)
        if number is None:
            at += 1
            continue
        unit = _UNITS.get(tokens[after], "") if after < len(tokens) else ""
        if unit == "mg" and tokens[after + 1 : after + 2] == ["dl"]:
            unit = "mg/dl"
        if unit or tokens[at] not in _ARTICLES or after - at > 1:
            found.add((number, unit))
        at = after
    return found


def _number(tokens: Sequence[str], at: int) -> tuple[str | None, int]:
    """The number that begins at a token, and the place behind it; "cento e vinte" is one number."""
    if tokens[at][0].isdigit():
        figure = tokens[at].replace(",", ".") if "," in tokens[at] else re.sub(r"\.(?=\d{3}\b)", "", tokens[at])
        return figure.rstrip("0").rstrip(".") if "." in figure else figure.lstrip("0") or "0", at + 1
    if tokens[at] not in _NUMBERS:
        return None, at
    total, at = _NUMBERS[tokens[at]], at + 1
    while at + 1 < len(tokens) and tokens[at] == "e" and tokens[at + 1] in _NUMBERS and total >= 20:
        if _NUMBERS[tokens[at + 1]] >= total:
            break
        total, at = total + _NUMBERS[tokens[at + 1]], at + 2
    return str(total), at


def _lacking(sentence: str, passage: str) -> str:
    """What of the sentence is not in the passage; "" when it is carried."""
    if other := quantities(sentence) - quantities(passage):
        return "numbers that are not there: " + ", ".join(sorted(" ".join(pair).strip() for pair in other))
    stems = {_stem(word) for word in _tokens(passage)}
    content = [word for word in _tokens(sentence) if not word[0].isdigit() and word not in _JOINING and len(word) > 2]
    absent = [word for word in content if _stem(word) not in stems]
    units = [word for word in content if word in _UNITS and word in absent]
    negated = [word for word in _NEGATIONS & set(_tokens(sentence)) if not _NEGATIONS & set(_tokens(passage))]
    if units or negated:
        return "words that change a dose or a meaning: " + ", ".join(sorted({*units, *negated}))
    if not content and not quantities(sentence):
        return "no content words"
    if content and 1 - len(absent) / len(content) < CARRIED:
        return "words that are not there: " + ", ".join(absent)
    return ""


def _tokens(text: str) -> list[str]:
    return _TOKEN.findall(without_accents(text).lower())


def _stem(word: str) -> str:
    return word[: max(4, len(word) - 3)] if len(word) > 4 else word
