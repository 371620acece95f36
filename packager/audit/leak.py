"""Leaks: do held-out rows occur in training? Checked anew, by brute force.

Independent of how the split was made: no groups, no index, every held-out row against every row of
training.
"""

from __future__ import annotations

import bisect
import math
import random
import zlib
from collections.abc import Sequence

from packager.audit.duplicates import THRESHOLD, Shingler, letters, normalise, words
from packager.audit.split import Groups
from packager.rows import Row

_BITS = 1024


def leaked(train: Sequence[Row], heldout: Sequence[Row], *, answers: bool = True) -> list[int]:
    """Indices of held-out rows with an equal or near-duplicate question (or answer) in training."""
    found = set(_near([r.question for r in train], [r.question for r in heldout], letters))
    if answers:
        found |= set(_near([r.answer for r in train], [r.answer for r in heldout], words))
    return sorted(found)


def random_leak(groups: Groups, rows: int, heldout: int, seed: int) -> tuple[int, int]:
    """What a random split that holds out as many rows leaks: (rows with the question, with the answer)
    in training, near-duplicates included."""
    chosen = set(random.Random(seed).sample(range(rows), heldout))
    questions = {groups.questions[i] for i in range(rows) if i not in chosen}
    answers = {groups.answers[i] for i in range(rows) if i not in chosen}
    return sum(groups.questions[i] in questions for i in chosen), sum(groups.answers[i] in answers for i in chosen)


def _near(train: Sequence[str], heldout: Sequence[str], shingler: Shingler) -> list[int]:
    """Indices of the held-out texts that some training text equals or nearly equals.

    Sets are first compared as bit masks: shared bits plus the bits lost to collisions bound the
    shared elements from above, so no pair is missed; what passes is compared exactly.
    """
    known = {normalise(text) for text in train}
    sets = sorted(((shingler(text)) for text in known), key=len)
    sizes = [len(one) for one in sets]
    masks = [_mask(one) for one in sets]
    found = []
    for number, text in enumerate(normalise(text) for text in heldout):
        if text in known:
            found.append(number)
            continue
        own = shingler(text)
        mask, size = _mask(own), len(own)
        slack = size - mask.bit_count()
        first = bisect.bisect_left(sizes, math.ceil(THRESHOLD * size))
        last = bisect.bisect_right(sizes, math.floor(size / THRESHOLD))
        for other in range(first, last):
            need = THRESHOLD / (1 + THRESHOLD) * (size + sizes[other])
            if (mask & masks[other]).bit_count() + slack >= need:
                shared = len(own & sets[other])
                if shared >= THRESHOLD * (size + sizes[other] - shared):
                    found.append(number)
                    break
    return found


def _mask(elements: frozenset[str]) -> int:
    mask = 0
    for element in elements:
        mask |= 1 << (zlib.crc32(element.encode()) % _BITS)
    return mask
