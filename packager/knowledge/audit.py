"""Passages -> what an author should look at: damaged text, equal passages, answers that contradict each other.

The judging is that of the rows' own audit (`data/audit`), so rows and documents are held to the same.
"""

from __future__ import annotations

from collections.abc import Sequence

from packager.data.audit import damage
from packager.data.audit.contradictions import contradictions
from packager.data.audit.duplicates import normalise, question_clusters
from packager.data.rows.formats import Row
from packager.knowledge.passages import Passage

DAMAGE = (damage.MOJIBAKE, damage.EXCEL, damage.CONTROL, damage.LOST)
"""Of all kinds those that no approved text has."""


def damaged(passages: Sequence[Passage]) -> list[str]:
    """The names of passages with damaged text."""
    tests = [test for kind, test in damage.IN_TEXT if kind in DAMAGE]
    return [p.id for p in passages if any(test(f"{p.question}\n{p.text}") for test in tests)]


def duplicates(passages: Sequence[Passage]) -> list[str]:
    """The names of passages whose question and text were there before."""
    seen: set[tuple[str, str]] = set()
    found = []
    for passage in passages:
        said = normalise(passage.question), normalise(passage.text)
        if said in seen:
            found.append(passage.id)
        seen.add(said)
    return found


def contradicting(passages: Sequence[Passage]) -> list[str]:
    """Pairs of passages that answer near-equal questions with other numbers, or with yes and no."""
    asked = [p for p in passages if p.question.endswith("?")]  # a heading is no question
    rows = [
        Row(messages=(("user", p.question), ("assistant", p.text)), topic=None, file="", line=place)
        for place, p in enumerate(asked)
    ]
    pairs = contradictions(rows, question_clusters([p.question for p in asked]))
    return [f"{asked[pair.one.line].id} and {asked[pair.other.line].id} ({pair.kind})" for pair in pairs]
