"""Contradictions: near-equal questions whose answers disagree in numbers, doses, or yes and no.

Rows and their clusters of questions -> pairs for the author to decide. Questions that themselves hold other numbers
ask for something else and are not compared.
"""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from packager.data.audit.duplicates import letters, normalise
from packager.data.rows.formats import Row

NUMBERS, YES_NO = "numbers", "yes or no"
MOST = 60
"""Answers of one cluster that are compared with each other."""
FEW = 8
"""Amounts in an answer: of long texts that hold more, some always differ."""
ALIKE = 0.7
"""The least Jaccard index of two questions' letters: clusters join questions through others too."""
_WORDS = {
    word: float(number)
    for number, words in (
        (2, "dois duas two"), (3, "três tres three"), (4, "quatro four"), (5, "cinco five"), (6, "seis six"),
        (7, "sete seven"), (8, "oito eight"), (9, "nove nine"), (10, "dez ten"), (11, "onze eleven"),
        (12, "doze twelve"), (15, "quinze fifteen"), (20, "vinte twenty"), (30, "trinta thirty"),
    )
    for word in words.split()
}  # fmt: skip
_SCALE = {"g": ("mg", 1000.0), "kg": ("mg", 1e6), "mcg": ("mg", 0.001), "µg": ("mg", 0.001), "l": ("ml", 1000.0)}
_AMOUNT = re.compile(
    r"(?<![\w.,/-])(?P<number>\d+(?:[.,]\d+)*)\s?(?P<unit>mg|mcg|µg|kg|g|ml|l|%|ui)?(?![\w/])|(?P<word>[^\W\d_]+)",
    re.IGNORECASE,
)
_NO = frozenset(["não", "nao", "nunca", "jamais", "no", "not", "never"])
_YES_START = re.compile(r"\W*(?:sim|yes|pode|podem|deve|devem|claro|com certeza)\b", re.IGNORECASE)
_NO_START = re.compile(r"\W*(?:não|nao|no|nunca|jamais|never|not)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Contradiction:
    """Two rows that answer one question, and in what they disagree."""

    kind: str
    one: Row
    other: Row


def contradictions(rows: Sequence[Row], clusters: Sequence[int]) -> Iterator[Contradiction]:
    """The pairs of rows in one cluster whose answers disagree; of equal answers the first stands for all."""
    members: dict[int, dict[tuple[str, str], Row]] = defaultdict(dict)
    for row, cluster in zip(rows, clusters, strict=True):
        if len([role for role, _ in row.messages if role == "user"]) == 1:
            members[cluster].setdefault((normalise(row.question), normalise(row.answer)), row)
    for found in members.values():
        for one, other in itertools.combinations(list(found.values())[:MOST], 2):
            if _amounts(one.question) == _amounts(other.question) and _alike(one.question, other.question):
                if _disagree(_amounts(one.answer), _amounts(other.answer)):
                    yield Contradiction(NUMBERS, one, other)
                elif _opposed(one.answer, other.answer):
                    yield Contradiction(YES_NO, one, other)


def _alike(one: str, other: str) -> bool:
    a, b = letters(normalise(one)), letters(normalise(other))
    return len(a & b) >= ALIKE * len(a | b) or one.endswith(other) or other.endswith(one)


def _amounts(text: str) -> frozenset[tuple[float, str]]:
    """The numbers of a text with their units, masses in mg and volumes in ml; words up to thirty count."""
    found = set()
    for match in _AMOUNT.finditer(text):
        if match["word"]:
            if (number := _WORDS.get(match["word"].casefold())) is not None:
                found.add((number, ""))
            continue
        digits = match["number"]
        grouped = re.fullmatch(r"\d{1,3}(?:\.\d{3})+(?:,\d+)?", digits) is not None
        plain = digits.replace(".", "").replace(",", ".") if grouped else digits.replace(",", ".")
        if plain.count(".") > 1:  # a version or a section, 1.2.3
            continue
        unit, scale = _SCALE.get((match["unit"] or "").casefold(), ((match["unit"] or "").casefold(), 1.0))
        found.add((round(float(plain) * scale, 9), unit))
    return frozenset(found)


def _disagree(one: frozenset[tuple[float, str]], other: frozenset[tuple[float, str]]) -> bool:
    """Each names an amount that the other does not; where both have doses, those alone are held together."""
    if max(len(one), len(other)) > FEW:
        return False
    doses = [frozenset(amount for amount in found if amount[1]) for found in (one, other)]
    a, b = doses if all(doses) else (one, other)
    return bool(a - b) and bool(b - a)


def _opposed(one: str, other: str) -> bool:
    """One begins with yes and the other with no, or they differ in a negation alone."""
    if (_YES_START.match(one) and _NO_START.match(other)) or (_NO_START.match(one) and _YES_START.match(other)):
        return True
    a, b = (set(re.findall(r"[^\W_]+", text.casefold())) for text in (one, other))
    return bool(a ^ b) and (a ^ b) <= _NO
