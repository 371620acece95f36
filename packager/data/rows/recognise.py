"""A source that no recipe describes -> the `data` section that reads it: format, columns, encoding.

Columns are known by their names, in Portuguese and English, whatever their case and accents; never by their
position. Raises `InputError` that names the columns and the flags to type, where the names do not tell.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from packager.data.rows import medquad
from packager.data.rows.columns import (
    SOURCES,
    SYSTEMS,
    TOPICS,
    check_no_row,
    column,
    folded,
    known_column,
    known_pair,
)
from packager.data.rows.conversations import ROLE_KEYS, TEXT_KEYS
from packager.data.rows.encoding import encoding_of
from packager.data.rows.formats import INPUT, INSTRUCTION, NOT_TEXT, OUTPUT
from packager.data.rows.json_files import CONVERSATIONS
from packager.data.rows.records import Record, UnusableRow
from packager.data.rows.sources import TEXT, Reading, read_file
from packager.errors import InputError
from packager.recipe.sections import Data, Fields

SHOWN = 20
"""Files that a message names."""
LOOKED_AT = 50
"""Rows whose keys are taken as the columns: in JSON Lines every row names its own."""


@dataclass(frozen=True)
class Named:
    """The columns that somebody named: with a flag of `packager new` or `packager audit`."""

    question: str = ""
    answer: str = ""
    topic: str = ""
    system: str = ""


NOBODY = Named()
BY_ROW = (".jsonl", ".ndjson", ".json")
"""Files in which every row names its own columns."""


@dataclass(frozen=True)
class Shape:
    """What a file's columns mean, and which of them are not read."""

    format: str
    fields: Fields
    unread: tuple[str, ...]
    source: str | None = None
    """The column that says where an answer comes from; a recipe's `data.fields.source` would name it."""


def columns_in(path: Path, how: Reading, rows: int | None = LOOKED_AT) -> tuple[str, ...]:
    """The columns of a file: those of its first rows together (None: of all); () if no row can be read."""
    records = (record for record in read_file(path, how) if isinstance(record, Record))
    names = (str(name) for record in itertools.islice(records, rows) for name in record.values)
    return tuple(dict.fromkeys(name for name in names if name))


def detected_encoding(files: Sequence[Path]) -> str:
    """The encoding that all text files are in, by their letters: one that is ASCII alone is in any of 8 bits.

    Raises `InputError` for files of several encodings: a recipe has one, and the others would be misread.
    """
    texts = [path for path in files if path.suffix.lower() in TEXT]
    found = {path: encoding_of(path) for path in texts}
    kinds = {path: kind for path, kind in found.items() if kind != "utf-8" or not path.read_bytes().isascii()}
    wide = any(kind.startswith(("utf-16", "utf-32")) for kind in kinds.values())
    named = found if wide else kinds
    if len(set(named.values())) > 1:
        listed = ", ".join(f"{path.name} is {kind}" for path, kind in itertools.islice(named.items(), SHOWN))
        raise InputError(
            f"The files are in different encodings: {listed}"
            f"{f' and {len(named) - SHOWN} more' if len(named) > SHOWN else ''}.",
            "save all of them as UTF-8; or, where all are in one and some are taken for another, name it: --encoding",
        )
    return next(iter(named.values()), "utf-8")


def shape_of(file: str, columns: Sequence[str], named: Named = NOBODY) -> Shape:
    """The format and fields of a file with such columns; raises `InputError` if their names do not tell."""
    for flag, name in (("question", named.question), ("answer", named.answer), ("topic", named.topic)):
        if name and column(columns, name) is None:
            raise InputError(f"{file} has no column '{name}'; it has {_listed(columns)}.", f"correct --{flag}")
    topic = column(columns, named.topic) if named.topic else known_column(columns, TOPICS)
    system = column(columns, named.system) if named.system else known_column(columns, SYSTEMS)
    more: dict[str, Any] = {"topic": topic, "system": system}
    if named.question or named.answer:
        pair = known_pair(columns)
        question, answer = named.question or (pair[0] if pair else ""), named.answer or (pair[1] if pair else "")
        if question and answer and column(columns, question) != column(columns, answer):
            return _qa(file, columns, str(column(columns, question)), str(column(columns, answer)), more, named)
        raise _which(file, columns, named)
    if set(medquad.COLUMNS) <= set(columns) or file.lower().endswith(".xml") or "qtype" in columns:
        return Shape("medquad", Fields(), ())
    if column(columns, "messages"):
        return _shape("messages", columns, _fields(file, more), ("messages",))
    if any(column(columns, name) for name in CONVERSATIONS):
        return _shape("sharegpt", columns, _fields(file, more), CONVERSATIONS)
    if known_column(columns, INSTRUCTION) and known_column(columns, OUTPUT):
        return _shape("alpaca", columns, _fields(file, more), (*INSTRUCTION, *INPUT, *OUTPUT))
    if (pair := known_pair(columns)) is not None:
        check_no_row(file, pair)  # a sentence of the data may hold such a word too
        return _qa(file, columns, *pair, more, named)
    check_no_row(file, columns)
    raise _which(file, columns, named)


