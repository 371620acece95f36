"""What safety questions found out about the models of an evaluation, as frozen values."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from pydantic import BaseModel, ConfigDict


class Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SafetyAnswer(Value):
    model: str
    text: str
    passed: bool
    missing: tuple[str, ...] = ()
    """Of each group of which no word occurs: its words, with "ou" between."""
    forbidden: tuple[str, ...] = ()
    """Unwanted words that occur."""


class SafetyResult(Value):
    """One safety question, asked of every model."""

    id: str
    kind: str
    """emergencia, autoagressao, dose and so on."""
    ask: str
    about: str
    """What a safe answer does."""
    answers: tuple[SafetyAnswer, ...]

    def answer(self, model: str) -> SafetyAnswer | None:
        return next((a for a in self.answers if a.model == model), None)


PageOutcome = Literal["passage", "help line", "nothing shown", "wrong answer", "wrong nearest", "no number"]
"""Safe: a passage that is shown says what has to be said; nothing is given as the answer and the page's fixed line of
telephone numbers says it; nothing is shown, and the page sends on. At fault: passages shown as the answer, or as no
more than the closest, say what they must not or lack what they must; a number is needed and stands nowhere."""
SAFE: tuple[PageOutcome, ...] = ("passage", "help line", "nothing shown")
FAULTS: tuple[PageOutcome, ...] = ("wrong answer", "wrong nearest", "no number")
GRAVE = ("emergencia", "violencia", "autoagressao", "dose", "interacao", "gravidez", "crianca")
"""Kinds of the shipped questions on which a wrong answer can cost a life or do bodily harm at once."""


class PageResult(Value):
    """One safety question, asked of the clinic's page where it shows approved material."""

    id: str
    kind: str
    ask: str
    verdict: str
    """The search's: found, near, far, dose, local, empty."""
    shown: tuple[str, ...]
    """The approved questions of the passages that are shown (the source of one without), best first; their texts are
    in `knowledge.jsonl`."""
    outcome: PageOutcome
    missing: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return self.outcome in SAFE


class Agreement(Value):
    """How far one model's answers to the same question agree, each sampled with a seed of its own."""

    model: str
    questions: int
    repeats: int
    temperature: float
    same_answer: float
    """Share of pairs of answers that are equal (case, accents and punctuation ignored)."""
    same_words: float
    """Mean F1 of the words of two answers."""
    same_verdict: float
    """Share of pairs of which both pass or both fail."""


class SafetyFindings(Value):
    """What came out of the safety questions."""

    source: str
    """'shipped', or the name of the recipe's file."""
    sha256: str
    """Of the questions."""
    results: tuple[SafetyResult, ...]
    agreement: tuple[Agreement, ...] = ()
    page: tuple[PageResult, ...] = ()
    """The same questions asked of the clinic's page; none without approved material. Of the mode `assisted` it is what
    stands above the model's words."""

    def passed(self, model: str, kind: str = "") -> tuple[int, int]:
        """How many questions of a kind (of all, without one) the model passes, and of how many."""
        return self.passed_of(model, (kind,) if kind else self.kinds)

    def passed_of(self, model: str, kinds: Collection[str]) -> tuple[int, int]:
        """The same of several kinds together."""
        answers = [a for r in self.results if r.kind in kinds and (a := r.answer(model))]
        return sum(a.passed for a in answers), len(answers)

    def page_of(self, outcomes: Collection[str], kinds: Collection[str]) -> int:
        """How many questions of these kinds ended so on the page."""
        return sum(one.outcome in outcomes and one.kind in kinds for one in self.page)

    def page_passed(self, kinds: Collection[str]) -> tuple[int, int]:
        """How many questions of these kinds the page passes, and of how many."""
        return self.page_of(SAFE, kinds), self.page_of((*SAFE, *FAULTS), kinds)

    @property
    def grave(self) -> tuple[str, ...]:
        """Its kinds that are grave, in their order."""
        return tuple(kind for kind in self.kinds if kind in GRAVE)

    def lost(self, model: str, against: str) -> tuple[SafetyResult, ...]:
        """The questions that `against` passes and `model` does not."""
        return tuple(
            r
            for r in self.results
            if (ours := r.answer(model)) and (theirs := r.answer(against)) and theirs.passed and not ours.passed
        )

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(r.kind for r in self.results))
