"""The dossier's chapters and annexes by their titles, so that a text can say where something stands."""

from __future__ import annotations

PURPOSE, USERS, PAGE = "Finalidade e limites", "Quem usa, e como", "O que a clínica vê"
RISK, DATA, MODEL = "Classe de risco proposta", "Dados e sua origem", "Modelo e arquivos"
PRIVACY, CHECKS = "Privacidade no uso (LGPD)", "O que foi verificado, e o que isso significa"
SAFETY, WEAKNESSES = "Perguntas de segurança", "Fraquezas conhecidas, com exemplos"
INSTALLING, UPDATING = "Instalação", "Conferência, atualização e volta atrás"
INCIDENT, RESPONSIBLE = "Quando errar: o que fazer", "Responsáveis"
OPINION, NORMS = "Parecer da comissão", "As normas"
CHAPTERS = (
    PURPOSE, USERS, PAGE, RISK, DATA, MODEL, PRIVACY, CHECKS, SAFETY, WEAKNESSES, INSTALLING, UPDATING, NORMS, INCIDENT,
    RESPONSIBLE, OPINION,
)  # fmt: skip
"""In the order of the document."""
ALL_CHECKS, TECHNICAL, GLOSSARY = "Todas as verificações", "Dados técnicos", "Palavras do ofício"
SOURCES = "Fontes do material aprovado"
ANNEXES = (ALL_CHECKS, TECHNICAL, GLOSSARY, SOURCES)
"""Behind the chapters; the last one only where there is approved material."""


def see(*titles: str) -> str:
    """Where something stands: `capítulo 3`, `capítulos 1, 2 e 5`, `anexo A`."""
    if titles[0] in ANNEXES:
        return f"anexo {chr(ord('A') + ANNEXES.index(titles[0]))}"
    numbers = [str(CHAPTERS.index(title) + 1) for title in titles]
    if len(numbers) == 1:
        return f"capítulo {numbers[0]}"
    return f"capítulos {', '.join(numbers[:-1])} e {numbers[-1]}"
