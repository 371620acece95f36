"""The dossier's chapters on what was proven and how the model fares on safety questions, in plain figures."""

from __future__ import annotations

from collections.abc import Iterator

from packager.artifacts.checks import Check
from packager.artifacts.knowledge import Knowledge
from packager.report import answers
from packager.report.document import Block, Heading, Paragraph, Table
from packager.report.dossier_chapters import ALL_CHECKS, CHECKS, SAFETY, WEAKNESSES, see
from packager.report.dossier_limits import interval, limit, measured
from packager.report.dossier_words import KINDS, PLAIN, STAGE_MEANS, STAGES
from packager.report.facts import ReportFacts
from packager.report.words import PORTUGUESE as SAY

OF_THE_MODEL = ("quantize.top", "smoke.speed", "smoke.first_token", "smoke.ram")
"""Checks of the default file that matter where the model answers."""


def checks(facts: ReportFacts, knowledge: Knowledge | None) -> Iterator[Block]:
    """How many passed of what, the figures that matter, and what none of them shows."""
    made = facts.proof.checks
    yield Heading(CHECKS)
    yield Paragraph(
        f"{sum(c.passed for c in made)} de {len(made)} verificações passaram. Cada uma é feita por programa, ao "
        "construir, e uma que falha impede a entrega. Só as que dependem da máquina, como a velocidade, podem faltar; "
        'então a tabela diz "dispensada". As verificações provam que o arquivo é o que foi treinado, que não se '
        "estragou no caminho e que abre, responde e termina; não provam que o que ele diz é verdade. Todas, com o "
        "medido "
        f"e o limite: {see(ALL_CHECKS)}."
    )
    yield Table(
        tuple(_stage(stage, made) for stage in dict.fromkeys(c.stage for c in made)),
        ("etapa", "o que garante", "passaram"),
        (0.3, 0.54, 0.16),
    )
    yield Heading("Os números que importam", 2)
    rows = [*_found(made, knowledge), *_of_the_model(facts)]
    if rows:
        yield Table(tuple(rows), ("o que se mediu", "resultado", "limite"), (0.46, 0.34, 0.2))
    for text in _remarks(facts, knowledge):
        yield Paragraph(text)


def _stage(stage: str, made: tuple[Check, ...]) -> tuple[str, str, str]:
    those = [c for c in made if c.stage == stage]
    waived = sum(bool(c.waived) for c in those)
    passed = f"{sum(c.passed for c in those)} de {len(those)}" + (
        f" ({SAY.counted(waived, ('dispensada', 'dispensadas'), ('waived', 'waived'))})" if waived else ""
    )
    return STAGES.get(stage, stage), STAGE_MEANS.get(stage, "–"), passed


def _found(made: tuple[Check, ...], knowledge: Knowledge | None) -> Iterator[tuple[str, str, str]]:
    """Of the search, out of a hundred questions, with how sure that is."""
    asked = {
        "knowledge.found_first": knowledge.asked if knowledge else 0,
        "knowledge.found_three": knowledge.asked if knowledge else 0,
        "knowledge.silent": knowledge.outside if knowledge else 0,
        "knowledge.unclaimed": knowledge.asked_near if knowledge else 0,
    }
    for check in made:
        if check.id in asked and not isinstance(check.measured, str):
            yield PLAIN[check.id], _of_a_hundred(check.measured, asked[check.id]), limit(check)
    if knowledge:
        yield "Perguntas que o material responde, e a página mostra alguma passagem, certa ou errada", \
              _of_a_hundred(knowledge.kept, knowledge.asked), "sem limite"  # fmt: skip
        yield "As mesmas, e uma passagem é dada como resposta, em moldura verde, certa ou errada", \
              _of_a_hundred(knowledge.kept_sure, knowledge.asked), "sem limite"  # fmt: skip
        if knowledge.right_when_sure is not None:
            sure = round(knowledge.kept_sure * knowledge.asked)
            yield (
                "Quando uma passagem é dada como resposta a elas, a primeira é a certa",
                _of_a_hundred(knowledge.right_when_sure, sure),
                "sem limite",
            )


def _of_a_hundred(share: float, asked: int) -> str:
    said = f"{round(100 * share)} de cada 100"
    if not asked:
        return said
    low, high = interval(share, asked)
    counted = SAY.counted(asked, ("pergunta", "perguntas"), ("question", "questions"))
    return f"{said} ({counted}; com 95% de confiança, entre {low} e {high})"


def _of_the_model(facts: ReportFacts) -> Iterator[tuple[str, str, str]]:
    """Of the file that is used, where it speaks on the page; and what the evaluation limits."""
    default = facts.files[0].type
    for check in facts.proof.checks:
        speaks = check.id in OF_THE_MODEL and facts.proof.mode != "approved"
        if check.subject in ("", default) and (speaks or check.stage == "safety" or check.id == "data.no_leak"):
            yield PLAIN.get(check.id, SAY.check(check.id, check.says)), measured(check), limit(check)


def _remarks(facts: ReportFacts, knowledge: Knowledge | None) -> Iterator[str]:
    asked = {answer.ask for answer in facts.proof.answers}
    if knowledge:
        who = "vêm de um arquivo que a receita nomeia" if knowledge.by_people else "foram feitas por programa"
        yield (
            f"As perguntas que mediram a busca {who}. As da unidade podem dar outro resultado: anote as que falham. "
            f"Exemplos de erros: {see(WEAKNESSES)}."
        )
    if asked:
        yield (
            f"O modelo respondeu por escrito a perguntas de teste ({len(asked)}). Passar é não falhar na forma (vazia, "
            f"sem fim, repetida, em outro idioma, fora do assunto); se o que disse presta, julgue no {see(WEAKNESSES)}."
        )
    better = answers.findings(facts, SAY)[2]
    yield (
        f"Quantas respostas do modelo estão certas, nenhum programa mede. É melhor que o modelo base nas perguntas "
        f"reservadas? {better.short.capitalize()}."
    )


def safety(facts: ReportFacts) -> Iterator[Block]:
    """How base, tuned and every file answer questions on which a wrong answer can harm."""
    yield Heading(SAFETY)
    if facts.proof.mode != "free":
        yield Paragraph(
            "O que a página mostra, do material aprovado, a perguntas em que um erro causa dano, não se mediu."
        )
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
    if facts.proof.mode == "approved":
        yield Paragraph(
            "Estas perguntas foram feitas ao modelo sozinho, como ele fala no Ollama. Na página deste pacote ele não "
            "responde: ela mostra o material aprovado ou diz que não encontrou.",
            "notice",
        )
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
