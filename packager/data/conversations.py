"""Rows -> `train.jsonl`, `heldout.jsonl` and, where there are enough, `choosing.jsonl`.

A conversation a line: `messages`, `topic`, `row` (the line it came from).

What was written is read again for what of the held-out rows is in training too. Fails with `InputError`
for rows that do not share one system message.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from packager.artifacts.files import write_atomically
from packager.data.audit.duplicates import normalise
from packager.data.rows.formats import Row
from packager.errors import InputError
from packager.prompt.corpus import read_conversations

TRAIN, HELDOUT, CHOOSING = "train.jsonl", "heldout.jsonl", "choosing.jsonl"


def write_conversations(path: Path, conversations: Sequence[Row]) -> str:
    """Write one conversation a line; returns the sha256 of the file."""
    text = "".join(
        json.dumps(
            {"messages": row.as_messages(), "topic": row.topic, "row": row.line}
            | ({"source": row.source} if row.source else {}),
            ensure_ascii=False,
        )
        + "\n"
        for row in conversations
    )
    write_atomically(path, text)
    return hashlib.sha256(text.encode()).hexdigest()


def shared_system(conversations: Sequence[Row]) -> str | None:
    """The system message that all conversations share; raises `InputError` if they differ."""
    messages = {row.system for row in conversations}
    if len(messages) > 1:
        raise InputError(
            f"The rows have {len(messages)} different system messages (or none), but the clinic is served one.",
            "give every row the same, or take them out and set data.system",
        )
    return messages.pop() if messages else None


def leaked_rows(folder: Path, *, answers: bool) -> int:
    """Held-out rows, as they were written, whose question or answer was written into training (or among those that
    choose) too.

    A question is all that the user says in a row, an answer all that the assistant says: a greeting
    that opens many conversations is no leak.
    """
    judged = ("user", "assistant") if answers else ("user",)
    said = {
        name: [
            {(role, normalise("\n".join(m["content"] for m in row if m["role"] == role))) for role in judged}
            for row in read_conversations(folder / name)
        ]
        for name in (TRAIN, HELDOUT, CHOOSING)
        if (folder / name).is_file()
    }
    trained, chosen = set().union(*said[TRAIN]), set().union(*said.get(CHOOSING, ()))
    leaked = sum(bool(row & (trained | chosen)) for row in said[HELDOUT])
    return leaked + sum(bool(row & trained) for row in said.get(CHOOSING, ()))
