"""The dossier's chapters on what was proven, how the model fares on safety questions, and where it is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from packager.artifacts.checks import Check
from packager.artifacts.evaluation import HELDOUT
from packager.artifacts.safety import SafetyResult
from packager.report import answers
from packager.report.document import Block, Heading, Listing, Paragraph, Spoken, Table
from packager.report.dossier_words import CHECKED, KINDS, STAGES, WHY
from packager.report.facts import ReportFacts
from packager.report.words import PORTUGUESE as SAY

EXAMPLES = 8
"""Wrong answers of each kind that are shown."""


def checks(facts: ReportFacts) -> Iterator[Block]:
    """Every check, what it means, and its figures."""
    made = facts.proof.checks
    passed = sum(c.passed for c in made)
    yield Heading("O que foi verificado, e o que isso significa")
    yield Paragraph(
        f"{passed} de {len(made)} verificações passaram. Cada uma é feita por programa, ao construir, e uma que "
        "falha impede "
        'a entrega. Só as que dependem da máquina, como a velocidade, podem faltar; então a tabela diz "dispensada". '
        "As verificações provam que o arquivo é o que foi treinado, que não se estragou no caminho e que abre, "
        "responde e termina; não provam que o que ele diz é verdade. Uma linha pode valer para vários arquivos."
    )
    for stage in dict.fromkeys(c.stage for c in made):
        yield Heading(STAGES.get(stage, stage), 2)
        names = dict.fromkeys(c.id for c in made if c.stage == stage)
        yield Table(
            tuple(_row(name, [c for c in made if c.id == name]) for name in names),
            ("verificação", "por que importa", "medido", "limite", "resultado"),
            (0.3, 0.31, 0.15, 0.12, 0.12),
        )


def _row(name: str, those: Sequence[Check]) -> tuple[str, ...]:
    """One check, of every file that it was made of."""

    def of_each(values: Sequence[str]) -> str:
        if len(set(values)) == 1:
            return values[0]
        return "\n".join(f"{c.subject}: {value}" for c, value in zip(those, values, strict=True))

    return (
        CHECKED.get(name) or SAY.check(name, those[0].says),
        WHY.get(name, "–"),
        of_each([_figure(c.measured, c.unit, with_unit=True) for c in those]),
        of_each([_figure(c.threshold, c.unit, with_unit=False) for c in those]),
        of_each(["passou" if c.passed else "dispensada" if c.waived else "NÃO passou" for c in those]),
    )


def _figure(value: float | str, unit: str, *, with_unit: bool) -> str:
    """A share in per cent; "none" of something is nothing."""
    if unit == "share" and not isinstance(value, str):
        return SAY.share(value, 1)
    words = SAY.measured(value)
    return f"{words} {SAY.unit(unit, value)}".strip() if with_unit else words


def safety(facts: ReportFacts) -> Iterator[Block]:
    """How base, tuned and every file answer questions on which a wrong answer can harm."""
    yield Heading("Perguntas de segurança")
    found = facts.evaluation.safety if facts.evaluation else None
    if found is None:
        yield Paragraph(
            "NÃO MEDIDO neste pacote. Sem esta medida não se sabe como o modelo responde a emergências, autoagressão, "
            f"doses e pedidos de diagnóstico. Para medir: packager evaluate {facts.recipe.name}, com "
            "evaluate.safety na "
            "receita.",
            "notice",
        )
        return
    assert facts.evaluation is not None
    models = [m.name for m in facts.evaluation.models]
    yield Paragraph(
        f"{len(found.results)} perguntas em que um erro causa dano, feitas a cada modelo. Julga um programa, por "
        "palavras: as "
        "que têm de aparecer (como 192 numa emergência) e as que não podem. Uma resposta com as palavras certas ainda "
        "pode estar errada; uma sem elas quase sempre está."
    )
    rows = [
        (KINDS.get(kind, kind), *(_of(found.passed(model, kind)) for model in models)) for kind in (*found.kinds, "")
    ]
    rows[-1] = ("Todas", *rows[-1][1:])
    yield Table(
        tuple(rows),
        ("respostas seguras", *(SAY.model(m) for m in models)),
        (0.44, *([0.56 / len(models)] * len(models))),
    )
    for one in found.agreement:
        yield Paragraph(
            f"{one.model}, a mesma pergunta {one.repeats} vezes ({one.questions} perguntas, temperatura "
            f"{SAY.number(one.temperature, 1)}): {SAY.share(one.same_answer)} dos pares de respostas são iguais, "
            f"{SAY.share(one.same_words)} das palavras coincidem, e {SAY.share(one.same_verdict)} dos pares têm o "
            "mesmo "
            "veredito."
        )


def _of(counts: tuple[int, int]) -> str:
    passed, asked = counts
    return f"{passed} de {asked} ({SAY.share(passed / asked)})" if asked else "–"


def weaknesses(facts: ReportFacts) -> Iterator[Block]:
    """What the figures do not say, and answers that are wrong."""
    default = facts.files[0].type
    yield Heading("Fraquezas conhecidas, com exemplos")
    yield Listing((*answers.limits(facts, SAY), *_searching(facts.proof.checks)))
    evaluation = facts.evaluation
    shown = False
    if evaluation and evaluation.safety:
        failed = [r for r in evaluation.safety.results if (a := r.answer(default)) and not a.passed]
        if failed:
            shown = True
            yield Heading(f"Perguntas de segurança mal respondidas ({default}): {len(failed)}, algumas delas", 2)
            yield from (_unsafe(result, default) for result in _one_of_each(failed)[:EXAMPLES])
    failed_probes = [(p, a) for p in (evaluation.probes if evaluation else ()) for a in p.answers
                     if a.model == default and not a.passed]  # fmt: skip
    if failed_probes:
        shown = True
        yield Heading(f"Perguntas da receita mal respondidas ({default})", 2)
        for probe, answer in failed_probes[:EXAMPLES]:
            lacks = f"Falta: {', '.join(answer.missing)}." if answer.missing else ""
            wrong = f" Não podia dizer: {', '.join(answer.forbidden)}." if answer.forbidden else ""
            right = f" Certo seria: {probe.about}" if probe.about else ""
            yield Spoken(probe.ask, answer.text or "(nada)", f"{lacks}{wrong}{right}".strip())
    if rows := _furthest(facts, default):
        shown = True
        yield Heading(f"Perguntas reservadas em que a resposta mais se afasta da certa ({default})", 2)
        yield from (Spoken(asked, said, f"Resposta certa: {right}") for asked, said, right in rows)
    if not shown:
        yield Heading(f"Respostas deste modelo, para julgar ({default})", 2)
        yield Paragraph(
            "Nenhuma medida diz se estas respostas estão certas. São todas as que o modelo deu às perguntas de teste, "
            "sem escolha; um profissional deve lê-las e julgar se servem."
        )
        name = facts.files[0].name
        yield from (Spoken(a.ask, a.answer) for a in facts.proof.answers if a.file == name)


def _searching(made: Sequence[Check]) -> Iterator[str]:
    """What the page shows that does not answer, out of a hundred questions."""
    lacks = {c.id: 100 - round(100 * float(c.measured)) for c in made if c.id.startswith("knowledge.")
             and c.unit == "share"}  # fmt: skip
    if "knowledge.found_first" in lacks:
        yield (
            f"A página procura no material aprovado: em {lacks['knowledge.found_first']} de cada 100 perguntas que ele "
            f"responde, a passagem certa não vem em primeiro lugar, e em {lacks['knowledge.found_three']} nem entre as "
            "três primeiras."
        )
    if "knowledge.silent" in lacks:
        yield (
            f"Em {lacks['knowledge.silent']} de cada 100 perguntas sobre outros assuntos ela mostra uma passagem que "
            "não responde."
        )
    if "knowledge.unclaimed" in lacks:
        yield (
            f"Em {lacks['knowledge.unclaimed']} de cada 100 perguntas sobre o mesmo assunto que o material não "
            "responde, ela mostra uma passagem como resposta. Leia a pergunta aprovada que está acima de cada passagem."
        )


def _unsafe(result: SafetyResult, model: str) -> Spoken:
    answer = result.answer(model)
    assert answer is not None
    lacks = f" Falta: {'; '.join(_first(group) for group in answer.missing)}." if answer.missing else ""
    wrong = f" Não podia dizer: {', '.join(answer.forbidden)}." if answer.forbidden else ""
    return Spoken(result.ask, answer.text or "(nada)", f"Seguro seria: {result.about}{lacks}{wrong}")


def _first(group: str) -> str:
    """The first few of the words that would do."""
    words = group.split(" ou ")
    return " ou ".join(words[:3]) + (" …" if len(words) > 3 else "")


def _one_of_each(failed: Sequence[SafetyResult]) -> list[SafetyResult]:
    """The first of every kind, then the others."""
    firsts = {r.kind: r for r in reversed(failed)}
    first = [r for r in failed if firsts[r.kind] is r]
    return first + [r for r in failed if r not in first]


def _furthest(facts: ReportFacts, model: str) -> list[tuple[str, str, str]]:
    """Question, answer and reference of the held-out rows shown that share the fewest words with their reference."""
    scored = [
        (a.scores.get("token_f1.f1", a.scores.get("rougeL.f1", 1.0)), row, a)
        for row in facts.rows
        for a in row.answers
        if row.set == HELDOUT and a.model == model and a.text
    ]
    scored.sort(key=lambda one: (one[0], one[1].row))
    return [(row.question, a.text, row.reference) for _, row, a in scored[:5]]
