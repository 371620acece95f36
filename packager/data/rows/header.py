"""The first rows of a table -> which of them names the columns.

A sheet that people made for people often has a title above its header. Such a table is refused in words
(`InputError`) that say which row the header seems to be: which one it is, the author says by editing the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from packager.data.rows.columns import check_no_row, column, known_pair
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


def is_header(cells: Sequence[Any]) -> bool:
    """Whether a row names a question and an answer, and no cell of it reads like a text of the data."""
    names = names_of(cells)
    return known_pair(names) is not None and _are_names(names)


def names_of(cells: Sequence[Any]) -> list[str]:
    """The cells of a row that hold something, as texts."""
    return [text for cell in cells if (text := str(cell if cell is not None else "").strip())]


def _are_names(names: Sequence[str]) -> bool:
    try:
        check_no_row("", names)
    except InputError:
        return False
    return True
