"""CSV and TSV: text -> records, each with the line it begins on. The delimiter is found.

Excel's first line `sep=;` says the delimiter. A row of another number of cells, or a quote that never closes, is a
`UnusableRow` record; a header that names a column twice raises `InputError`.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from packager.data.rows.columns import check_once, column
from packager.data.rows.encoding import read_text
from packager.data.rows.records import Record, UnusableRow

DELIMITERS = (",", ";", "\t", "|")
_SEP = re.compile(r'"?sep=(?P<delimiter>.)"?[,;\t|]*\n', re.IGNORECASE)
csv.field_size_limit(1 << 24)


def read_csv(path: Path, encoding: str, columns: Sequence[str]) -> Iterator[Record | UnusableRow]:
    """The rows below the header; `columns` are those wanted: they help to find the delimiter."""
    text = read_text(path, encoding)
    said = _SEP.match(text)
    skipped = 1 if said else 0
    text = text[said.end() :] if said else text
    delimiter = said["delimiter"] if said else delimiter_of(text, columns)
    reader = csv.reader(_lines(text), delimiter=delimiter, strict=True)
    header: list[str] = []
    while True:
        begins = reader.line_num + 1 + skipped
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield UnusableRow(path.name, begins, f"broken CSV ({_reason(error)})")
            continue
        if not header:
            header = [cell.strip() for cell in cells]
            check_once(path.name, header)
        elif len(cells) == len(header):
            if any(cell.strip() for cell in cells):
                yield Record(path.name, begins, dict(zip(header, cells, strict=True)))
        elif any(cell.strip() for cell in cells):
            yield UnusableRow(path.name, begins, f"{len(cells)} cells, but the header has {len(header)}")


def _lines(text: str) -> Iterator[str]:
    """Lines with their `\\n`; only `\\n` ends a line, as editors count."""
    start = 0
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end + 1
        yield text[start:end]
        start = end


def _reason(error: csv.Error) -> str:
    text = str(error)
    if text == "unexpected end of data":
        return "a quote is opened and never closed; nothing after it was read"
    return "a closing quote is followed by text" if "expected after" in text else text


def delimiter_of(text: str, columns: Sequence[str]) -> str:
    """The delimiter under which the header holds the wanted columns and the rows agree with it."""
    sample = text[:200_000]

    def score(delimiter: str) -> tuple[int, float, int]:
        rows = []
        try:
            for cells in csv.reader(_lines(sample), delimiter=delimiter):
                rows.append(cells)
                if len(rows) > 200:
                    break
        except csv.Error:
            return (0, 0.0, 0)
        header = [cell.strip() for cell in rows[0]] if rows else []
        agree = sum(len(row) == len(header) for row in rows) / max(1, len(rows))
        held = sum(column(header, wanted) is not None for wanted in columns)
        return (held, agree if len(header) > 1 else 0.0, len(header))

    return max(DELIMITERS, key=score)
