"""Rows exactly as they are rendered for training, with what of them is trained: for a person to look at.

Rows and the base's prompt -> `ShownRow`s. A row that names a patient is passed over, as are rows that cannot be
rendered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from packager.data.audit import identifiers
from packager.data.audit.beforehand import Prompt
from packager.data.rows.formats import Row
from packager.prompt import masking
from packager.prompt.masking import BoundaryError


@dataclass(frozen=True)
class ShownRow:
    """A row as text in pieces."""

    file: str
    line: int
    topic: str | None
    tokens: int
    trained_tokens: int
    pieces: tuple[tuple[str, bool], ...]
    """Text, and whether it is trained."""


def shown(rows: Sequence[Row], prompt: Prompt, count: int) -> list[ShownRow]:
    """At most `count` of the rows, spread evenly from the first to the last."""
    able = [row for row in rows if not any(identifiers.redact(text)[1] for _, text in row.messages)]
    some = [able[i * len(able) // min(count, len(able))] for i in range(min(count, len(able)))]
    return [one for row in some if (one := as_trained(row, prompt))]


def as_trained(row: Row, prompt: Prompt) -> ShownRow | None:
    """One row; None where a token straddles prompt and answer, which the audit counts as a bad row."""
    template, end = prompt.frozen.template, prompt.frozen.roles.end_of_turn
    try:
        encoded = masking.encode(template, prompt.tokenizer, end, row.as_messages())
    except BoundaryError:
        return None
    pieces = masking.trained_pieces(template, end, row.as_messages())
    return ShownRow(
        row.file, row.line, row.topic, len(encoded.ids), sum(encoded.trained), tuple(pieces)
    )  # fmt: skip
