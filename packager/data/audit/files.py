"""Auditing a file or a recipe from the command line, and writing the cleaned rows.

FILE or recipe -> `Prepared`, never a stop: bad rows and identifiers are counted and reported. The
columns of a bare file are guessed from their names.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

from packager.artifacts.files import write_atomically
from packager.data.audit.lengths import measurer
from packager.data.audit.preparation import Prepared, prepare
from packager.data.rows import medquad
from packager.data.rows.formats import Row
from packager.data.rows.table import first_columns, read_rows, template_of
from packager.errors import InputError
from packager.prompt.frozen import frozen_template
from packager.recipe.recipe import Recipe
from packager.recipe.sections import Data, Fields

QUESTIONS = ("question", "pergunta", "input", "prompt", "query", "user", "abstract", "resumo")
ANSWERS = ("answer", "resposta", "output", "response", "completion", "assistant", "title", "titulo", "título")
TOPICS = ("topic", "tema", "tópico", "topico", "assunto", "category", "categoria", "qtype", "focus")


def audit_file(source: str, *, redact: bool = False, language: str = "", encoding: str = "utf-8") -> Prepared:
    """Audit a file, folder or hf: data set as it is; token lengths are not known without a model.

    Raises `InputError` for a source that is not there, unreadable, or whose columns say nothing.
    """
    config = guess(source, encoding).model_copy(update={"identifiers": "redact" if redact else "stop"})
    return prepare(config, read_rows(config), language=language)


def audit_recipe(
    recipe: Recipe, base: Path | None = None, report: Callable[[int, int], None] | None = None, *, redact: bool = False
) -> Prepared:
    """Audit a recipe's data; with the folder of its base model, token lengths too.

    `redact` replaces identifiers at which a build would stop: for rows that are to be written.
    """
    config = recipe.data
    if redact and config.identifiers == "stop":
        config = config.model_copy(update={"identifiers": "redact"})
    measure = None
    if base is not None:
        measure = measurer(frozen_template(base, template_of(config)), base, report)
    return prepare(config, read_rows(config), measure, recipe.language)


def write_rows(prepared: Prepared, path: Path) -> int:
    """Write the rows, in the order of the source, as JSON Lines of question, answer and topic, or of
    messages where a conversation has several turns. Returns how many."""
    listed = sorted((*prepared.train, *prepared.heldout), key=lambda row: (row.file, row.line))
    lines = [json.dumps(_plain(row), ensure_ascii=False) + "\n" for row in listed]
    write_atomically(path, "".join(lines))
    return len(lines)


def guess(source: str, encoding: str = "utf-8") -> Data:
    """The `data` section for a source whose columns have telling names.

    Raises `InputError` that names the columns if they do not tell.
    """
    columns = first_columns(source, encoding)
    lower = {name.lower(): name for name in reversed(columns)}
    topic = _first(lower, TOPICS)
    if set(medquad.COLUMNS) <= set(columns) or source.lower().endswith(".xml") or "qtype" in columns:
        return Data(source=source, encoding=encoding, format="medquad")
    if "messages" in columns:
        return Data(source=source, encoding=encoding, format="messages", fields=Fields(topic=topic))
    if {"instruction", "output"} <= set(columns):
        return Data(source=source, encoding=encoding, format="alpaca", fields=Fields(topic=topic))
    question, answer = _first(lower, QUESTIONS), _first(lower, ANSWERS)
    if question is None or answer is None:
        if len(columns) != 2:
            raise InputError(
                f"{source}: which column is the question, and which the answer? It has {', '.join(columns)}.",
                "name two of them question and answer, or audit a recipe that says so in data.fields",
            )
        question, answer = columns
    return Data(source=source, encoding=encoding, fields=Fields(question=question, answer=answer, topic=topic))


def _first(columns: dict[str, str], wanted: Iterable[str]) -> str | None:
    return next((columns[name] for name in wanted if name in columns), None)


def _plain(row: Row) -> dict[str, object]:
    roles = [role for role, _ in row.messages]
    content: dict[str, object] = {"messages": row.as_messages()}
    if roles == ["user", "assistant"]:
        content = {"question": row.question, "answer": row.answer}
    return content | ({"topic": row.topic} if row.topic else {})
