"""The split: rows in groups -> the rows to train on and those held out, without a leak.

Rows that share an answer or a near-duplicate question form a group; whole groups are held out,
chosen by a hash of the seed and of what they say, so that the order of the file does not matter.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from packager.data.audit.duplicates import Joined, answer_clusters, normalise, question_clusters
from packager.data.audit.report import FEWEST
from packager.data.rows.formats import Row
from packager.errors import InputError
from packager.recipe.sections import Split

CHOOSING_SHARE = 4
"""One in so many held-out groups chooses, where that leaves at least `FEWEST` of them."""


@dataclass(frozen=True)
class Groups:
    """For each row, in order: its cluster of questions, of answers, and its group."""

    questions: tuple[int, ...]
    answers: tuple[int, ...]
    rows: tuple[tuple[int, ...], ...]
    """The rows of each group."""

    def of(self, kept: set[int], rows: Sequence[Row]) -> Groups:
        """The groups of only those `rows` whose `id` is in `kept`, renumbered in their order."""
        old = [i for i, row in enumerate(rows) if id(row) in kept]
        new = {before: after for after, before in enumerate(old)}
        within = (tuple(new[i] for i in one if i in new) for one in self.rows)
        return Groups(
            tuple(self.questions[i] for i in old),
            tuple(self.answers[i] for i in old),
            tuple(one for one in within if one),
        )


@dataclass(frozen=True)
class SplitRows:
    """Indices of rows, ascending."""

    train: tuple[int, ...]
    heldout: tuple[int, ...]
    heldout_groups: int
    choosing: tuple[int, ...] = ()
    """Those of `heldout` that may choose between models (docs/proof.md); the others report. None where held-out
    groups are few."""
    choosing_groups: int = 0


def group(rows: Sequence[Row], by: str) -> Groups:
    """Join rows with a near-duplicate question or (unless `by` is question) answer."""
    questions = question_clusters([row.question for row in rows])
    answers = answer_clusters([row.answer for row in rows])
    joined = _joined(questions, answers, by)
    return Groups(tuple(questions), tuple(answers), tuple(tuple(g) for g in joined.groups()))


def group_numbers(questions: Sequence[str], answers: Sequence[str], by: str) -> list[int]:
    """For each row the number of its group: rows of one group say the same, and are one piece of evidence."""
    joined = _joined(question_clusters(questions), answer_clusters(answers), by)
    return [joined.find(row) for row in range(len(questions))]


def _joined(questions: Sequence[int], answers: Sequence[int], by: str) -> Joined:
    joined = Joined(len(questions))
    joined.join_equal(questions)
    if by != "question":
        joined.join_equal(answers)
    return joined


def split(rows: Sequence[Row], groups: Groups, config: Split) -> SplitRows:
    """Hold out whole groups until the fraction is reached as nearly as they allow.

    The next group always comes from the topic that is furthest below its share, and a topic keeps
    at least one group in training. Raises `InputError` if there are fewer than two groups.
    """
    if config.group_by == "topic" and any(row.topic is None for row in rows):
        raise InputError("data.split.group_by is topic, but rows have no topic.", "name it in data.fields.topic")
    if len(groups.rows) < 2:
        raise InputError(
            f"All {len(rows)} rows share one question or answer, so none can be held out without a leak.",
            "add rows with other answers",
        )
    target = max(1.0, config.fraction * len(rows))
    waiting = _by_topic(rows, groups, config.seed)
    wanted = {topic: config.fraction * sum(map(len, found)) for topic, found in waiting.items()}
    taken: list[tuple[int, ...]] = []
    held = 0
    while open_topics := [t for t, found in waiting.items() if len(found) > 1]:
        topic = max(open_topics, key=lambda t: (wanted[t], _hash(config.seed, t)))
        candidate = waiting[topic].pop(0)
        if abs(held + len(candidate) - target) < abs(held - target):
            taken.append(candidate)
            held += len(candidate)
            wanted[topic] -= len(candidate)
        elif held >= target:
            break
    if not taken:
        taken.append(min(groups.rows, key=lambda g: (len(g), _identity(rows, g, config.seed))))
    heldout = {row for found in taken for row in found}
    train = tuple(i for i in range(len(rows)) if i not in heldout)
    chosen = taken[::CHOOSING_SHARE] if len(taken) >= CHOOSING_SHARE * FEWEST else []
    choosing = tuple(sorted(row for found in chosen for row in found))
    return SplitRows(train, tuple(sorted(heldout)), len(taken), choosing, len(chosen))


def deduplicate(rows: Sequence[Row]) -> list[Row]:
    """One row of those whose messages are all equal, whatever the order they come in."""
    kept: dict[tuple[tuple[str, str], ...], Row] = {}
    for row in rows:
        key = tuple((role, normalise(content)) for role, content in row.messages)
        if key not in kept or row.messages < kept[key].messages:
            kept[key] = row
    chosen = {id(row) for row in kept.values()}
    return [row for row in rows if id(row) in chosen]


def _by_topic(rows: Sequence[Row], groups: Groups, seed: int) -> dict[str, list[tuple[int, ...]]]:
    """The groups of each topic (a group's is its commonest), in the order of their hashes."""
    found = defaultdict(list)
    for one in groups.rows:
        topics = Counter(rows[i].topic or "" for i in one)
        topic = min(topics, key=lambda t: (-topics[t], t))
        found[topic].append((_identity(rows, one, seed), one))
    return {topic: [one for _, one in sorted(listed)] for topic, listed in sorted(found.items())}


def _identity(rows: Sequence[Row], one: Sequence[int], seed: int) -> str:
    return min(_hash(seed, normalise(rows[i].question), normalise(rows[i].answer)) for i in one)


def _hash(seed: int, *texts: str) -> str:
    return hashlib.sha256("\0".join([str(seed), *texts]).encode()).hexdigest()
