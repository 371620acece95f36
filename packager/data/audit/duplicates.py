"""Equal and nearly equal texts: how rows are joined into groups that a split may not cut.

Texts are equal if they are so after case, accents and punctuation are ignored. They are near-
duplicates if their shingles (sequences of 4 letters in a question, of 3 words in an answer) overlap
by a Jaccard index of at least 0.8, or if one question only adds a lead-in before a colon to the other
("Explique: ...").
"""

from __future__ import annotations

import functools
import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence

from packager.data.letters import unaccented

THRESHOLD = 0.8
Shingler = Callable[[str], frozenset[str]]
_SEPARATORS = re.compile(r"[\W_]+")
_LEAD_IN = re.compile(r"\s*[^\W\d_]+(?:\s[^\W\d_]+){0,3}\s*:\s+(?=\S)")


@functools.lru_cache(maxsize=1 << 17)
def normalise(text: str) -> str:
    """Lower case, no accents, no punctuation, single spaces; the text itself if nothing is left."""
    return _SEPARATORS.sub(" ", unaccented(text)).strip() or text.strip()


def letters(text: str, size: int = 4) -> frozenset[str]:
    """The sequences of `size` characters of a normalised text; a shorter text is its own."""
    return frozenset(text[i : i + size] for i in range(max(1, len(text) - size + 1)))


def words(text: str, size: int = 3) -> frozenset[str]:
    """The sequences of `size` words of a normalised text; a shorter text is its own."""
    split = text.split(" ")
    return frozenset(" ".join(split[i : i + size]) for i in range(max(1, len(split) - size + 1)))


def near_pairs(texts: Sequence[str], shingler: Shingler, threshold: float = THRESHOLD) -> Iterator[tuple[int, int]]:
    """Indices of all pairs whose shingles have a Jaccard index of at least `threshold`; exact.

    Prefix filter (Bayardo, Ma, Srikant 2007, "Scaling Up All Pairs Similarity Search"): with each
    set sorted by rarity, two similar sets must share one of their first few, rarest elements.
    """
    sets = [shingler(text) for text in texts]
    frequency = Counter(s for one in sets for s in one)
    rank = {s: r for r, s in enumerate(sorted(frequency, key=frequency.__getitem__))}
    ranked = [sorted(map(rank.__getitem__, one)) for one in sets]
    # A mask of a set's elements: bits shared, plus bits lost to collisions, bound what two sets share.
    masks = [_mask(one) for one in ranked]
    index: dict[int, list[int]] = defaultdict(list)
    for here in sorted(range(len(texts)), key=lambda i: len(ranked[i])):
        elements, size, mask = ranked[here], len(ranked[here]), masks[here]
        lost = size - mask.bit_count()
        candidates: set[int] = set()
        for element in elements[: size - math.ceil(threshold * size) + 1]:
            candidates.update(index[element])
        for other in candidates:
            total = size + len(ranked[other])
            need = threshold / (1 + threshold) * total - 1e-9
            if (mask & masks[other]).bit_count() + lost < need:
                continue
            shared = len(sets[here] & sets[other])
            if shared >= threshold * (total - shared):
                yield (other, here)
        # Only sets at least as large follow, so a shorter prefix is enough in the index.
        for element in elements[: size - math.ceil(2 * threshold / (1 + threshold) * size) + 1]:
            index[element].append(here)


def _mask(elements: Iterable[int], bits: int = 1024) -> int:
    mask = 0
    for element in elements:
        mask |= 1 << (element % bits)
    return mask


def lead_in_pairs(texts: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Pairs where one text is the other after a lead-in of up to four words and a colon."""
    at = {normalise(text): i for i, text in enumerate(texts)}
    for here, text in enumerate(texts):
        found = _LEAD_IN.match(text)
        if found and (other := at.get(normalise(text[found.end() :]))) is not None:
            yield (other, here)


class Joined:
    """Disjoint sets over 0..n-1 (union-find with path halving)."""

    def __init__(self, size: int) -> None:
        self._parent = list(range(size))

    def find(self, item: int) -> int:
        parent = self._parent
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    def join(self, one: int, other: int) -> None:
        a, b = self.find(one), self.find(other)
        if a != b:
            self._parent[max(a, b)] = min(a, b)

    def join_equal(self, keys: Iterable[Hashable]) -> None:
        """Join the items with equal keys."""
        first: dict[Hashable, int] = {}
        for item, key in enumerate(keys):
            self.join(first.setdefault(key, item), item)

    def groups(self) -> list[list[int]]:
        found: dict[int, list[int]] = defaultdict(list)
        for item in range(len(self._parent)):
            found[self.find(item)].append(item)
        return list(found.values())


def question_clusters(texts: Sequence[str]) -> list[int]:
    """For each question the number of its cluster of near-duplicates (equal ones share it)."""
    distinct, raw, of = _distinct(texts)
    joined = Joined(len(distinct))
    for one, other in (*near_pairs(distinct, letters), *lead_in_pairs(raw)):
        joined.join(one, other)
    return [joined.find(item) for item in of]


def answer_clusters(texts: Sequence[str]) -> list[int]:
    """For each answer the number of its cluster of near-duplicates (equal ones share it)."""
    distinct, _, of = _distinct(texts)
    joined = Joined(len(distinct))
    for one, other in near_pairs(distinct, words):
        joined.join(one, other)
    return [joined.find(item) for item in of]


def _distinct(texts: Sequence[str]) -> tuple[list[str], list[str], list[int]]:
    """Distinct normalised texts, one original of each, and for each text which of them it is."""
    number: dict[str, int] = {}
    raw: list[str] = []
    of = []
    for text in texts:
        plain = normalise(text)
        if plain not in number:
            number[plain] = len(number)
            raw.append(text)
        of.append(number[plain])
    return list(number), raw, of
