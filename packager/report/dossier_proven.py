"""The dossier's chapter on what was proven, in plain figures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from packager.artifacts.checks import Check
from packager.artifacts.knowledge import Knowledge, Outcomes
from packager.report import answers
from packager.report.document import Blanks, Block, Heading, Paragraph, Table
from packager.report.dossier_chapters import ALL_CHECKS, CHECKS, WEAKNESSES, see
from packager.report.dossier_figures import against_the_base
from packager.report.dossier_limits import interval, limit, measured
from packager.report.dossier_words import PLAIN, STAGE_MEANS, STAGES
from packager.report.facts import ReportFacts
from packager.report.rounding import per_cent
from packager.report.words import PORTUGUESE as SAY

SHOWN = (
    ("right", "A certa, como resposta, em primeiro lugar"),
    ("right_below", "A certa, como resposta, abaixo de outra"),
    ("wrong", "FALHA: só outras, como resposta"),
    ("near_right", "A certa, como a mais próxima"),
    ("near_wrong", "FALHA: só outras, como a mais próxima"),
    ("silent", "Nada: “Não encontrei isso”"),
)
"""Counts of `Outcomes`, in words."""
SHIPPED = "aps_questions.jsonl"
"""The questions that come with packager (docs/knowledge.md says how they were used)."""
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
    if knowledge and (inside := knowledge.shown_inside) and inside.asked:
        yield Paragraph(
            f"Por que a primeira linha não é a primeira da tabela abaixo ({per_cent(inside.right / inside.asked)} de "
            "cada 100)? A linha conta a passagem certa que a busca põe em primeiro lugar, mesmo se a página a mostra "
            "só como a mais próxima ou, abaixo do limite, não a mostra. A tabela conta o que a página mostra.",
            "quiet",
        )
    yield from _shown(knowledge)
    if knowledge and knowledge.by_people:
        yield Blanks(("Quem escreveu as perguntas da busca (pessoas, ou programa):",))
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
        yield from _for_who_reads(knowledge)


def _for_who_reads(knowledge: Knowledge) -> Iterator[tuple[str, str, str]]:
    """How far a green frame is to be trusted, whatever was asked; and how often the right passage is not shown."""
    inside = knowledge.shown_inside
    if inside is None:
        return
    others = [one for one in (knowledge.shown_near, knowledge.shown_outside) if one]
    claimed = inside.right + inside.right_below + inside.wrong + sum(one.wrong + one.right for one in others)
    if claimed:
        yield (
            "De todas as perguntas, também as que o material não responde: se a página dá uma passagem como resposta, "
            "a primeira é a certa",
            f"{inside.right} de {claimed}: {_of_a_hundred(inside.right / claimed, claimed)}",
            "sem limite",
        )
    if inside.asked:
        missed = inside.wrong + inside.near_wrong + inside.silent
        yield (
            "Perguntas que o material responde, e a página não mostra a passagem certa",
            f"{missed} de {inside.asked}: {_of_a_hundred(missed / inside.asked, inside.asked)}",
            "sem limite",
        )


def _shown(knowledge: Knowledge | None) -> Iterator[Block]:
    """What the page shows for every question that measured it: counts whose columns add up."""
    if knowledge is None or knowledge.shown_inside is None:
        return
    columns = [("o material responde", knowledge.shown_inside)]
    if (near := knowledge.shown_near) and near.asked:
        columns.append(("mesmo assunto, sem resposta no material", near))
    if (outside := knowledge.shown_outside) and outside.asked:
        columns.append(("outro assunto", outside))
    yield Heading("O que a página mostra, pergunta por pergunta", 2)
    rows = [(name, *(_count(one, field) for _, one in columns)) for field, name in SHOWN]
    rows.append(("Soma: perguntas feitas", *(str(one.asked) for _, one in columns)))
    width = 0.56 / len(columns)
    yield Table(
        tuple(rows),
        ("o que a página mostra", *(name for name, _ in columns)),
        (0.44, *([width] * len(columns))),
        (len(SHOWN),),
    )
    said = (
        "Cada pergunta está em uma só linha. Das que o material responde, a certa é a passagem que quem fez as "
        "perguntas indicou; das outras nenhuma é certa. “Como resposta”: em moldura verde; “como a mais próxima”: com "
        "o aviso de que pode não ser a resposta. As percentagens são arredondadas."
    )
    if knowledge.wordless:
        counted = SAY.counted(knowledge.wordless, ("pergunta", "perguntas"), ("question", "questions"))
        said += f" Fora da conta: {counted} sem nenhuma palavra."
    yield Paragraph(said, "quiet")


def _count(found: Outcomes, field: str) -> str:
    """How many, and of a hundred."""
    count: int = getattr(found, field)
    return f"{count} ({SAY.share(count / found.asked)})" if found.asked else str(count)


def _of_a_hundred(share: float, asked: int) -> str:
    said = f"{per_cent(share)} de cada 100"
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
        yield (
            f"{_whose_questions(facts, knowledge)} As da unidade podem dar outro resultado: anote as que falham. "
            f"Exemplos de erros: {see(WEAKNESSES)}."
        )
    if asked:
        yield (
            f"O modelo respondeu por escrito a perguntas de teste ({len(asked)}). Passar é não falhar na forma (vazia, "
            f"sem fim, repetida, em outro idioma, fora do assunto). Um profissional julga se o que disse está certo. "
            f"As perguntas de conteúdo são outras; elas não impedem a entrega. As que ele errou: {see(WEAKNESSES)}."
        )
    better = answers.findings(facts, SAY)[2]
    yield (
        f"Nenhum programa mede quantas respostas do modelo estão certas. É melhor que o modelo base nas perguntas "
        f"reservadas? {better.short.capitalize()}.{against_the_base(facts)}"
    )


def _whose_questions(facts: ReportFacts, knowledge: Knowledge) -> str:
    """Who wrote the questions that measured the search, and what was chosen with them in sight."""
    section = facts.recipe.knowledge
    if not knowledge.by_people:
        said = "As perguntas que mediram a busca foram feitas por programa, das perguntas reservadas."
    else:
        name = PurePosixPath(section.questions).name if section and section.questions else "um arquivo"
        said = f"As perguntas que mediram a busca vêm de {name}, que a receita nomeia. Ela não diz quem as escreveu."
        if name == SHIPPED:
            said += (
                " Esse arquivo vem com o packager e foi escrito antes da busca. Quem fez o programa escolheu depois os "
                "pesos, as listas de palavras e as quotas dos limites com estas perguntas à vista: por isso os números "
                "são otimistas."
            )
    if section and section.threshold is not None:
        return f"{said} Os limites da busca estão na receita."
    return f"{said} O programa calcula os dois limites da busca do próprio material, sem estas perguntas."
