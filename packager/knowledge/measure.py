"""Approved material + questions -> how often the right passage is found, and how often what it lacks is refused.

Fails with `InputError` on a file of questions that is not of its form.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from packager.artifacts.files import sha256_of
from packager.artifacts.knowledge import Mistaken, Searched
from packager.errors import InputError
from packager.knowledge.passages import Passage
from packager.knowledge.search import Found, Search
from packager.knowledge.variants import variants
from packager.recipe.loading import located


@dataclass(frozen=True)
class Asked:
    """A question, and what answers it."""

    question: str
    rows: tuple[int, ...] = ()
    """Lines of the data; none where nothing answers it."""
    id: str = ""
    """The passage, where there is no row."""
    near: bool = False
    """Nothing answers it, but it is about what the material is about."""


REPLAYED = 24
"""Questions whose ranking the clinic's self-test repeats."""
MISTAKES = 4
"""Mistakes that are kept of each kind of question: answered by the material, near to it, about something else."""
RANKED = 10
"""As source/material.c of the clinic's program."""


@dataclass(frozen=True)
class Measured:
    """Shares; see `Knowledge` in artifacts/knowledge.py."""

    asked: int
    outside: int
    asked_near: int
    found_first: float
    found_three: float
    kept: float
    kept_sure: float
    right_when_sure: float | None
    silent: float | None
    unclaimed: float | None
    mistakes: tuple[Mistaken, ...]


def read_questions(path: Path) -> list[Asked]:
    """A JSON object a line: `question`, and `row` or `rows` where the material answers it; `"kind": "near"` where it
    does not, though it is about the same."""
    asked = []
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
            rows = value.get("rows") or ([value["row"]] if value.get("row") else [])
            asked.append(
                Asked(str(value["question"]), tuple(int(row) for row in rows), near=value.get("kind") == "near")
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"knowledge.questions: line {number} of {path.name} is not a question: {error!r}",
                'write {"question": "...", "row": 12}, or "row": null where nothing answers it',
            ) from error
    if not any(one.rows for one in asked):
        raise InputError(f"knowledge.questions: no question of {path.name} has a row.", "name the row that answers it")
    return asked


def typed(passages: Sequence[Passage]) -> list[Asked]:
    """Each passage's own question in one of the ways that people type, in turn."""
    return [
        Asked(list(variants(p.question, 0).values())[n % 5], (p.row,) if p.row else (), p.id)
        for n, p in enumerate(p for p in passages if p.question)
    ]


def measure(search: Search, questions: Sequence[Asked], answers: Sequence[Found] | None = None) -> Measured:
    """Ask all of them, but where `answers` has what `search.ask_all` found. A question with neither row nor passage is
    one that the material does not answer."""
    if not any(q.rows or q.id for q in questions):
        raise InputError("There is no question with words that a passage answers.", "give knowledge.questions")
    answers = search.ask_all([q.question for q in questions]) if answers is None else answers
    outcomes = list(zip(questions, answers, strict=True))
    inside = [(q, found) for q, found in outcomes if q.rows or q.id]
    outside = [found.verdict for q, found in outcomes if not (q.rows or q.id or q.near)]
    near = [found.verdict for q, found in outcomes if q.near]
    first = sum(any(is_answered(q, hit.passage) for hit in found.hits[:1]) for q, found in inside)
    three = sum(any(is_answered(q, hit.passage) for hit in found.hits[:3]) for q, found in inside)
    sure = [is_answered(q, found.hits[0].passage) for q, found in inside if found.verdict == "found"]
    kept = len(sure) + sum(found.verdict == "near" for _, found in inside)
    refused = sum(verdict not in ("found", "near") for verdict in outside)
    return Measured(
        asked=len(inside),
        outside=len(outside),
        asked_near=len(near),
        found_first=first / len(inside),
        found_three=three / len(inside),
        kept=kept / len(inside),
        kept_sure=len(sure) / len(inside),
        right_when_sure=sum(sure) / len(sure) if sure else None,
        silent=refused / len(outside) if outside else None,
        unclaimed=sum(verdict != "found" for verdict in near) / len(near) if near else None,
        mistakes=tuple(_mistakes(outcomes, search.passages)),
    )


def _mistakes(outcomes: Sequence[tuple[Asked, Found]], passages: Sequence[Passage]) -> Iterator[Mistaken]:
    """A few of each kind for which a passage is shown and none of the first three answers; those first that are shown
    as the answer."""
    kept: dict[tuple[bool, bool], int] = {}
    for verdict in ("found", "near"):
        for one, found in outcomes:
            kind = (bool(one.rows or one.id), one.near)
            right = [p for p in passages if is_answered(one, p)]
            if found.verdict != verdict or any(hit.passage in right for hit in found.hits[:3]):
                continue
            kept[kind] = kept.get(kind, 0) + 1
            if kept[kind] <= MISTAKES:
                yield Mistaken(ask=one.question, shown=found.hits[0].passage.question,
                               right=right[0].question if right else "", claimed=verdict == "found")  # fmt: skip


def is_answered(one: Asked, passage: Passage) -> bool:
    """By this passage? Nothing answers a question without row and passage."""
    return passage.row in one.rows if one.rows else passage.id == one.id


def searches(search: Search, questions: Sequence[Asked]) -> tuple[Searched, ...]:
    """Questions spread over all of them, with what the search makes of each."""
    chosen = [q.question for q in questions[:: max(1, len(questions) // REPLAYED)]][:REPLAYED]
    return tuple(
        Searched(ask=question, ranking=found.ranking)
        for question, found in zip(chosen, search.ask_all(chosen, RANKED), strict=True)
    )


def files_fingerprint(folder: str | None, questions: str | None) -> list[object]:
    """Names (within their folder, as sources are named) and hashes of the files of a section; what is not there is left
    to the checks before a build."""
    files = sorted(p for p in located(folder).rglob("*") if p.is_file()) if folder else []
    asked = [located(questions)] if questions and located(questions).is_file() else []
    named = [[path.relative_to(located(folder or "")).as_posix(), sha256_of(path)] for path in files]
    return [*named, *([path.name, sha256_of(path)] for path in asked)]
