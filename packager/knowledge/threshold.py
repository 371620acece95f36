"""Approved material -> the hubness of its passages, and the scores from which one is shown, as the closest or as the
answer: from the material alone.

Each passage's own question, typed as people type, is asked while that passage is left out: a question about the
material that nothing in it answers. How close the rest comes to such questions says what a score means.
Fails with `InputError` where too few passages have a question.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from packager.errors import InputError
from packager.knowledge import index, search
from packager.knowledge.index import Threshold
from packager.knowledge.search import Search
from packager.knowledge.variants import variants, without_accents

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SURE = 0.2
"""Share of left-out questions that may be shown a passage as their answer. Half of what people ask outside the material
is assumed to be as near to it as a left-out question, the rest (small talk, other fields) to score far lower: then one
in ten is. docs/knowledge.md holds this against questions that people type."""
NEAR = 0.7
"""Share of left-out questions that are shown the closest passage. They are about the material, which has no answer to
them: a question that comes less close than the farthest three in ten is taken to be about something else."""
MOST_ASKED = 1000
FEWEST = 20
NEIGHBOURS = 10
"""Of a passage: the left-out questions that come closest to it. As KNOWLEDGE_NEIGHBOURS of source/search.h."""


def choose(folder: Path, programs: Path, *, seed: int = 0) -> Threshold:
    """Write into `knowledge.bin` the hubness of every passage and the scores that `NEAR` and `SURE` of the left-out
    questions reach. At most 1,000 are asked, spread evenly."""
    import numpy as np

    with search.opened(folder, programs) as opened:
        asked, scores = _left_out(opened, seed)
    index.set_hubness(folder, np.sort(scores, axis=0)[-NEIGHBOURS:].mean(axis=0).astype(int).tolist())
    with search.opened(folder, programs) as opened:
        best = np.sort(opened.without_hubness(scores).max(axis=1))
    near, sure = (int(best[min(len(asked) - 1, math.ceil(len(asked) * (1 - share)))]) + 1 for share in (NEAR, SURE))
    index.set_threshold(folder, Threshold(near, sure))
    return Threshold(near, sure)


def _left_out(opened: Search, seed: int) -> tuple[list[int], NDArray[np.int32]]:
    """The passages whose questions were asked, and [question, passage] scores; 0 for those that answer it."""
    import numpy as np

    places = [place for place, passage in enumerate(opened.passages) if passage.question]
    if len(places) < FEWEST:
        raise InputError(
            f"{len(places)} passages have a question or a heading; a threshold needs {FEWEST}.",
            "give more approved material, or a threshold of your own",
        )
    asked = places[:: max(1, math.ceil(len(places) / MOST_ASKED))]
    typed = [list(variants(opened.passages[p].question, seed).values())[n % 5] for n, p in enumerate(asked)]
    scores = opened.scores(typed)
    plain = np.array([without_accents(passage.question).casefold() for passage in opened.passages])
    for row, place in zip(scores, asked, strict=True):
        row[plain == plain[place]] = 0
    return asked, scores
