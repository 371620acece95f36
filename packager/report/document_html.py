"""Document -> one HTML page that prints well, fetches nothing and needs no script."""

from __future__ import annotations

from html import escape
from pathlib import Path

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

STYLE = Path(__file__).with_name("document.css")
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def page_of(document: Document) -> str:
    """The whole page; everything that it says is escaped."""
    body = "\n".join(_written(number, block) for number, block in numbered(document.blocks))
    return f"""<!doctype html>
<html lang="{escape(document.language)}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<link rel="icon" href="data:,">
<title>{escape(document.title)}</title>
<style>{STYLE.read_text(encoding="utf-8")}</style>
</head>
<body>
<main>
<header>
<h1>{escape(document.title)}</h1>
<p class="quiet">{escape(document.subtitle)}</p>
</header>
{body}
</main>
</body>
</html>
"""


def _written(number: str, block: Block) -> str:
    match block:
        case Heading(text, level, new_page):
            mark = ' class="page"' if new_page else ""
            return f'<h{level + 1} id="s{number.replace(" ", "-")}"{mark}>{number}. {escape(text)}</h{level + 1}>'
        case Paragraph(text, kind):
            return f"<p{f' class={chr(34)}{kind}{chr(34)}' if kind else ''}>{escape(text)}</p>"
        case Listing(items, small):
            return (
                f"<ul{' class=' + chr(34) + 'small' + chr(34) if small else ''}>\n"
                + "\n".join(f"<li>{escape(item)}</li>" for item in items)
                + "\n</ul>"
            )
        case Table():
            return _table(block)
        case Choices(labels):
            lines = "\n".join(f'<p class="choice"><i></i>{escape(label)}</p>' for label in labels)
            return f'<div class="blanks">\n{lines}\n</div>'
        case Spoken(asked, answered, remark):
            said = f'<p class="remark">{escape(remark)}</p>' if remark else ""
            return f'<div class="spoken"><p class="asked">{escape(asked)}</p>' \
                   f"<blockquote>{escape(answered)}</blockquote>{said}</div>"  # fmt: skip
        case Blanks(labels, box):
            shape = "box" if box else "line"
            lines = "\n".join(f'<p class="{shape}"><span>{escape(label)}</span><i></i></p>' for label in labels)
            return f'<div class="blanks">\n{lines}\n</div>'


def _table(table: Table) -> str:
    columns = "".join(f'<col style="width:{share:.1%}">' for share in table.widths)
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in table.head)
    rows = "\n".join(
        f"<tr{' class=' + chr(34) + 'sum' + chr(34) if number in table.sums else ''}>"
        + f'<th scope="row">{escape(row[0])}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for number, row in enumerate(table.rows)
    )
    return (
        f'<div class="wide" role="region" tabindex="0" aria-label="Tabela"><table>'
        f"{f'<colgroup>{columns}</colgroup>' if columns else ''}"
        f"{f'<thead><tr>{head}</tr></thead>' if head else ''}\n<tbody>\n{rows}\n</tbody></table></div>"
    )
