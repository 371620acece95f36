"""CSV and TSV: text -> records, each with the line it begins on. The delimiter is found.

Excel's first line `sep=;` says the delimiter. A row of another number of cells, a quote that never closes or that
closes only rows further down, and a header that stands there again are `UnusableRow` records; a header that names a
column twice or not at all, a title above it, JSON, or a `sep=` line that says another delimiter than the rows have
raise `InputError`.
"""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from packager.data.rows.columns import column
from packager.data.rows.encoding import read_text
from packager.data.rows.header import LOOKED_AT, Numbered, check_no_title, columns_of, is_header, repeats
from packager.data.rows.records import Record, UnusableRow
from packager.errors import InputError

DELIMITERS = (",", ";", "\t", "|")
_SEP = re.compile(r'"?sep=(?P<delimiter>.)"?[,;\t|]*\n', re.IGNORECASE)
csv.field_size_limit(1 << 24)


def read_csv(path: Path, encoding: str, columns: Sequence[str]) -> Iterator[Record | UnusableRow]:
    """The rows below the header; `columns` are those wanted: they help to find the delimiter."""
    text = read_text(path, encoding)
    if _is_json(text.lstrip()):
        raise InputError(
            f"{path.name} begins with '{text.lstrip()[0]}': it is JSON, not CSV.",
            "name it .jsonl (one object a line) or .json (a list of objects), and give that",
        )
    said = _SEP.match(text)
    skipped = 1 if said else 0
    text = text[said.end() :] if said else text
    delimiter = said["delimiter"] if said else delimiter_of(text, columns)
    if said:
        _check_said(path.name, delimiter, text, columns)
    _check_no_title(path.name, text, delimiter, skipped, columns)
    rows = list(_rows(path.name, text, delimiter, skipped))
    at = next((number for number, row in enumerate(rows) if not isinstance(row, UnusableRow)), None)
    header = None if at is None else rows.pop(at)
    if header is None or isinstance(header, UnusableRow):
        yield from (row for row in rows if isinstance(row, UnusableRow))
        return
    names = columns_of(path.name, header[1], [row[1] for row in rows if not isinstance(row, UnusableRow)])
    for row in rows:
        yield row if isinstance(row, UnusableRow) else _record(path.name, names, *row, delimiter)


def _is_json(text: str) -> bool:
    """Whether it begins as an object or as a list of objects; names of columns may stand in square brackets."""
    return re.match(r"\{|\[\s*(\{|$)", text) is not None


def _rows(file: str, text: str, delimiter: str, skipped: int) -> Iterator[Numbered | UnusableRow]:
    """The rows that are not empty, each with the line it begins on."""
    reader = csv.reader(_lines(text), delimiter=delimiter, strict=True)
    while True:
        begins = reader.line_num + 1 + skipped
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield UnusableRow(file, begins, f"broken CSV ({_reason(error)})")
            continue
        if any(cell.strip() for cell in cells):
            yield begins, cells


def _record(file: str, names: Sequence[str], begins: int, cells: Sequence[str], delimiter: str) -> Record | UnusableRow:
    if repeats(names, cells):
        return UnusableRow(file, begins, "repeats the header")
    if any(_holds_rows(cell, len(names), delimiter) for cell in cells):
        ends = begins + sum(cell.count("\n") for cell in cells)
        return UnusableRow(
            file,
            begins,
            f"lines {begins} to {ends} are one row: a quote opens in line {begins} and closes further down, and the"
            " lines between look like rows of their own; take it out, or close it",
        )
    if len(cells) != len(names):
        cells_found = f"{len(cells)} cell{'s' * (len(cells) != 1)}"
        return UnusableRow(file, begins, f"{cells_found}, but the header has {len(names)}")
    return Record(file, begins, {name: cell for name, cell in zip(names, cells, strict=True) if name})


def _holds_rows(cell: str, columns: int, delimiter: str) -> bool:
    """Whether a cell holds lines that are rows: two or more with as many cells as the header has, of which two are of
    several words. In prose a space follows the comma, or digits stand on both sides of it; lists are of single
    words."""
    if columns < 2 or "\n" not in cell:
        return False
    listed = [line.split(delimiter) for line in cell.split("\n")]
    return sum(len(cells) == columns and _is_row(cells) for cells in listed) > 1


def _is_row(cells: Sequence[str]) -> bool:
    return sum(" " in cell.strip() for cell in cells) > 1 and not any(map(_is_prose, cells, cells[1:]))


def _is_prose(before: str, after: str) -> bool:
    """Whether a delimiter between these two seems to be a mark of punctuation."""
    return not after or after[0].isspace() or (before[-1:].isdecimal() and after[0].isdecimal())


def _check_said(file: str, said: str, text: str, columns: Sequence[str]) -> None:
    """Raise `InputError` if the header has no delimiter of the kind that the line `sep=` says, but another."""
    found = delimiter_of(text, columns)
    header = _first_rows(text, found, 0)[:1]
    if found == said or not header or len(header[0][1]) < 2 or len(_first_rows(text, said, 0)[0][1]) > 1:
        return
    raise InputError(
        f"{file}: its first line is 'sep={_shown(said)}', but the header below it is separated by {_named(found)}.",
        f"make the first line 'sep={_shown(found)}', or delete that line: the delimiter is found without it",
    )


def _shown(delimiter: str) -> str:
    return "<tab>" if delimiter == "\t" else delimiter


def _named(delimiter: str) -> str:
    return "tabs" if delimiter == "\t" else f"'{delimiter}'"


def _check_no_title(file: str, text: str, delimiter: str, skipped: int, columns: Sequence[str]) -> None:
    """Raise `InputError` for a title above the header. It may hide the delimiter, so each is tried."""
    first = _first_rows(text, delimiter, skipped)
    check_no_title(file, first, columns)
    if first and len(first[0][1]) == 1:
        for other in DELIMITERS:
            rows = _first_rows(text, other, skipped)
            if any(is_header(cells) for _, cells in rows):
                check_no_title(file, rows, columns)


def _first_rows(text: str, delimiter: str, skipped: int) -> list[Numbered]:
    """The first rows that are not empty, each with the line it begins on; up to one that cannot be read."""
    reader = csv.reader(_lines(text), delimiter=delimiter)
    rows: list[Numbered] = []
    begins = skipped + 1
    try:
        for cells in itertools.islice(reader, 5 * LOOKED_AT):
            if any(cell.strip() for cell in cells):
                rows.append((begins, cells))
            begins = reader.line_num + skipped + 1
    except csv.Error:
        pass
    return rows[:LOOKED_AT]


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
