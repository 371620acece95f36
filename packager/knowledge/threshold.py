"""Approved material -> the scores from which a passage is shown, as the closest or as the answer, from it alone.

Each passage's own question, typed as people type, is asked while that passage is left out: a question about the
material that nothing in it answers. How close the rest comes to such questions says what a score means.
"""

from __future__ import annotations

import math

from packager.errors import InputError
from packager.knowledge.index import Threshold
from packager.knowledge.search import Found, Search
from packager.knowledge.variants import variants, without_accents

SURE = 0.2
"""Share of left-out questions that may be shown a passage as their answer. Half of what people ask outside the material
is assumed to be as near to it as a left-out question, the rest (small talk, other fields) to score far lower: then one
in ten is. docs/knowledge.md holds this against questions that people type."""
NEAR = 0.75
"""Share of left-out questions that are shown the closest passage. They are about the material, which has no answer to
them: a question that comes less close than the farthest quarter of them is about something else."""
MOST_ASKED = 400
FEWEST = 20


def choose(search: Search, *, seed: int = 0) -> Threshold:
    """The scores that `NEAR` and `SURE` of the left-out questions reach. At most 400 are asked, spread evenly."""
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
    near, sure = (others[min(len(others) - 1, math.ceil(len(others) * (1 - share)))] + 1 for share in (NEAR, SURE))
    return Threshold(near, sure)


def _best_other(search: Search, place: int, found: Found) -> int:
    """The best score of a passage that does not answer the same question."""
    own = without_accents(search.passages[place].question).casefold()
    for hit in found.hits:
        if hit.place != place and without_accents(hit.passage.question).casefold() != own:
            return hit.score
    return 0
