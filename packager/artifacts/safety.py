"""What safety questions found out about the models of an evaluation, as frozen values."""

from __future__ import annotations

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

    def passed(self, model: str, kind: str = "") -> tuple[int, int]:
        """How many questions of a kind (of all, without one) the model passes, and of how many."""
        answers = [a for r in self.results if kind in ("", r.kind) and (a := r.answer(model))]
        return sum(a.passed for a in answers), len(answers)

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
