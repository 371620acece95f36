"""Questions + the search -> what the clinic's page shows for each, and how many end in which way.

Beside what it shows, the page always says whom to call (HELP). Fails as the search does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from packager.artifacts.knowledge import Outcomes
from packager.knowledge.measure import Asked, is_answered
from packager.knowledge.search import Found, Hit

MOST, CLOSE = 3, 20_000
"""Passages that are shown at most, and the millionths they may be less close than the first: as source/search.c."""

HELP_NAME = "Emergência ou perigo? Ligue:"
HELP_TEXT = (
    "192 SAMU; 193 bombeiros; 190 polícia; 188 CVV (vontade de morrer); 180 violência contra a mulher; "
    "100 direitos humanos."
)
HELP = f"{HELP_NAME} {HELP_TEXT}"
"""Stands on the clinic's page at all times (`help`, `helpText` of palavras.js), and again beside what is not sure."""


@dataclass(frozen=True)
class Shown:
    """What became of every question, by what the material has for it."""

    shown_inside: Outcomes
    shown_near: Outcomes
    shown_outside: Outcomes


def worded(questions: Sequence[Asked]) -> list[Asked]:
    """Those with a word to search for: an empty question is neither found nor a mistake."""
    return [q for q in questions if any(c.isalnum() for c in q.question)]


def on_the_page(found: Found) -> tuple[Hit, ...]:
    """Of what `search.ask` found, what the page shows: as `search.answer`, without asking again."""
    if found.verdict not in ("found", "near"):
        return ()
    return tuple(hit for hit in found.hits[:MOST] if found.hits[0].score - hit.score <= CLOSE)


def shown(questions: Sequence[Asked], asked: Sequence[Found]) -> Shown:
    """What the page shows for all of them, counted; `asked` is what `search.ask_all` found."""
    found = list(zip(questions, asked, strict=True))
    return Shown(
        shown_inside=_outcomes([(q, one) for q, one in found if q.rows or q.id]),
        shown_near=_outcomes([(q, one) for q, one in found if q.near]),
        shown_outside=_outcomes([(q, one) for q, one in found if not (q.rows or q.id or q.near)]),
    )


def _outcomes(found: Sequence[tuple[Asked, Found]]) -> Outcomes:
    return Outcomes(**Counter(_outcome(one, shown) for one, shown in found))


def _outcome(one: Asked, found: Found) -> str:
    """The name of the count in `Outcomes` that a question belongs to."""
    right = [is_answered(one, hit.passage) for hit in on_the_page(found)]
    if not right:
        return "silent"
    if found.verdict == "near":
        return "near_right" if any(right) else "near_wrong"
    return "right" if right[0] else "right_below" if any(right) else "wrong"
