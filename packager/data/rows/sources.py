"""Files of rows: a path -> records, each with the line it stands on.

JSON Lines, JSON, CSV (the delimiter is found), Parquet, MedQuAD's XML, and folders of such files.
What cannot be read becomes a `UnusableRow` record with its line and reason: never a traceback, and the rest
of the file is still read. Only a file that is missing, empty or in another encoding raises.
"""

from __future__ import annotations

import csv
import difflib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packager.data.rows import medquad
from packager.data.rows.encoding import read_text
from packager.errors import InputError, MissingResource

DELIMITERS = (",", ";", "\t", "|")


@dataclass(frozen=True)
class Record:
    """One row as it stands in the file. In Parquet, `line` is the number of the row."""

    file: str
    line: int
    values: Mapping[str, Any]


@dataclass(frozen=True)
class UnusableRow:
    """A row that cannot be used, and why (never what it says)."""

    file: str
    line: int
    reason: str


def files_of(source: Path, suffixes: Sequence[str] = ()) -> list[Path]:
    """The data files of a file or folder, in the order of their names.

    Raises `InputError` if there are none, with the nearest name that exists.
    """
    known = tuple(suffixes) or tuple(READERS)
    if source.is_dir():
        inside = sorted(
            p
            for p in source.rglob("*")
            if p.suffix.lower() in known
            and p.is_file()
            and not any(part.startswith(".") for part in p.relative_to(source).parts)
        )
        if not inside:
            raise InputError(f"The folder {source} holds no data file.", f"known are {', '.join(known)}")
        return inside
    if not source.is_file():
        raise InputError(f"There is no data file {source}.", _nearest(source))
    if source.suffix.lower() not in known:
        raise InputError(f"{source.name} is of no known type.", f"give it as {', '.join(known)}")
    return [source]


def read_file(path: Path, encoding: str, columns: Sequence[str]) -> Iterator[Record | UnusableRow]:
    """The records of one file; `columns` are those the caller needs (they help to find a delimiter).

    Raises `InputError` if the file is empty or not in `encoding`.
    """
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty.", "export it again")
    yield from READERS[path.suffix.lower()](path, encoding, columns)


def _json_lines(path: Path, encoding: str, columns: Sequence[str]) -> Iterator[Record | UnusableRow]:
    text = read_text(path, encoding)
    if text.lstrip().startswith("["):
        yield from _json_text(path.name, text)
        return
    # Not splitlines: U+2028 and the like may stand inside a JSON string.
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield _one_json(path.name, number, line)


def _one_json(name: str, number: int, line: str) -> Record | UnusableRow:
    try:
        value = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        why = error.msg if isinstance(error, json.JSONDecodeError) else "nested too deeply"
        return UnusableRow(name, number, f"invalid JSON ({why})")
    return _object(name, number, value)


def kind_of(value: Any) -> str:
    """What a value of a JSON file is called."""
    kinds = {
        int: "a number",
        float: "a number",
        bool: "true or false",
        str: "a text",
        list: "a list",
        dict: "an object",
    }
    return kinds.get(type(value), "nothing" if value is None else f"a {type(value).__name__}")


def _object(name: str, number: int, value: Any) -> Record | UnusableRow:
    if not isinstance(value, dict):
        return UnusableRow(name, number, f"not an object with named fields, but {kind_of(value)}")
    return Record(name, number, value)


def _json(path: Path, encoding: str, columns: Sequence[str]) -> Iterator[Record | UnusableRow]:
    yield from _json_text(path.name, read_text(path, encoding))


