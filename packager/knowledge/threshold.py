"""Approved material -> the score below which nothing is shown, from the material alone.

Each passage's own question, typed as people type, is asked while that passage is left out: a question near the
material that nothing in it answers. How close the rest comes says how close is not close enough.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from packager.errors import InputError
from packager.knowledge.search import Found, Search
from packager.knowledge.variants import variants, without_accents

ACCEPTED = 0.10
"""Of questions outside the material, the share that may be accepted."""
NEAR = 0.5
"""Of questions outside the material, the share that is as near to it as a passage that was left out; the others (small
talk, other fields) score far lower. An assumption; docs/knowledge.md holds it against questions that people typed."""
MOST_ASKED = 400
FEWEST = 20


@dataclass(frozen=True)
class Threshold:
    """A score and what it rests on."""

    score: int
    """Millionths; a best passage below it is not shown."""
    asked: int
    """Questions whose passage was left out."""
    kept: float
    """Share of the same questions that pass while their passage is there."""


def choose(search: Search, *, seed: int = 0) -> Threshold:
    """The score that `ACCEPTED / NEAR` of the left-out questions reach. At most 400 are asked, spread evenly."""
    places = [place for place, passage in enumerate(search.passages) if passage.question]
    if len(places) < FEWEST:
        raise InputError(
            f"{len(places)} passages have a question or a heading; a threshold needs {FEWEST}.",
            "give more approved material, or a threshold of your own",
        )
    step = max(1, math.ceil(len(places) / MOST_ASKED))
    asked = places[::step]
    typed = [list(variants(search.passages[p].question, seed).values())[n % 5] for n, p in enumerate(asked)]
    outcomes = search.ask_all(typed, most=10)
    others = sorted(_best_other(search, place, found) for place, found in zip(asked, outcomes, strict=True))
    score = others[min(len(others) - 1, math.ceil(len(others) * (1 - ACCEPTED / NEAR)))] + 1
    kept = sum(bool(found.hits) and found.hits[0].score >= score for found in outcomes) / len(outcomes)
    return Threshold(score, len(asked), kept)


def _best_other(search: Search, place: int, found: Found) -> int:
    """The best score of a passage that does not answer the same question."""
    own = without_accents(search.passages[place].question).casefold()
    for hit in found.hits:
        if hit.place != place and without_accents(hit.passage.question).casefold() != own:
            return hit.score
    return 0
