"""What stages hand on of approved material: the material itself, rows to train on with it, what a file makes of it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from packager.artifacts.kinds import Artifact, Checked


class Searched(BaseModel):
    """A question, and what the search made of it in the build: the clinic's self-test must get the same."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ask: str
    ranking: str
    """JSON, as the clinic's program writes it: the verdict, and place and score of the ten closest passages."""


class Mistaken(BaseModel):
    """A question of those that measured the search, for which a passage is shown that does not answer it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ask: str
    shown: str
    """The approved question, or the headings, of the first passage that is shown."""
    right: str
    """The same of the passage that answers it; '' where none does."""
    claimed: bool
    """Whether it is shown as the answer, and not as the closest."""


class Outcomes(BaseModel):
    """What the page shows for questions of one kind; the six counts add up to all of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    right: int = 0
    """Shown as the answer, and the first passage is the right one."""
    right_below: int = 0
    """Shown as the answer, and the right one is another of those shown."""
    wrong: int = 0
    """Shown as the answer, and none of those shown is right."""
    near_right: int = 0
    """Shown as no more than the closest, the right one among them."""
    near_wrong: int = 0
    silent: int = 0
    """Nothing is shown."""

    @property
    def asked(self) -> int:
        return self.right + self.right_below + self.wrong + self.near_right + self.near_wrong + self.silent


class Knowledge(Checked):
    """`knowledge.jsonl`, `knowledge.bin`, the embedding model and its licence (docs/knowledge.md)."""

    passages: int
    sources: tuple[str, ...]
    """The documents that they rest on."""
    near: float
    """A best passage below it is not shown."""
    sure: float
    """A best passage below it is shown as the closest, and not as the answer."""
    asked: int
    """Questions that the material answers, and that were asked."""
    outside: int
    """Questions about something else, and that were asked."""
    asked_near: int
    """Questions about the same that it does not answer, and that were asked."""
    found_first: float
    """Share of the asked whose passage came first."""
    found_three: float
    """Share of the asked whose passage was among the first three."""
    kept: float
    """Share of the asked for which a passage is shown."""
    kept_sure: float
    """Share of the asked for which it is shown as the answer."""
    right_when_sure: float | None = None
    """Share of those, whose first passage is the right one; None where none is shown as the answer."""
    silent: float | None
    """Share of the outside ones that are refused; None where none were asked."""
    unclaimed: float | None
    """Share of the near ones for which nothing is shown as the answer; None where none were asked."""
    shown_inside: Outcomes | None = None
    """The asked, by what the page shows; None in what was built before it was counted. So the next two: of the near
    ones and of the outside ones nothing is right."""
    shown_near: Outcomes | None = None
    shown_outside: Outcomes | None = None
    wordless: int = 0
    """Questions without a word to search for; they are in none of these counts and shares."""
    by_people: bool
    """Whether the questions are those of the recipe, and not made by the build."""
    searches: tuple[Searched, ...] = ()
    mistakes: tuple[Mistaken, ...] = ()
    """Some of what the search gets wrong, for people to see; the worst first."""
    duplicates: tuple[str, ...] = ()
    """Passages that were there before."""
    contradictions: tuple[str, ...] = ()
    """Pairs of passages that answer near-equal questions unlike: for the author to decide."""
    files: tuple[str, ...]
    """Those of the folder that go into the package."""


class Lessons(Artifact):
    """`lessons.jsonl` (rows with passages in their prompt, to train on) and `cases.jsonl` (what the proof asks)."""

    rows: int
    left_out: int
    """Rows with passages that are too long to train on."""
    cases: int


class Assisted(BaseModel):
    """What a packaged file made of questions with approved passages in their prompt, and of the same without."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: str
    asked: int
    grounded: float
    """Share of the answers from passages of which nothing is struck."""
    sentences_struck: int
    f1_with: float
    """Token F1 to the approved answer, with passages; then without."""
    f1_without: float
    gain: float
    """The mean of their differences, and its 95 % interval."""
    gain_low: float
    gain_high: float
