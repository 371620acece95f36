"""A recipe -> some of its rows as they are trained, for the terminal.

Raises `InputError` where a row is not there, `MissingResource` where the base's tokenizer has to be fetched first.
"""

from __future__ import annotations

from collections.abc import Iterator

import click

from packager.checkpoint.prompt_at_hand import prompt_at_hand
from packager.data.audit.shown import ShownRow, as_trained, shown
from packager.data.rows.table import read_rows, template_of
from packager.errors import InputError, MissingResource
from packager.recipe.recipe import Recipe

BEGIN, END = "⟦", "⟧"
"""Around what is trained."""


def preview(recipe: Recipe, count: int, line: int | None) -> str:
    """`count` rows, or the one of a `line`."""
    table = read_rows(recipe.data)
    rows = [row for row in table.rows if line is None or row.line == line]
    if not rows:
        raise InputError(f"{recipe.data.source} has no usable row at line {line}.", "give the line of another row")
    with prompt_at_hand(recipe.base, template_of(recipe.data)) as prompt:
        if prompt is None:
            raise MissingResource(
                f"The tokenizer of {recipe.base.model} is not on this machine yet.", f"packager check {recipe.name}"
            )
        found = [as_trained(row, prompt) for row in rows] if line else shown(rows, prompt, count)
    parts = [part for row in found if row for part in _row(row)]
    return "\n".join([*parts, f"Between {BEGIN} and {END}: what is trained. The rest is read only."])


def _row(row: ShownRow) -> Iterator[str]:
    topic = f", topic {row.topic}" if row.topic else ""
    yield f"--- {row.file}, line {row.line}: {row.tokens} tokens, {row.trained_tokens} of them trained{topic}"
    yield "".join(
        click.style(f"{BEGIN}{text}{END}", fg="green", bold=True) if trained else text for text, trained in row.pieces
    )
