"""The dossier's chapters for people to fill in and sign: who answers for it, and the committee's opinion."""

from __future__ import annotations

from collections.abc import Iterator

from packager.report.document import Blanks, Block, Choices, Heading, Paragraph
from packager.report.dossier_chapters import OPINION, RESPONSIBLE
from packager.report.facts import ReportFacts

ROLES = (
    "Diretor(a) técnico(a)",
    "Médico(a) responsável pelo uso",
    "Enfermeiro(a) responsável (enfermagem)",
    "Encarregado(a) de dados (LGPD)",
    "Responsável de TI",
)
OUTCOMES = ("aprovado", "aprovado com condições", "não aprovado")
MEMBERS = 5
"""Lines for names in the opinion."""


def responsible(facts: ReportFacts) -> Iterator[Block]:
    """Who answers for package and use."""
    yield Heading(RESPONSIBLE, new_page=True)
    if facts.recipe.dossier.author:
        yield Paragraph(f"Pelo pacote responde: {facts.recipe.dossier.author}")
        yield Blanks(("Assinatura de quem fez o pacote:", "Data:"))
    else:
        yield Blanks(("Quem fez o pacote (nome, contato):", "Assinatura:", "Data:"))
    for role in ROLES:
        yield Heading(role, 2)
        yield Blanks(("Nome e registro:", "Assinatura:", "Data:"))
    yield Paragraph(
        "Quem assina declara que leu este dossiê, que a classe de risco foi confirmada e que sabe como comunicar "
        "um erro."
    )


def opinion() -> Iterator[Block]:
    """The committee's: outcome, conditions, names, date, signatures."""
    yield Heading(OPINION, new_page=True)
    yield Paragraph("Marque um:")
    yield Choices(OUTCOMES)
    yield Blanks(("Condições (o que, quem, até quando):", "Fundamentos:"), box=True)
    yield Blanks(("Comissão (nome e instituição):", "Versão do pacote a que o parecer se refere:",
                  "Vale até (nova leitura):", "Data da reunião:"))  # fmt: skip
    yield Heading("Quem participou", 2)
    yield Blanks(tuple(f"{n}. Nome, registro e assinatura:" for n in range(1, MEMBERS + 1)))
