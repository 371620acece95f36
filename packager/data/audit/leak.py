"""Leaks: do held-out rows occur in training? Checked anew, by brute force.

Independent of how the split was made: no groups, no index, every held-out row against every row of
training.
"""

from __future__ import annotations

import math
import random
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from packager.data.audit.duplicates import THRESHOLD, Shingler, letters, normalise, words
from packager.data.audit.split import Groups
from packager.data.rows.formats import Row

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

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

    Every pair of similar size is compared as bit masks first: bits shared, plus bits lost to
    collisions, bound the shared elements from above, so no pair is missed; what passes is compared
    exactly.
    """
    import numpy as np

    known = {normalise(text) for text in train}
    sets = sorted((shingler(text) for text in known), key=len)
    sizes = np.array([len(one) for one in sets])
    masks = np.stack([_mask(one) for one in sets])
    found = []
    for number, text in enumerate(normalise(text) for text in heldout):
        if text in known:
            found.append(number)
            continue
        own = shingler(text)
        mask, size = _mask(own), len(own)
        lost = size - int(np.bitwise_count(mask).sum())
        first, last = np.searchsorted(sizes, [math.ceil(THRESHOLD * size), math.floor(size / THRESHOLD) + 1])
        shared = np.bitwise_count(masks[first:last] & mask).sum(axis=1, dtype=np.int64) + lost
        need = THRESHOLD / (1 + THRESHOLD) * (size + sizes[first:last]) - 1e-9
        for other in np.flatnonzero(shared >= need) + first:
            both = len(own & sets[other])
            if both >= THRESHOLD * (size + len(sets[other]) - both):
                found.append(number)
                break
    return found


def _mask(elements: frozenset[str]) -> NDArray[np.uint64]:
    """The elements as `_BITS` bits, shape [_BITS / 64], uint64."""
    import numpy as np

    mask = 0
    for element in elements:
        mask |= 1 << (zlib.crc32(element.encode()) % _BITS)
    return np.frombuffer(mask.to_bytes(_BITS // 8, "little"), dtype=np.uint64)
