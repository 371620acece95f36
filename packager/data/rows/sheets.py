"""Spreadsheets (.xlsx, .xlsm, .xls, .ods): a workbook -> records, each with the number of its row in the sheet.

The first row that is not empty names the columns. A workbook with several sheets needs one named; a sheet that is
not there, a title above the header, a filled column without a name, a password or a broken file raises `InputError`.
Cells keep their kind: a number or a date is no text.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from packager.data.rows.header import LOOKED_AT, Numbered, check_no_title, columns_of, is_header, repeats
from packager.data.rows.records import Record, UnusableRow
from packager.errors import InputError, MissingResource, PackagerError
from packager.recipe.loading import in_yaml


def read_sheet(path: Path, sheet: str | None, columns: Sequence[str]) -> Iterator[Record | UnusableRow]:
    """The rows below the header of one sheet; of the only one with cells in it, where none is named."""
    filled = list(_filled(_cells(path, sheet)))
    check_no_title(path.name, filled[:LOOKED_AT], columns)
    if not filled:
        return
    (first, names), *rows = filled
    header = columns_of(f"{path.name}, row {first}", names, [values for _, values in rows])
    for number, values in rows:
        if repeats(header, values):
            yield UnusableRow(path.name, number, "repeats the header")
            continue
        yield Record(path.name, number, {name: value for name, value in zip(header, values, strict=False) if name})


def _filled(cells: Sequence[Sequence[Any]]) -> Iterator[Numbered]:
    """The rows in which something stands, with their numbers in the sheet."""
    for number, row in enumerate(cells, 1):
        values = [_plain(cell) for cell in row]
        if any(value not in (None, "") for value in values):
            yield number, values


def _cells(path: Path, sheet: str | None) -> list[list[Any]]:
    try:
        import python_calamine as calamine
    except ImportError as error:
        raise MissingResource(
            "Reading spreadsheets needs python-calamine.", "pip install python-calamine, or save it as CSV (UTF-8)"
        ) from error
    try:
        with calamine.CalamineWorkbook.from_path(str(path)) as book:
            found = {name: book.get_sheet_by_name(name).to_python(skip_empty_area=False) for name in book.sheet_names}
    except calamine.PasswordError as error:
        raise InputError(f"{path.name} is protected by a password.", "save it without one") from error
    except (KeyboardInterrupt, SystemExit, MemoryError, PackagerError):
        raise
    except BaseException as error:
        # A broken file may also end in a panic of the Rust library, which is no `Exception`.
        raise InputError(
            f"{path.name} is not a spreadsheet that can be read ({type(error).__name__}).",
            "open it and save it again as .xlsx or .ods, or as CSV (UTF-8)",
        ) from error
    filled = {name: rows for name, rows in found.items() if any(cell not in ("", None) for row in rows for cell in row)}
    if sheet is not None:
        if sheet not in found:
            raise InputError(f"{path.name} has no sheet '{sheet}'; it has {_listed(found)}.", "correct data.sheet")
        named: list[list[Any]] = found[sheet]
        return named
    if len(filled) > 1:
        raise _which(path.name, filled)
    return next(iter(filled.values()), [])


def _which(file: str, sheets: Mapping[str, Sequence[Sequence[Any]]]) -> InputError:
    """The sheets with their rows; the one to name, where exactly one has columns of question and answer."""
    listed = {name: list(_filled(rows)) for name, rows in sheets.items()}
    counts = ", ".join(f"'{name}' ({len(rows):,} row{'s' * (len(rows) != 1)})" for name, rows in listed.items())
    fitting = [name for name, rows in listed.items() if any(is_header(row) for _, row in rows[:LOOKED_AT])]
    told = f" Only '{fitting[0]}' has columns of question and answer." if len(fitting) == 1 else ""
    name = fitting[0] if len(fitting) == 1 else "NAME"
    return InputError(
        f"{file} has several sheets: {counts}.{told}",
        f"name one: data.sheet in a recipe (data: {{sheet: {in_yaml(name)}}}), otherwise --sheet {shlex.quote(name)}",
    )


def _listed(names: Mapping[str, Any]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _plain(cell: Any) -> Any:
    """A whole number as an integer: in a sheet every number is one with a fraction."""
    return int(cell) if isinstance(cell, float) and cell.is_integer() else cell
