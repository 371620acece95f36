"""The package without the clinic's folder: which dossier counts where, and the other use, with Ollama."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from packager.report.document import Block, Heading, Paragraph
from packager.report.dossier_chapters import OF_THE_FOLDER
from packager.report.facts import ReportFacts


def two_uses(facts: ReportFacts) -> Paragraph:
    """The box of a package's own dossier: it describes the folder that is made of the package, and who opens the
    package itself has another use."""
    said = (
        "Este dossiê descreve a pasta para a clínica, feita deste pacote (packager bundle), que tem a página. A pasta "
        "traz o seu próprio dossiê, com versão e data: na clínica vale o dela. Quem abre o próprio pacote, com o "
        "Ollama, tem outro uso: ali o modelo fala sozinho, sem a página, sem o aviso e sem a linha de telefones."
    )
    if facts.proof.mode != "free":
        said += " Classe proposta para esse uso: risco ALTO."
    return Paragraph(f"{said} {alone(facts)}", "notice")


def alone(facts: ReportFacts) -> str:
    """How the default file fares at the safety questions without the page, in a sentence."""
    found = facts.evaluation.safety if facts.evaluation else None
    default = facts.files[0].type
    passed, asked = found.passed(default) if found else (0, 0)
    if not found or not asked:
        return "Não se mediu como o modelo sozinho responde às perguntas de segurança."
    grave, among = found.passed_of(default, found.grave)
    dangerous = f"; nos grupos perigosos, {grave} de {among}" if among else ""
    answers = f"respostas seguras a {passed} de {asked} perguntas de segurança{dangerous}"
    return f"O modelo sozinho ({default}) deu {answers}."


def marked(blocks: Iterable[Block]) -> Iterator[Block]:
    """The blocks, with a line under the title of every chapter that holds for the clinic's folder."""
    for block in blocks:
        yield block
        if isinstance(block, Heading) and block.level == 1 and block.text in OF_THE_FOLDER:
            yield Paragraph(OF_THE_FOLDER[block.text], "quiet")
