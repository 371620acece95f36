"""Approved material and trained rows -> rows with passages in their prompt, to train on; and what the proof asks.

The prompt is the one that the clinic serves (`grounding.prompt`). A trained row never shows a held-out one. Fails with
`InputError` where too many rows with passages are longer than data.max_tokens.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packager.artifacts.files import write_atomically
from packager.errors import InputError
from packager.knowledge.answer import not_found
from packager.knowledge.grounding import prompt
from packager.knowledge.measure import Asked
from packager.knowledge.passages import Passage
from packager.knowledge.search import Search
from packager.knowledge.variants import variants, without_accents
from packager.process import progress
from packager.prompt.template import Message

LESSONS, CASES = "lessons.jsonl", "cases.jsonl"
MISSING = 5
"""Of so many rows with passages, one lacks the right one and is answered by the refusal."""
NEAR = 12
"""Closest passages, from which those near the right one are taken."""


@dataclass(frozen=True)
class Form:
    """How a prompt with passages is made."""

    programs: Path
    language: str
    passages: int
    """At most."""


@dataclass(frozen=True)
class Case:
    """A question of the proof: what the clinic would ask the model, and what professionals approved."""

    question: str
    prompt: str
    passages: tuple[str, ...]
    answer: str


def lessons(search: Search, rows: Sequence[dict[str, Any]], share: float, form: Form) -> list[dict[str, Any]]:
    """Of the rows of `train.jsonl` that are one question and one answer, a `share`, each with passages."""
    trained = {row["row"] for row in rows}
    places = {passage.row: place for place, passage in enumerate(search.passages) if passage.row in trained}
    single = [row for row in rows if row["row"] in places and _turns(row) == ["user", "assistant"]]
    chosen = [row for n, row in enumerate(single) if int((n + 1) * share) > int(n * share)]
    found = []
    for number, row in enumerate(chosen):
        own = search.passages[places[row["row"]]]
        typed = own.question if number % 2 else list(variants(own.question, 0).values())[number // 2 % 5]
        near = [p for p in _near(search, typed, own) if p.row is None or p.row in trained]
        missing = number % MISSING == MISSING - 1
        count = 1 + number % form.passages
        given = near[:count] if missing else _with(own, near, count, number)
        answer = not_found(form.language) if missing or not given else own.text
        asked: list[Message] = [m for m in _messages(row) if m["role"] == "system"]
        asked.append({"role": "user", "content": prompt(form.programs, typed, [p.text for p in given], form.language)})
        asked.append({"role": "assistant", "content": answer})
        found.append({"messages": asked, "topic": row["topic"], "row": row["row"]})
    return found


def cases(search: Search, questions: Sequence[Asked], most: int, form: Form) -> list[Case]:
    """Questions that the material answers, spread over all, with what the model is given for them: nothing, and so no
    case, where no passage is shown as the answer."""
    texts = {p.row: p.text for p in search.passages if p.row} | {p.id: p.text for p in search.passages}
    found = []
    for one in questions:
        answer = search.answer(one.question)
        shown = [hit.passage.text for hit in answer.hits][: form.passages] if answer.verdict == "found" else []
        approved = texts.get(one.rows[0]) if one.rows else texts.get(one.id)
        if shown and approved:
            asked = prompt(form.programs, one.question, shown, form.language)
            found.append(Case(one.question, asked, tuple(shown), approved))
    return found[:: max(1, len(found) // most)][:most]


def write_lessons(
    rows: Sequence[dict[str, Any]],
    length: Callable[[Sequence[Message]], int],
    limit: int,
    left_out: float,
    out: Path,
) -> int:
    """Write those of at most `limit` tokens to `out`; returns how many were left out, at most a share `left_out`."""
    short = [row for row in rows if length(_messages(row)) <= limit]
    over = len(rows) - len(short)
    if rows and over / len(rows) > left_out:
        raise InputError(
            f"{over} of {len(rows)} rows with passages have more than data.max_tokens ({limit}) tokens.",
            "raise data.max_tokens, or lower knowledge.passages",
        )
    write_atomically(out / LESSONS, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in short))
    progress.note(f"{len(short)} rows are also trained with passages, {over} longer ones are left out")
    return over


def write_cases(found: Sequence[Case], out: Path) -> None:
    """One a line."""
    write_atomically(out / CASES, "".join(json.dumps(vars(case), ensure_ascii=False) + "\n" for case in found))


def read_cases(folder: Path) -> list[Case]:
    """Those of `write_cases`."""
    lines = (folder / CASES).read_text(encoding="utf-8").split("\n")[:-1]
    return [Case(**(value | {"passages": tuple(value["passages"])})) for value in map(json.loads, lines)]


def _near(search: Search, question: str, own: Passage) -> list[Passage]:
    """The closest passages that answer another question."""
    same = without_accents(own.question).casefold()
    hits = search.ask(question, NEAR).hits
    return [hit.passage for hit in hits if without_accents(hit.passage.question).casefold() != same]


def _with(own: Passage, near: Sequence[Passage], count: int, number: int) -> list[Passage]:
    """`count` passages with the right one among them, now first, now later."""
    given = list(near[: count - 1])
    given.insert(number // 2 % (len(given) + 1), own)
    return given


def _messages(row: dict[str, Any]) -> list[Message]:
    messages: list[Message] = row["messages"]
    return messages


def _turns(row: dict[str, Any]) -> list[str]:
    return [m["role"] for m in _messages(row) if m["role"] != "system"]
