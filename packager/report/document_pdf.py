"""Document -> the same as PDF, in A4, with reportlab and the fonts that come with it.

The same document gives the same bytes: no date, no random id. A letter that the font lacks is written as its number
in Unicode, [U+4E2D], never dropped.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from packager.report.document import (
    Blanks,
    Block,
    Choices,
    Document,
    Heading,
    Listing,
    Paragraph,
    Spoken,
    Table,
    numbered,
)

PLAIN, BOLD = "Vera", "VeraBd"
BLUE, GREY, LINE, SAND = "#1f5a92", "#3d444d", "#b5bdc6", "#fff8e1"
MARGIN = 48.0
"""Points."""
ROOM = {1: 175.0, 2: 110.0}
"""Points that a heading needs on its page, so that something of what it is over stands there too: one of the second
level may follow at once."""
REPLACED = {"→": "->", "←": "<-", "✓": "sim", "✗": "não", "☐": "[ ]", "\u202f": " ", "\u2011": "-", "\t": " "}
"""Signs that the font lacks and that have another spelling."""


def pdf_of(document: Document) -> bytes:
    """The whole file: laid out once to count its pages, and again with that number on each."""
    _, pages = _laid_out(document, 0)
    return _laid_out(document, pages)[0]


def _laid_out(document: Document, pages: int) -> tuple[bytes, int]:
    """The file, with `pages` as the number of all pages on each; and how many there are."""
    from reportlab.lib.pagesizes import A4
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.ttfonts import TTFont
    from reportlab.platypus import SimpleDocTemplate

    for name in (PLAIN, BOLD):
        pdfmetrics.registerFont(TTFont(name, f"{name}.ttf"))
    pdfmetrics.registerFontFamily(PLAIN, normal=PLAIN, bold=BOLD, italic=PLAIN, boldItalic=BOLD)
    out = io.BytesIO()
    template = SimpleDocTemplate(
        out, pagesize=A4, title=document.title, author="", subject=document.subtitle, lang=document.language,
        leftMargin=MARGIN, rightMargin=MARGIN, topMargin=MARGIN, bottomMargin=MARGIN, invariant=1,
    )  # fmt: skip
    styles = _styles()
    story: list[Any] = [_text(document.title, styles["h1"]), _text(document.subtitle, styles["quiet"])]
    for number, block in numbered(document.blocks):
        story += _flowing(number, block, styles, template.width)
    foot = _foot(document, pages)
    template.build(story, onFirstPage=foot, onLaterPages=foot)
    return out.getvalue(), template.page


def _styles() -> dict[str, Any]:
    from reportlab.lib.colors import HexColor
    from reportlab.lib.styles import ParagraphStyle

    plain = ParagraphStyle("plain", fontName=PLAIN, fontSize=9, leading=13, spaceAfter=5, splitLongWords=1)

    def like(name: str, **change: Any) -> Any:
        return ParagraphStyle(name, parent=plain, **change)

    return {
        "": plain,
        "h1": like("h1", fontName=BOLD, fontSize=17, leading=22),
        "h2": like("h2", fontName=BOLD, fontSize=12.5, leading=16, spaceBefore=12, textColor=HexColor(BLUE)),
        "h3": like("h3", fontName=BOLD, fontSize=10, leading=14, spaceBefore=6),
        "listed": like("listed", fontSize=7.6, leading=10, spaceAfter=1.5),
        "quiet": like("quiet", fontSize=8, leading=11, textColor=HexColor(GREY)),
        "notice": like("notice", backColor=HexColor(SAND), borderColor=HexColor("#b58100"), borderWidth=0.7,
                       borderPadding=6, spaceBefore=14, spaceAfter=16),
        "cell": like("cell", fontSize=7.6, leading=10, spaceAfter=0),
        "head": like("head", fontName=BOLD, fontSize=7.6, leading=10, spaceAfter=0),
        "asked": like("asked", fontName=BOLD, spaceAfter=1, keepWithNext=1),
        "answered": like("answered", leftIndent=12, spaceAfter=2),
        "remark": like("remark", fontSize=8.4, leading=11.5, leftIndent=12, spaceAfter=8),
    }  # fmt: skip


def _flowing(number: str, block: Block, styles: Mapping[str, Any], width: float) -> Iterator[Any]:
    from reportlab.platypus import CondPageBreak, KeepTogether, ListFlowable, PageBreak, Spacer

    match block:
        case Heading(text, level, new_page):
            yield PageBreak() if new_page else CondPageBreak(ROOM[level])
            yield _text(f"{number}. {text}", styles["h2" if level == 1 else "h3"])
        case Paragraph(text, kind):
            yield _text(text, styles[kind])
        case Listing(items, small):
            bullets = [_text(item, styles["listed" if small else ""]) for item in items]
            yield ListFlowable(bullets, bulletType="bullet", start="•", bulletFontName=PLAIN,
                               bulletFontSize=7.6 if small else 9, leftIndent=12)  # fmt: skip
        case Table():
            yield _table(block, styles, width)
        case Spoken(asked, answered, remark):
            yield _text(asked, styles["asked"])
            yield _text(answered, styles["answered"])
            yield _text(f"» {remark}" if remark else "", styles["remark"])
        case Choices(labels):
            yield from (_choice(label, styles, width) for label in labels)
            yield Spacer(1, 8)
        case Blanks():
            yield KeepTogether([_blanks(block, styles, width)])


def _table(table: Table, styles: Mapping[str, Any], width: float) -> Any:
    from reportlab.lib.colors import HexColor
    from reportlab.platypus import Table as Grid

    columns = max(len(row) for row in (*table.rows, table.head))
    widths = [width * share for share in (table.widths or [1 / columns] * columns)]
    rows = [[_text(cell, styles["head"]) for cell in table.head]] if table.head else []
    rows += [
        [
            _text(cell, styles["head" if number in table.sums or (n == 0 and not table.head) else "cell"])
            for n, cell in enumerate(row)
        ]
        for number, row in enumerate(table.rows)
    ]
    beneath = bool(table.head)
    look: list[Any] = [
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("LINEBELOW", (0, 0), (-1, -1), 0.4, HexColor(LINE)),
        ("LEFTPADDING", (0, 0), (-1, -1), 4),
        ("RIGHTPADDING", (0, 0), (-1, -1), 4),
        ("TOPPADDING", (0, 0), (-1, -1), 2.5),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 3.5),
    ]
    look += [("BACKGROUND", (0, n + beneath), (-1, n + beneath), HexColor("#eef1f4")) for n in table.sums]
    if len(rows) > 3:  # no row stands alone on a page
        look += [("NOSPLIT", (0, -2), (-1, -1)), ("NOSPLIT", (0, 0), (-1, 1 + beneath))]
    if table.head:
        look.append(("BACKGROUND", (0, 0), (-1, 0), HexColor("#eef4fb")))
    return Grid(rows, colWidths=widths, repeatRows=1 if table.head else 0, style=look, spaceAfter=8, spaceBefore=3)


def _blanks(blanks: Blanks, styles: Mapping[str, Any], width: float) -> Any:
    from reportlab.lib.colors import HexColor
    from reportlab.platypus import Table as Grid

    dark = HexColor(GREY)
    if blanks.box:
        rows = [[_text(label, styles["cell"])] for label in blanks.labels]
        return Grid(rows, colWidths=[width], rowHeights=[62] * len(rows), spaceAfter=8,
                    style=[("VALIGN", (0, 0), (-1, -1), "TOP"), ("GRID", (0, 0), (-1, -1), 0.6, dark)])  # fmt: skip
    rows = [[_text(label, styles["cell"]), ""] for label in blanks.labels]
    return Grid(rows, colWidths=[width * 0.36, width * 0.64], rowHeights=[25] * len(rows), spaceAfter=8,
                style=[("VALIGN", (0, 0), (-1, -1), "BOTTOM"), ("LINEBELOW", (1, 0), (1, -1), 0.6, dark)])  # fmt: skip


def _choice(label: str, styles: Mapping[str, Any], width: float) -> Any:
    """An empty square and what it stands for."""
    from reportlab.lib.colors import black
    from reportlab.platypus import Table as Grid

    square = Grid([[""]], colWidths=[10], rowHeights=[10], style=[("BOX", (0, 0), (-1, -1), 0.9, black)])
    middle = [("VALIGN", (0, 0), (-1, -1), "MIDDLE"), ("LEFTPADDING", (0, 0), (0, 0), 4)]
    return Grid([[square, _text(label, styles["cell"])]], colWidths=[24, width - 24], rowHeights=[20], style=middle)


def _text(text: str, style: Any) -> Any:
    from reportlab.platypus import Paragraph as Flowing

    return Flowing(escape(_within_the_font(text)).replace("\n", "<br/>"), style)


def _within_the_font(text: str) -> str:
    from reportlab.pdfbase import pdfmetrics

    font: Any = pdfmetrics.getFont(PLAIN)
    there = font.face.charToGlyph
    known = {ord(sign): said for sign, said in REPLACED.items()}
    return "".join(c if c == "\n" or ord(c) in there else f"[U+{ord(c):04X}]" for c in text.translate(known))


def _foot(document: Document, pages: int) -> Any:
    """What draws the foot of a page: its title, its number, and the number of all pages."""

    def draw(canvas: Any, _template: Any) -> None:
        canvas.setFont(PLAIN, 7)
        canvas.drawString(MARGIN, 26, _within_the_font(document.title))
        number = f"página {canvas.getPageNumber()} de {pages}"
        canvas.drawRightString(canvas._pagesize[0] - MARGIN, 26, number)

    return draw
