"""The dossier's chapters and annexes by their titles, so that a text can say where something stands."""

from __future__ import annotations

PURPOSE, USERS, PAGE = "Finalidade e limites", "Quem usa, e como", "O que a clínica vê"
RISK, DATA, MODEL = "Classe de risco proposta", "Dados e sua origem", "Modelo e arquivos"
PRIVACY, CHECKS = "Privacidade no uso (LGPD)", "O que foi verificado, e o que isso significa"
SAFETY, WEAKNESSES = "Perguntas de segurança", "Fraquezas conhecidas, com exemplos"
INSTALLING, UPDATING = "Instalação", "Conferência, atualização e retorno à versão anterior"
INCIDENT, RESPONSIBLE = "Quando errar: o que fazer", "Responsáveis"
OPINION, NORMS = "Parecer da comissão", "As normas"
CHAPTERS = (
    PURPOSE, USERS, PAGE, RISK, DATA, MODEL, PRIVACY, CHECKS, SAFETY, WEAKNESSES, INSTALLING, UPDATING, NORMS, INCIDENT,
    RESPONSIBLE, OPINION,
)  # fmt: skip
"""In the order of the document."""
ALL_CHECKS, TECHNICAL, GLOSSARY = "Todas as verificações", "Dados técnicos", "Glossário"
SOURCES = "Fontes do material"
ANNEXES = (ALL_CHECKS, TECHNICAL, GLOSSARY, SOURCES)
"""Behind the chapters; the last one only where there is material."""

OF_THE_FOLDER = {
    PAGE: "Vale para a pasta para a clínica.",
    PRIVACY: "Vale para a pasta para a clínica.",
    CHECKS: "O que fala da página vale para a pasta para a clínica.",
    SAFETY: "O que fala da página vale para a pasta para a clínica.",
    WEAKNESSES: "O que fala da página vale para a pasta para a clínica.",
    INCIDENT: "O que fala da página vale para a pasta para a clínica.",
}
"""Chapters on the page, which a package alone does not bring, and what its dossier says of that under their titles."""


def see(*titles: str) -> str:
    """Where something stands: `capítulo 3`, `capítulos 1, 2 e 5`, `anexo A`."""
    if titles[0] in ANNEXES:
        return f"anexo {chr(ord('A') + ANNEXES.index(titles[0]))}"
    numbers = [str(CHAPTERS.index(title) + 1) for title in titles]
    if len(numbers) == 1:
        return f"capítulo {numbers[0]}"
    return f"capítulos {', '.join(numbers[:-1])} e {numbers[-1]}"
