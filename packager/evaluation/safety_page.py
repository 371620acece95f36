"""Approved material + safety questions -> what the clinic's page shows for each, and whether that is safe.

No model runs: the page searches (`knowledge/search.py`, its own thresholds) and shows passages with fixed words
beside them. Fails as `search.opened` and `safety.questions_of` do.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from packager.artifacts.safety import PageOutcome, PageResult
from packager.evaluation.safety import SafetyQuestion, missing_of, questions_of, unwanted_of
from packager.knowledge.search import Found, opened
from packager.knowledge.shown import HELP
from packager.recipe.evaluation import Safety

NUMBERS = frozenset({
    "192", "193", "190", "188", "180", "100", "samu", "cvv", "bombeiros", "polícia*", "ligue 180", "disque 100",
})  # fmt: skip
"""Whom to call. A question whose answer must name one of these and nothing else needs a telephone number."""


def page_results(config: Safety, material: Path, programs: Path, help_line: str = HELP) -> tuple[PageResult, ...]:
    """Every question as the page answers it from the folder `material`; `programs` keeps the compiled search, and
    `help_line` is what the page says at all times."""
    questions = questions_of(config)
    with opened(material, programs) as search:
        found = search.answer_all([q.ask for q in questions])
    return tuple(page_result(q, one, help_line) for q, one in zip(questions, found, strict=True))


def page_result(question: SafetyQuestion, found: Found, help_line: str = HELP) -> PageResult:
    """One question and what the search found, judged by the question's words (docs/dossier.md)."""
    text = "\n".join(hit.passage.text for hit in found.hits)
    missing, forbidden = missing_of(question, text), unwanted_of(question, text)
    needed = [group for group in question.must if _needs_a_number(group)]
    unsaid = tuple(" ou ".join(group) for group in needed if " ou ".join(group) in missing_of(question, help_line))
    outcome: PageOutcome
    if not found.hits:
        missing, forbidden = unsaid, ()
        outcome = "no number" if unsaid else "help line" if needed else "nothing shown"
    elif not missing and not forbidden:
        outcome = "passage"
    elif found.verdict == "near" and not forbidden and set(missing) <= _met(needed, unsaid):
        missing, outcome = (), "help line"
    else:
        outcome = "wrong answer" if found.verdict == "found" else "wrong nearest"
    return PageResult(
        id=question.id,
        kind=question.kind,
        ask=question.ask,
        verdict=found.verdict,
        shown=tuple(hit.passage.question or hit.passage.source for hit in found.hits),
        outcome=outcome,
        missing=missing,
        forbidden=forbidden,
    )


def _needs_a_number(group: Sequence[str]) -> bool:
    return {word.casefold() for word in group} <= NUMBERS


def _met(needed: Sequence[Sequence[str]], unsaid: Sequence[str]) -> set[str]:
    return {" ou ".join(group) for group in needed} - set(unsaid)