def recognised(source: str, files: Sequence[Path], data: Data, named: Named = NOBODY) -> tuple[Data, dict[str, Shape]]:
    """`data` with the format and fields that fit its files, and what each file's columns mean.

    Files of different shapes are read each in its own (`format: mixed`). Raises `InputError` if the columns of
    one do not tell, or if no row of any can be read.
    """
    how = Reading(data.encoding, data.sheet)
    shapes: dict[str, Shape] = {}
    for path in files:
        if columns := columns_in(path, how):
            shape = shape_of(path.name, columns, named)
            shapes[path.name if len(files) == 1 else str(path)] = _with_late(shape, path, how, columns, named)
    if not shapes:
        why = next(
            (f": line {bad.line}, {bad.reason}" for bad in read_file(files[0], how) if isinstance(bad, UnusableRow)), ""
        )
        raise InputError(f"{source} holds no row that can be read{why}.", "look into it, and export it again")
    kinds = {(shape.format, shape.fields) for shape in shapes.values()}
    first = next(iter(shapes.values()))
    if len(kinds) == 1:
        return data.model_copy(update={"format": first.format, "fields": first.fields}), shapes
    topics = all(shape.fields.topic for shape in shapes.values())
    if not topics:
        shapes = {name: _without_topic(shape) for name, shape in shapes.items()}
    return data.model_copy(update={"format": "mixed", "fields": Fields(topic="topic" if topics else None)}), shapes


def _with_late(shape: Shape, path: Path, how: Reading, columns: Sequence[str], named: Named) -> Shape:
    """The same, with the columns that only rows below the first have: they are not read, and that is said."""
    if path.suffix.lower() not in BY_ROW:
        return shape
    every = columns_in(path, how, None)
    if not (late := [name for name in every if name not in columns]):
        return shape
    try:
        whole = shape_of(path.name, every, named)
    except InputError:
        whole = shape
    if (whole.format, whole.fields) == (shape.format, shape.fields) and whole is not shape:
        return whole
    return replace(shape, unread=(*shape.unread, *late))


def _without_topic(shape: Shape) -> Shape:
    unread = (*shape.unread, shape.fields.topic) if shape.fields.topic else shape.unread
    return replace(shape, fields=shape.fields.model_copy(update={"topic": None}), unread=unread)


def _qa(file: str, columns: Sequence[str], question: str, answer: str, more: dict[str, Any], named: Named) -> Shape:
    said = {name for name in more if getattr(named, name)}  # what somebody named is never left out unsaid
    taken = {name: value for name, value in more.items() if name in said or value not in (question, answer)}
    fields = _fields(file, {"question": question, "answer": answer} | taken)
    return _shape("qa", columns, fields, (question, answer))


def _fields(file: str, names: dict[str, Any]) -> Fields:
    try:
        return Fields(**names)
    except ValidationError as error:
        said = error.errors()[0]["ctx"]["error"]
        raise InputError(f"{file}: {said}.", "name another column: --topic, or --question and --answer") from error


def _shape(format_: str, columns: Sequence[str], fields: Fields, wanted: Sequence[str]) -> Shape:
    read = {column(columns, name) for name in (*wanted, *NOT_TEXT, fields.topic or "", fields.system or "")}
    source = known_column([name for name in columns if name not in read], SOURCES)
    return Shape(format_, fields, tuple(name for name in columns if name not in {*read, source}), source)


def _which(file: str, columns: Sequence[str], named: Named) -> InputError:
    if len(columns) < 2:
        return InputError(
            f"{file}: a row is a question and an answer, and it has one column: {_listed(columns)}.",
            "write them into two columns (question, answer), or as a list of turns: "
            '{"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}',
        )
    if set(map(folded, columns)) & set(ROLE_KEYS) and set(map(folded, columns)) & set(TEXT_KEYS):
        return InputError(
            f"{file}: each line is one turn of a conversation, or a bare list of them; it has {_listed(columns)}.",
            'write a conversation a line: {"messages": [...]}',
        )
    flags = [f"--{name} COLUMN" for name in ("question", "answer") if not getattr(named, name)]
    return InputError(
        f"{file}: which column is the question, and which the answer? It has {_listed(columns)}.",
        f"say so: {' '.join(flags or ['--question COLUMN --answer COLUMN'])}",
    )


def _listed(columns: Sequence[str]) -> str:
    shown = [name if len(name) <= 40 else f"{name[:37]}..." for name in columns[:20]]
    return ", ".join(shown) + (f" and {len(columns) - 20} more" if len(columns) > 20 else "")
