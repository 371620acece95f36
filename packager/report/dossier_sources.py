"""Sources of the material -> groups by kind of document, and each document once with the articles cited of it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from packager.data.letters import unaccented
from packager.report.words import PORTUGUESE as SAY

SOURCE_KINDS = (
    ("Constituição, leis e decretos", ("constituicao", "lei ", "decreto", "ato das disposicoes", "consolidacao das")),
    ("Portarias, resoluções e códigos", ("portaria", "resolucao", "instrucao normativa", "codigo", "politica")),
    (
        "Protocolos, manuais, cadernos e guias",
        (
            "pcdt",
            "protocolo",
            "manual",
            "caderno",
            "caderneta",
            "guia",
            "diretriz",
            "cartilha",
            "manejo",
        ),
    ),
    ("Outros documentos", ("",)),
)
"""Kinds of document, and how their names begin, without accents; the first that fits."""
NUMBER = r"\d+[ºo]?(?:-[A-Z])?"
ARTICLES = rf"arts?\. {NUMBER}(?:(?:, | e ){NUMBER})*(?:, incisos? [IVXLC, e]+)?(?:, com redação d[^;]+)?"
CITED = re.compile(rf"(.+?), ({ARTICLES})")
"""A document and nothing but articles of it; what is longer stands as it was written."""
WITHIN = re.compile(r", arts?\. |; |, com redação |, alterad")
"""What stands behind a document's own name."""


def source_groups(sources: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Kinds of document, each with its sources in their order; kinds without any are left out."""
    groups: dict[str, list[str]] = {name: [] for name, _ in SOURCE_KINDS}
    for source in sources:
        groups[next(name for name, begins in SOURCE_KINDS if unaccented(source).startswith(begins))].append(source)
    return [(name, those) for name, those in groups.items() if those]


def amount(those: Sequence[str]) -> str:
    """`3 fontes, de 2 documentos`: articles of a law are sources of one document."""
    documents = len({WITHIN.split(source)[0] for source in those})
    sources = SAY.counted(len(those), ("fonte", "fontes"), ("source", "sources"))
    return f"{sources}, de {SAY.counted(documents, ('documento', 'documentos'), ('document', 'documents'))}"


def by_document(sources: Sequence[str]) -> list[str]:
    """Each document once, in the order of the alphabet and of its numbers, the articles that are cited of it
    behind it."""
    found: dict[str, list[str]] = {}
    for source in sources:
        cited = CITED.fullmatch(source)
        found.setdefault(cited[1] if cited else source, []).extend([cited[2]] if cited else [])
    return [
        f"{document}: {'; '.join(sorted(found[document], key=_in_order))}" if found[document] else document
        for document in sorted(found, key=_in_order)
    ]


def _in_order(text: str) -> str:
    """Without accents, and with numbers (with points between thousands) in the order of their size."""
    plain = re.sub(r"(?<=\d)\.(?=\d{3}\b)", "", unaccented(text))
    return re.sub(r"\d+", lambda found: found[0].zfill(9), plain)
