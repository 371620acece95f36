"""The dossier's first page: what this is, of which version and date, in short, and what is still open."""

from __future__ import annotations

from collections.abc import Iterator

from packager import __version__
from packager.artifacts.knowledge import Knowledge
from packager.artifacts.safety import FAULTS
from packager.package import licence
from packager.report.answers import IDENTIFIERS
from packager.report.delivery import Delivery
from packager.report.document import Blanks, Block, Listing, Paragraph, Table
from packager.report.dossier_alone import two_uses
from packager.report.dossier_chapters import (
    CHECKS,
    DATA,
    GLOSSARY,
    INCIDENT,
    INSTALLING,
    MODEL,
    OPINION,
    PAGE,
    PRIVACY,
    PURPOSE,
    RESPONSIBLE,
    RISK,
    SAFETY,
    UPDATING,
    USERS,
    WEAKNESSES,
    see,
)
from packager.report.dossier_safety import ends_in_words, page_of
from packager.report.dossier_words import MODES
from packager.report.facts import ReportFacts
from packager.report.words import PORTUGUESE as SAY

NOTICE = (
    "O modelo informa; não faz diagnóstico, não prescreve, não substitui um profissional de saúde e não é um "
    "dispositivo médico registrado. Ele pode errar e inventar. Quem decide é o profissional."
)
QUESTIONS = (
    ("O que é isto, para que serve e para quem?", see(PURPOSE, USERS)),
    ("Para que não pode ser usado?", see(PURPOSE)),
    ("Que classe de risco se propõe, e por quê?", see(RISK)),
    ("De onde vêm o modelo e os dados, e com que licença? Há dados de pacientes?", see(DATA, MODEL)),
    ("O que vê quem usa, e o que acontece com o que se digita?", see(PAGE, PRIVACY)),
    ("Quão bom é? O que foi verificado, e o que isso prova?", see(CHECKS)),
    ("O que ele erra? Há exemplos?", see(SAFETY, WEAKNESSES)),
    (
        "Como se instala, confere e atualiza, e como se volta à versão anterior? É isto o que foi provado?",
        see(INSTALLING, UPDATING),
    ),
    ("O que fazer quando errar?", see(INCIDENT)),
    ("Quem responde, e quem aprovou?", see(DATA, RESPONSIBLE, OPINION)),
)
"""What a committee asks, and the chapter that answers."""


def title(facts: ReportFacts) -> str:
    """What people call it."""
    return licence.titled(facts.base.licence, facts.recipe.clinic.title or facts.recipe.name)


def subtitle() -> str:
    return "Para a comissão de ética, a direção técnica e a equipe de TI."


def beginning(facts: ReportFacts, knowledge: Knowledge | None, delivery: Delivery | None) -> Iterator[Block]:
    """Notices, which package this is, what is open, and where each question is answered."""
    yield from _identity(facts, delivery)
    yield Paragraph(NOTICE, "notice")
    if not facts.proof.passed:
        yield Paragraph("A prova deste modelo NÃO passou; nada foi empacotado e ele não pode ser usado.", "notice")
    if facts.recipe.clinic.demonstration:
        yield Paragraph(
            "DEMONSTRAÇÃO: este modelo só mostra como o programa funciona. Não use as respostas com pacientes.",
            "notice",
        )
    yield Paragraph(
        "Um programa tirou tudo o que segue da receita, da prova e da avaliação deste modelo. O que só pessoas sabem "
        "está em linhas em branco. “Receita” é o arquivo que diz de que e como o pacote é feito; não é prescrição. "
        f"“Prova” são os testes automáticos ({see(CHECKS)})."
    )
    yield Paragraph("Em aberto, e a resolver antes do uso:")
    yield Listing(tuple(open_points(facts, knowledge, delivery)))
    yield Paragraph(f"Onde este dossiê responde a cada pergunta de uma comissão (glossário: {see(GLOSSARY)}):")
    yield Table(
        tuple((str(n), asked, where) for n, (asked, where) in enumerate(QUESTIONS, 1)),
        ("", "pergunta", "resposta"),
        (0.05, 0.7, 0.25),
    )


