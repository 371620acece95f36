"""A document for people as frozen values: a title and blocks, which `document_html` and `document_pdf` write out.

One source for both, so that page and paper cannot say different things.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

ANNEX = "Anexo"


@dataclass(frozen=True)
class Heading:
    """Its number is given by the document: 1, 1.1."""

    text: str
    level: Literal[1, 2] = 1
    new_page: bool = False
    """On paper it begins a page."""
    annex: bool = False
    """It is lettered, and stands behind the chapters."""


@dataclass(frozen=True)
class Paragraph:
    text: str
    kind: Literal["", "notice", "quiet"] = ""
    """A notice is framed; what is quiet is small."""


@dataclass(frozen=True)
class Listing:
    items: tuple[str, ...]
    small: bool = False
    """In small letters and close together, for long lists."""


@dataclass(frozen=True)
class Table:
    """Rows of cells under a head; without a head, the first cell of a row names it."""

    rows: tuple[tuple[str, ...], ...]
    head: tuple[str, ...] = ()
    widths: tuple[float, ...] = ()
    """Shares of the page's width, one for each column; they sum to 1."""
    sums: tuple[int, ...] = ()
    """Rows that sum up others, counted from 0: they stand out."""


@dataclass(frozen=True)
class Spoken:
    """A question, what was answered, and a remark of ours on it."""

    asked: str
    answered: str
    remark: str = ""


@dataclass(frozen=True)
class Blanks:
    """What people fill in by hand: a label and a line for each, or an empty box where there is much to write."""

    labels: tuple[str, ...]
    box: bool = False


@dataclass(frozen=True)
class Choices:
    """Labels with an empty square before each, one of which people tick."""

    labels: tuple[str, ...]


Block = Choices | Heading | Paragraph | Listing | Table | Spoken | Blanks


@dataclass(frozen=True)
class Document:
    language: str
    title: str
    subtitle: str
    blocks: tuple[Block, ...]


def numbered(blocks: Sequence[Block]) -> Iterator[tuple[str, Block]]:
    """Every block, and before a heading its number ('' for the others): 1, 1.1; of an annex `Anexo A`, `A.1`."""
    chapters = annexes = section = 0
    within = ""
    for block in blocks:
        if not isinstance(block, Heading):
            yield "", block
        elif block.level == 2:
            section += 1
            yield f"{within}.{section}", block
        elif block.annex:
            annexes, section = annexes + 1, 0
            within = chr(ord("A") + annexes - 1)
            yield f"{ANNEX} {within}", block
        else:
            chapters, section = chapters + 1, 0
            within = str(chapters)
            yield within, block


def texts_of(blocks: Sequence[Block]) -> Iterator[str]:
    """Everything that the blocks say, text by text."""
    for block in blocks:
        match block:
            case Heading(text) | Paragraph(text):
                yield text
            case Listing(items):
                yield from items
            case Table(rows, head):
                yield from head
                for row in rows:
                    yield from row
            case Spoken(asked, answered, remark):
                yield from (asked, answered, remark)
            case Blanks(labels) | Choices(labels):
                yield from labels
