"""The first rows of a table -> which of them names the columns.

A sheet that people made for people often has a title above its header. Such a table is refused in words
(`InputError`) that say which row the header seems to be: which one it is, the author says by editing the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from packager.data.rows.columns import check_no_row, check_once, column, known_pair
from packager.errors import InputError

LOOKED_AT = 20
"""Rows from the top in which a header is looked for."""

Numbered = tuple[int, Sequence[Any]]
"""A row with its number in the file, counted from 1."""


def check_no_title(file: str, rows: Sequence[Numbered], wanted: Sequence[str]) -> None:
    """Raise `InputError` if the first of the `rows` is a title above the header, not the header.

    `rows` are the first that are not empty. The first is the header where it has one of the columns `wanted` or
    names that are known. It is a title where a later row has such names, or where it has one cell of several
    columns and a later row more of them.
    """
    if not rows or is_header(rows[0][1]) or any(column(names_of(rows[0][1]), name) for name in wanted):
        return
    number, first = rows[0]
    below = next((row for row in rows[1:LOOKED_AT] if is_header(row[1])), None)
    if below is None and len(names_of(first)) < 2 <= len(first):
        below = next((row for row in rows[1:LOOKED_AT] if len(names_of(row[1])) > 1), None)
    if below is None:
        return
    above = f"row {number}" if below[0] == number + 1 else f"rows {number} to {below[0] - 1}"
    names = names_of(below[1])
    if _are_names(names):
        raise InputError(
            f"{file}: row {number} reads like a title; the names of the columns seem to be in row {below[0]}"
            f" ({', '.join(name[:40] for name in names[:20])}).",
            f"delete {above}, so that the names of the columns come first, and save the file",
        )
    raise InputError(
        f"{file}: row {number} should name the columns and has one cell; row {below[0]} has {len(names)}.",
        f"give every column a name, such as pergunta and resposta, in a row above row {below[0]}; delete a title"
        " that stands above the names",
    )


def columns_of(file: str, header: Sequence[Any], rows: Sequence[Sequence[Any]]) -> list[str]:
    """The names that a header gives its columns: '' for an empty column without one, and for a column of row numbers,
    as pandas writes it before the others, a name that says so (nothing is read from it, and it is listed).

    Raises `InputError` for a name that stands twice, and for a column without a name in which something stands: it
    may be the other half of a merged cell, and would be lost.
    """
    names = [_text(cell) for cell in header]
    check_once(file, names)
    for at in [at for at, name in enumerate(names) if not name]:
        cells = [_text(row[at]) for row in rows if at < len(row)]
        filled = sum(map(bool, cells))
        if at == 0 and filled and all(not cell or (cell.isdecimal() and len(cell) < 10) for cell in cells):
            names[at] = f"{_letter(at)} (numbers without a name)"
        elif filled:
            raise InputError(
                f"{file}: column {_letter(at)} has no name in the header, and {filled} cell{'s' * (filled != 1)} below"
                " it hold something.",
                "name it, or delete it; where the cell beside it is merged over both, unmerge it and name each",
            )
    return names


def repeats(header: Sequence[str], cells: Sequence[Any]) -> bool:
    """Whether a row only says the names of the columns again, as on each printed page or where files were joined."""
    said = [(name, text) for name, cell in zip(header, cells, strict=False) if (text := _text(cell))]
    # Two equal rows of a file without a header are rows of the data.
    return bool(said) and all(name == text for name, text in said) and _are_names([name for name, _ in said])


def _letter(at: int) -> str:
    """A column as spreadsheets call it: A, B, ... AA."""
    letters = ""
    at += 1
    while at:
        at, rest = divmod(at - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters


def _text(cell: Any) -> str:
    """A cell as text. A byte order mark stands within a file where two files were joined."""
    return str(cell if cell is not None else "").strip().strip("\ufeff")


def is_header(cells: Sequence[Any]) -> bool:
    """Whether a row names a question and an answer, and no cell of it reads like a text of the data."""
    names = names_of(cells)
    return known_pair(names) is not None and _are_names(names)


def names_of(cells: Sequence[Any]) -> list[str]:
    """The cells of a row that hold something, as texts."""
    return [text for cell in cells if (text := _text(cell))]


def _are_names(names: Sequence[str]) -> bool:
    try:
        check_no_row("", names)
    except InputError:
        return False
    return True