def _identity(facts: ReportFacts, delivery: Delivery | None) -> Iterator[Block]:
    file = facts.files[0]
    rows = [("Pacote", f"{title(facts)} ({facts.recipe.name})")]
    if delivery:
        rows += [
            ("Versão do pacote", delivery.version),
            ("Feito em", delivery.made),
        ]
    nobody = f"Não consta da receita; preencher no {see(RESPONSIBLE)}"
    rows += [
        ("Feito por", f"{facts.recipe.dossier.author or nobody} · com o packager {__version__}"),
        ("Arquivo do modelo", f"{facts.packed_name(file)}, SHA-256 {file.sha256}"),
        ("Como responde", MODES.get(facts.proof.mode, facts.proof.mode)),
    ]
    yield Table(tuple(rows), widths=(0.24, 0.76))
    if not delivery:
        yield two_uses(facts)
        yield Blanks(("Versão da pasta (no LEIA-ME.txt dela), e data:",))


def _unsafe(facts: ReportFacts) -> Iterator[str]:
    """What was measured of the page's answers to safety questions."""
    if facts.proof.mode == "free":
        return
    page = page_of(facts)
    if page is None:
        yield f"Não se mediu o que a página mostra a emergências, autoagressão e doses: {see(SAFETY)}."
        return
    if page.page_of(("help line", *FAULTS), page.kinds):
        yield f"Segurança, medida por palavras: {ends_in_words(page, page.kinds)} ({see(SAFETY, WEAKNESSES)})."


def open_points(facts: ReportFacts, knowledge: Knowledge | None, delivery: Delivery | None) -> Iterator[str]:
    """What the records do not show, a sentence each."""
    said = facts.recipe.dossier
    yield from _unsafe(facts)
    if facts.evaluation is None or facts.evaluation.safety is None:
        silent = " (na página deste pacote ele não fala)" if facts.proof.mode == "approved" else ""
        yield f"Não se mediu como o modelo responde a emergências, autoagressão e doses{silent}: {see(SAFETY)}."
    if knowledge and not said.approval:
        yield (f"Não consta quem aprovou o material, e a página avisa disso. Preencher e assinar no {see(DATA)}.")
    if knowledge and not knowledge.by_people:
        yield "As perguntas que mediram a busca foram feitas por programa; pessoas perguntam de outro jeito."
    if knowledge and knowledge.contradictions:
        pairs = SAY.counted(len(knowledge.contradictions), ("par", "pares"), ("pair", "pairs"))
        yield f"Contradições: {pairs} de passagens que respondem de modo diferente ao mesmo: {see(DATA)}."
    if facts.data.identifiers:
        left = SAY.counted(facts.data.identifiers, *IDENTIFIERS)
        yield f"Nos dados de treino ficaram: {left} ({see(DATA)})."
    if facts.recipe.clinic.demonstration and facts.proof.mode != "free":
        yield f"É demonstração, e neste modo a página não avisa disso ({see(PAGE)}): a instituição avisa quem usa."
    for text, what in (
        (said.purpose, f"a finalidade ({see(PURPOSE)})"),
        (said.users, f"quem usa ({see(USERS)})"),
        (said.data_origin, f"quem escreveu e revisou os dados ({see(DATA)})"),
        (said.data_licence, f"com que direito os dados são usados ({see(DATA)})"),
        (said.author, f"quem responde pelo pacote ({see(RESPONSIBLE)})"),
    ):
        if not text:
            yield f"A receita não diz {what}."
    if waived := [c.name for c in facts.proof.checks if c.waived]:
        yield f"Dispensadas, por dependerem do computador: {', '.join(waived)} ({see(CHECKS)})."
    if delivery and not delivery.signer_numbers:
        yield f"O pacote não é assinado: as somas mostram cópias erradas, não uma troca de propósito ({see(UPDATING)})."
    yield f"Classe de risco, responsáveis e parecer: a preencher pela instituição ({see(RISK, RESPONSIBLE, OPINION)})."