def _json_text(name: str, text: str) -> Iterator[Record | UnusableRow]:
    """A list of objects, an object with one such list in it, or (misnamed) JSON lines."""
    start = len(text) - len(text.lstrip())
    if text[start : start + 1] == "{":
        try:
            whole = json.loads(text)
        except json.JSONDecodeError as error:
            if error.msg != "Extra data":
                yield UnusableRow(name, error.lineno, f"invalid JSON ({error.msg})")
                return
            for number, line in enumerate(text.split("\n"), 1):
                if line.strip():
                    yield _one_json(name, number, line)
            return
        lists = [key for key, value in whole.items() if isinstance(value, list)]
        if len(lists) != 1 or "messages" in lists:
            yield _object(name, 1, whole)
            return
        start = _value_of(text, start, lists[0])
    yield from _json_array(name, text, start)


def _value_of(text: str, start: int, wanted: str) -> int:
    """Where the value of a key begins in the (valid) JSON object that begins at `start`."""
    decoder, position = json.JSONDecoder(), start + 1
    while True:
        position = _after(text, position, " \t\n\r,")
        key, position = decoder.raw_decode(text, position)
        position = _after(text, position, " \t\n\r:")
        if key == wanted:
            return position
        _, position = decoder.raw_decode(text, position)


def _after(text: str, position: int, skipped: str) -> int:
    while text[position] in skipped:
        position += 1
    return position


def _json_array(name: str, text: str, start: int) -> Iterator[Record | UnusableRow]:
    """The objects of the array that begins at `start`, each with the line it begins on."""
    decoder, position, line, counted = json.JSONDecoder(), start + 1, 1, 0
    while True:
        while position < len(text) and text[position] in " \t\n,":
            position += 1
        line, counted = line + text.count("\n", counted, position), position
        if text[position : position + 1] == "]":
            return
        try:
            value, position = decoder.raw_decode(text, position)
        except json.JSONDecodeError as error:
            yield UnusableRow(name, error.lineno, f"invalid JSON ({error.msg}); nothing after it was read")
            return
        yield _object(name, line, value)


def _csv(path: Path, encoding: str, columns: Sequence[str]) -> Iterator[Record | UnusableRow]:
    text = read_text(path, encoding)
    reader = csv.reader(_lines(text), delimiter=delimiter_of(text, columns), strict=True)
    header: list[str] = []
    while True:
        begins = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield UnusableRow(path.name, begins, f"broken CSV ({_csv_reason(error)})")
            continue
        if not header:
            header = [cell.strip() for cell in cells]
        elif len(cells) == len(header):
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


def _csv_reason(error: csv.Error) -> str:
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
        return (sum(c in header for c in columns), agree if len(header) > 1 else 0.0, len(header))

    return max(DELIMITERS, key=score)


def _parquet(path: Path, encoding: str, columns: Sequence[str]) -> Iterator[Record | UnusableRow]:
    try:
        import pyarrow
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise MissingResource("Reading Parquet needs pyarrow.", "pip install pyarrow, or export JSONL") from error
    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=2048):
                for values in batch.to_pylist():
                    number += 1
                    yield Record(path.name, number, values)
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"{path.name} is not a Parquet file that can be read: {error}", "export it again") from error


def _xml(path: Path, encoding: str, columns: Sequence[str]) -> Iterator[Record | UnusableRow]:
    for line, found in medquad.read_xml(path.read_bytes()):
        if isinstance(found, str):
            yield UnusableRow(path.name, line, found)
        else:
            yield Record(path.name, line, found)


def _nearest(path: Path) -> str:
    folder = path.parent
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    if folder != path.parent:
        return f"correct data.source: the folder {path.parent} does not exist either, {folder} does"
    names = [p.name for p in folder.iterdir() if p.is_dir() or p.suffix.lower() in READERS]
    near = difflib.get_close_matches(path.name, names, n=1)
    return f"did you mean {folder / near[0]}?" if near else "check data.source"


Reader = Callable[[Path, str, Sequence[str]], Iterator[Record | UnusableRow]]
READERS: dict[str, Reader] = {
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".json": _json,
    ".csv": _csv,
    ".tsv": _csv,
    ".parquet": _parquet,
    ".xml": _xml,
}
csv.field_size_limit(1 << 24)
