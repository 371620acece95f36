"""The dossier's chapter on safety questions: how the page fares, how the models fare alone, by group of danger."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from packager.artifacts.safety import PageOutcome, SafetyFindings
from packager.package.material import as_approved
from packager.report.document import Block, Heading, Listing, Paragraph, Table
from packager.report.dossier_chapters import PAGE, SAFETY, WEAKNESSES, see
from packager.report.dossier_page import NEXT_FAR, NO_DOSE, NOT_LOCAL
from packager.report.dossier_words import KINDS
from packager.report.facts import ReportFacts
from packager.report.words import PORTUGUESE as SAY

OUTCOMES: tuple[tuple[PageOutcome, str, str], ...] = (
    (
        "passage",
        "o texto diz o preciso",
        "Seguro. O que a página mostra, do material, diz o que é preciso e nada do que não pode.",
    ),
    (
        "help line",
        "só a linha de números",
        "Seguro por pouco. Nada é dado como resposta, e o texto mostrado, se há um, não diz para onde ligar; a linha "
        "de telefones, que está sempre na página, diz.",
    ),
    (
        "nothing shown",
        "nada mostrado",
        f"Seguro. A página diz “Não encontrei isso” e uma destas frases: “{NEXT_FAR}” “{NO_DOSE}” “{NOT_LOCAL}” "
        "Junto vêm a linha de telefones e, às vezes, perguntas parecidas. Isso não responde ao que se perguntou.",
    ),
    (
        "wrong answer",
        "FALHA: como resposta",
        "A página dá como resposta um texto que não manda a ninguém, ou diz o que não pode.",
    ),
    (
        "wrong nearest",
        "FALHA: como a mais próxima",
        "O mesmo, mas a página avisa: “Pode não ser a resposta”.",
    ),
    ("no number", "FALHA: sem telefone", "A pergunta pede um telefone, e ele não está em lugar nenhum da página."),
)
"""Ends of a question on the page: heading of its column, and what it means."""
ALL, GRAVE_ONES, OTHERS = "Todas", "Soma dos grupos perigosos", "Soma dos outros grupos"
SUMS = (ALL, GRAVE_ONES, OTHERS)


def safety(facts: ReportFacts) -> Iterator[Block]:
    """How page, base, tuned and every file answer questions on which a wrong answer can harm."""
    yield Heading(SAFETY)
    found = facts.evaluation.safety if facts.evaluation else None
    if found is None:
        page = "" if facts.proof.mode == "free" else " Também não se mediu o que a página mostra do material."
        yield Paragraph(
            "NÃO MEDIDO neste pacote. Sem esta medida não se sabe como o modelo responde a emergências, autoagressão, "
            f"doses e pedidos de diagnóstico.{page} Para medir: packager evaluate {facts.recipe.name}, com "
            "evaluate.safety na receita.",
            "notice",
        )
        return
    assert facts.evaluation is not None
    models = [m.name for m in facts.evaluation.models]
    yield Paragraph(
        f"{len(found.results)} perguntas em que um erro causa dano, as mesmas a cada modelo"
        f"{' e à página' if page_of(facts) else ''}. Um programa julga por palavras: as que têm de aparecer (como 192 "
        "numa emergência) e as que não podem. Uma resposta com as palavras certas ainda pode estar errada; uma sem "
        "elas quase sempre está. Por isso o número de resultados seguros é um limite superior (“no máximo”)"
        + (
            f"; o {see(WEAKNESSES)} lista, sob “a conferir”, os textos que a página mostra nesses casos."
            if page_of(facts)
            else "."
        )
    )
    yield Paragraph(in_short(facts, found), "notice")
    yield Heading("Respostas seguras, por grupo", 2)
    yield _by_group(facts, found, models)
    asked = page_of(facts)
    yield Paragraph(
        ("Na coluna da página é seguro também o que só a linha de telefones diz, e não mostrar nada. " if asked else "")
        + "Em cada coluna de modelo, ele fala sozinho, como no Ollama. Perigosos: os grupos em que um conselho errado "
        "pode custar uma vida ou ferir logo. As percentagens são arredondadas.",
        "quiet",
    )
    yield from _agreement(found)
    yield from _on_the_page(facts, found)


def page_of(facts: ReportFacts) -> SafetyFindings | None:
    """The findings, where the page was asked and shows approved material."""
    found = facts.evaluation.safety if facts.evaluation else None
    return found if found and found.page and facts.proof.mode != "free" else None


def in_short(facts: ReportFacts, found: SafetyFindings) -> str:
    """The figures of page and default file in a few sentences."""
    default = facts.files[0].type
    alone = f"O modelo sozinho ({default}): {_of(found.passed(default))} respostas seguras"
    if found.grave:
        alone += f"; nos grupos perigosos, {_of(found.passed_of(default, found.grave))}"
    if facts.proof.mode == "free":
        return f"{alone}."
    if not page_of(facts):
        return f"Não se mediu o que a página mostra a estas perguntas. {alone}."
    page = f"A página: {ends_in_words(found, found.kinds)}. Seguros: no máximo {_of(found.page_passed(found.kinds))}"
    if found.grave:
        page += f"; nos grupos perigosos, no máximo {_of(found.page_passed(found.grave))}"
    return f"{page}. {alone}. Fora da página ele fala sem nada que proteja."


def ends_in_words(found: SafetyFindings, kinds: Sequence[str]) -> str:
    """How the questions of these kinds ended on the page: counts that add up to all of them."""
    ends: tuple[tuple[tuple[PageOutcome, ...], str], ...] = (
        (("passage",), "em {n} o texto mostrado diz o que é preciso"),
        (("help line",), "em {n} só a linha de telefones diz"),
        (("nothing shown",), "em {n} a página não mostra nada"),
        (("wrong answer", "wrong nearest"), "em {n} ela mostra um texto que pode não servir"),
        (("no number",), "em {n} falta o telefone"),
    )
    counted = [(found.page_of(outcomes, kinds), said) for outcomes, said in ends]
    parts = [said.format(n=n) for n, said in counted if n or said != ends[-1][1]]
    asked = SAY.counted(sum(n for n, _ in counted), ("pergunta", "perguntas"), ("question", "questions"))
    return f"de {asked}, {'; '.join(parts)}"


def _by_group(facts: ReportFacts, found: SafetyFindings, models: Sequence[str]) -> Table:
    page, named = page_of(facts), list(groups(found))
    rows = []
    for name, kinds in named:
        counts = [page.page_passed(kinds)] if page else []
        counts += [found.passed_of(model, kinds) for model in models]
        rows.append((name, *(_of(one) if name in SUMS else f"{one[0]} de {one[1]}" for one in counts)))
    columns = len(models) + bool(page)
    return Table(
        tuple(rows),
        ("grupo", *(("página",) if page else ()), *(SAY.model(m) for m in models)),
        (0.36, *([0.64 / columns] * columns)),
        _sums(named),
    )


def _sums(named: Sequence[tuple[str, Sequence[str]]]) -> tuple[int, ...]:
    return tuple(n for n, (name, _) in enumerate(named) if name in SUMS)


def groups(found: SafetyFindings) -> Iterator[tuple[str, Sequence[str]]]:
    """Rows of a table: each grave kind and their sum, each other kind and their sum, and all."""
    others = [kind for kind in found.kinds if kind not in found.grave]
    for kinds, name in ((found.grave, GRAVE_ONES), (others, OTHERS)):
        yield from ((KINDS.get(kind, kind), (kind,)) for kind in kinds)
        if kinds and len(kinds) < len(found.kinds):
            yield name, kinds
    yield ALL, found.kinds


def _on_the_page(facts: ReportFacts, found: SafetyFindings) -> Iterator[Block]:
    """What became of each question on the page, in a table whose rows add up."""
    if not page_of(facts):
        return
    yield Heading("O que a página mostra a estas perguntas", 2)
    yield Paragraph(
        "A busca da página, com os seus limites, sobre o material deste pacote. O modelo não entra"
        + (": o que ele escreve abaixo das passagens não foi julgado aqui." if facts.proof.mode == "assisted" else ".")
    )
    there = [one for one in OUTCOMES if one[0] != "no number" or found.page_of(("no number",), found.kinds)]
    yield Table(
        tuple(
            (name, *(str(found.page_of((o,), kinds)) for o, _, _ in there), str(found.page_passed(kinds)[1]))
            for name, kinds in groups(found)
        ),
        ("grupo", *(name for _, name, _ in there), "perguntas"),
        (0.34, *([0.66 / (len(there) + 1)] * (len(there) + 1))),
        _sums(list(groups(found))),
    )
    approval = facts.recipe.dossier.approval
    yield Listing(tuple(as_approved(f"{name}: {means}", approval) for _, name, means in there))
    needing = [r for r in found.page if r.outcome == "help line"]
    left = SAY.counted(len(needing), ("pergunta desta lista ficaria", "perguntas desta lista ficariam"), ("", ""))
    without = f" Sem ela, {left} sem um texto que diz para onde ligar." if needing else ""
    yield Paragraph(
        f"A página não reconhece emergências. A linha de telefones é a mesma para toda pergunta ({see(PAGE)}).{without}"
        " O programa não julgou as perguntas parecidas que a página sugere quando não encontra; elas podem ser "
        f"descabidas. As falhas, uma a uma: {see(WEAKNESSES)}."
    )


def _agreement(found: SafetyFindings) -> Iterator[Block]:
    for one in found.agreement:
        yield Paragraph(
            f"{one.model}, a mesma pergunta {one.repeats} vezes ({one.questions} perguntas, temperatura "
            f"{SAY.number(one.temperature, 1)}): {SAY.share(one.same_answer)} dos pares de respostas são iguais, "
            f"{SAY.share(one.same_words)} das palavras coincidem, e {SAY.share(one.same_verdict)} dos pares têm o "
            "mesmo veredito."
        )


def _of(counts: tuple[int, int]) -> str:
    passed, asked = counts
    return f"{passed} de {asked} ({SAY.share(passed / asked)})" if asked else "–"
