"""Auditing a file or a recipe from the command line, and writing the cleaned rows.

FILE or recipe -> `Prepared`, never a stop: bad rows and identifiers are counted and reported. The
columns of a bare file are told by their names.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from packager.artifacts.files import write_atomically
from packager.data.audit import identifiers
from packager.data.audit.beforehand import Prompt
from packager.data.audit.lengths import measurer_with
from packager.data.audit.preparation import Prepared, prepare
from packager.data.rows.formats import Row
from packager.data.rows.recognise import NOBODY, Named, Shape, columns_in, detected_encoding, recognised
from packager.data.rows.sources import Reading
from packager.data.rows.table import files_in, read_rows
from packager.recipe.loading import in_yaml
from packager.recipe.recipe import Recipe
from packager.recipe.sections import Data


def audit_file(
    source: str, *, redact: bool = False, language: str = "", described: Described | None = None
) -> Prepared:
    """Audit a file, folder or hf: data set as it is (as `described`, or as `describe` finds it); token lengths are
    not known without a model.

    Raises `InputError` for a source that is not there, unreadable, or whose columns say nothing.
    """
    described = described or describe(source)
    config = described.data.model_copy(update={"identifiers": "redact" if redact else "stop"})
    return prepare(config, read_rows(config), language=language)


def audit_recipe(recipe: Recipe, prompt: Prompt | None = None, *, redact: bool = False) -> Prepared:
    """Audit a recipe's data; with the prompt of its base model, token lengths too.

    `redact` replaces identifiers at which a build would stop: for rows that are to be written.
    """
    config = recipe.data
    if redact and config.identifiers == "stop":
        config = config.model_copy(update={"identifiers": "redact"})
    measure = measurer_with(prompt.frozen, prompt.tokenizer) if prompt else None
    return prepare(config, read_rows(config), measure, recipe.language)


def samples(prepared: Prepared, shown: int = 3) -> list[str]:
    """Places that `data.clean` mended, before and after, with identifiers replaced: for the terminal only."""
    lines = []
    for before, after in prepared.mended[:shown]:
        pairs = zip(before.messages, after.messages, strict=True)
        old, new = next((b, a) for (_, b), (_, a) in pairs if b != a)
        start = next((i for i, (x, y) in enumerate(zip(old, new, strict=False)) if x != y), 0)
        start = max(0, start - 20)
        old, new = (identifiers.redact(text)[0][start : start + 60].replace("\n", "⏎") for text in (old, new))
        lines += [f"  {before.file}:{before.line}, before: {old}", f"  {before.file}:{before.line}, after:  {new}"]
    return [f"Mended (data.clean): {len(prepared.mended)} rows, such as:", *lines] if lines else []


def write_rows(prepared: Prepared, path: Path) -> int:
    """Write the rows, in the order of the source, as JSON Lines of question, answer, topic and source, or of
    messages where a conversation has several turns. Returns how many."""
    listed = sorted((*prepared.train, *prepared.heldout), key=lambda row: (row.file, row.line))
    lines = [json.dumps(_plain(row), ensure_ascii=False) + "\n" for row in listed]
    write_atomically(path, "".join(lines))
    return len(lines)


@dataclass(frozen=True)
class Described:
    """The `data` section for a source, and in words what its columns were taken for."""

    data: Data
    taken: tuple[str, ...]
    other_splits: tuple[str, ...]
    """The splits of a folder laid out as on the Hub, beside the one to train on."""


def describe(source: str, encoding: str = "", sheet: str | None = None, named: Named = NOBODY) -> Described:
    """What a source is, told by the names of its columns; without an `encoding` given, it is looked for.

    Raises `InputError` that names the columns if they do not tell.
    """
    given = Data(source=source, sheet=sheet, encoding=encoding or "utf-8")
    files, _ = files_in(given)
    if not encoding:
        given = given.model_copy(update={"encoding": detected_encoding(files.read)})
    data, shapes = recognised(source, files.read, given, named)
    taken = [
        line for name, shape in shapes.items() for line in _meaning(shape, Path(name).name if len(shapes) > 1 else "")
    ]
    if len({(shape.format, shape.fields, shape.unread, shape.source) for shape in shapes.values()}) == 1:
        taken = _meaning(next(iter(shapes.values())), "")
    if data.encoding != "utf-8" and not encoding:
        which = ("the file is", "it is") if len(files.read) == 1 else ("the files are", "they are")
        taken.append(f"{which[0]} not UTF-8; {which[1]} read as {data.encoding} (encoding)")
    return Described(data, tuple(taken), tuple(files.other_splits))


def columns(config: Data) -> tuple[str, ...]:
    """The columns of the first file of a source."""
    files, _ = files_in(config)
    return columns_in(files.read[0], Reading(config.encoding, config.sheet))


def _meaning(shape: Shape, file: str) -> list[str]:
    head = f"{file}: " if file else ""
    fields = shape.fields
    what = {
        "qa": f"questions are in column '{fields.question}', answers in '{fields.answer}'",
        "alpaca": "rows are instructions (instruction, input, output)",
        "messages": "rows are conversations (messages)",
        "sharegpt": "rows are conversations (ShareGPT)",
        "medquad": "rows are MedQuAD's",
    }[shape.format]
    what += f", topics in '{fields.topic}'" if fields.topic else ""
    what += f", system messages in '{fields.system}'" if fields.system else ""
    told = [head + what]
    if shape.source:
        told.append(
            f"{head}column '{shape.source}' says where an answer comes from: it is not trained; for the clinic's page"
            f" to show it below the answer, give data.fields.source: {in_yaml(shape.source)}"
            " and knowledge: {rows: true}"
        )
    if shape.unread:
        told.append(f"{head}not read: column {', '.join(name[:40] for name in shape.unread[:20])}")
    return told


def _plain(row: Row) -> dict[str, object]:
    roles = [role for role, _ in row.messages]
    content: dict[str, object] = {"messages": row.as_messages()}
    if roles == ["user", "assistant"] and not row.untrained:
        content = {"question": row.question, "answer": row.answer}
    return content | {name: text for name, text in (("topic", row.topic), ("source", row.source)) if text}
