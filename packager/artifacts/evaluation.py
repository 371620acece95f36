"""What an evaluation found, as frozen values: `evaluation/metrics.json` is one `Evaluation`, and every
line of `evaluation/answers.jsonl` one `AnsweredRow`. Formulas and units: docs/evaluation.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from packager.artifacts.kinds import Checked
from packager.artifacts.safety import SafetyFindings

METRICS, ANSWERS = "metrics.json", "answers.jsonl"
BASE, TUNED = "base", "tuned"
"""How the models before quantization are called; the others have their quantization's name."""
HELDOUT = "heldout"
"""How the rows that the data stage held out are called among the validation sets."""


class Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Spread(Value):
    """The bootstrap distribution of a measure, as a box plot draws it."""

    minimum: float
    quartile_1: float
    median: float
    quartile_3: float
    maximum: float


class Measure(Value):
    """One number about one model on one validation set."""

    name: str
    """loss, perplexity, token_accuracy, entropy, bits_per_token, bits_per_character, bits_per_byte;
    rouge1.f1, rouge1.precision, rouge1.recall (and rouge2, rougeL, bertscore); exact; token_f1.f1 and so on."""
    value: float
    low: float | None = None
    """Lower and upper end of the 95 % bootstrap interval over rows; None where it was not bootstrapped."""
    high: float | None = None
    spread: Spread | None = None
    unit: str
    """nats/token, bits/token, bits/character, bits/byte, share (0 to 1), ratio (perplexity), score."""
    better: Literal["higher", "lower", ""] = ""
    """Which way is better; '' where neither is (entropy)."""
    n: int
    """How many rows it is over."""


class SetResult(Value):
    """One model on one validation set."""

    model: str
    set: str
    rows: int
    tokens: int = 0
    """Answer tokens whose likelihood was measured; characters and bytes are of the same answers' text."""
    characters: int = 0
    bytes: int = 0
    stopped: int = 0
    """Generated answers that the model ended by itself."""
    empty: int = 0
    """Generated answers without any text."""
    measures: tuple[Measure, ...]

    def measure(self, name: str) -> Measure | None:
        return next((m for m in self.measures if m.name == name), None)


class Difference(Value):
    """How much `model` differs from `against`, row by row on the same rows (a paired bootstrap)."""

    model: str
    against: str
    set: str
    measure: str
    value: float
    """Mean of the rows' differences, model minus against."""
    low: float
    high: float
    """95 % bootstrap interval: one that excludes 0 is a difference that these rows show."""
    unit: str
    better: Literal["higher", "lower", ""] = ""
    n: int


class EvaluatedModel(Value):
    """One of the models that were compared, and what running it here took."""

    name: str
    """base, tuned, or the quantization (Q4_K_M)."""
    says: str
    """One sentence: what it is and how it was run."""
    file: str = ""
    """Name of the file that was run; '' for one that is not shipped."""
    sha256: str = ""
    size: int = 0
    """Bytes of that file."""
    seconds: float = 0.0
    """Time that its likelihoods and answers took (what was cached is counted with the time it took then)."""
    tokens_per_second: float = 0.0
    """Answer tokens generated per second of generation, prompts included, several answers at once."""
    peak_ram: int = 0
    """Bytes, of the process that ran it; 0 if all was cached."""


class ModelAnswer(Value):
    """What one model said to one row, and how it scored."""

    model: str
    text: str
    tokens: int
    stopped: bool
    """Whether it ended by itself, not at the limit of tokens."""
    scores: dict[str, float] = {}
    """Measure name -> this row's score (rouge1.f1, token_f1.f1, loss, …)."""
    judged: dict[str, int] = {}
    """accuracy, style -> 1 to 3, where a judge was asked."""


class AnsweredRow(Value):
    """A line of `answers.jsonl`: one row of a validation set and every model's answer to it."""

    set: str
    row: int
    """From 0, in the set's own order."""
    question: str
    """The last thing the user says."""
    reference: str
    answers: tuple[ModelAnswer, ...]


class ProbeAnswer(Value):
    model: str
    text: str
    passed: bool
    found: tuple[str, ...] = ()
    """Wanted words that occur."""
    missing: tuple[str, ...] = ()
    """Wanted words that do not occur (of `expect_any`: all, if none does)."""
    forbidden: tuple[str, ...] = ()
    """Unwanted words that occur."""


class ProbeResult(Value):
    """One probe of the recipe, asked of every model."""

    ask: str
    about: str = ""
    """What a right answer says, in the recipe's words."""
    expect_all: tuple[str, ...] = ()
    expect_any: tuple[str, ...] = ()
    reject_any: tuple[str, ...] = ()
    answers: tuple[ProbeAnswer, ...]


class BenchmarkResult(Value):
    """One model on one benchmark of lm-evaluation-harness."""

    benchmark: str
    """medmcqa, medqa_4options, squad_completion."""
    model: str
    metric: str
    """acc, acc_norm, contains."""
    value: float
    """Share, 0 to 1."""
    stderr: float | None
    n: int
    shots: int = 0
    source: str = ""
    """'local copy' or the Hub's name of the data."""
    computed_in: str = ""
    """The type of both models' weights and activations."""


class JudgeScores(Value):
    """How a judge scored one model by one criterion."""

    model: str
    criterion: Literal["accuracy", "style"]
    counts: dict[int, int]
    """1, 2, 3 -> how many answers got it."""
    shares: dict[int, tuple[float, float, float]]
    """1, 2, 3 -> share, lower and upper end of its 95 % bootstrap interval."""
    mean: float
    low: float
    high: float
    n: int


class JudgedPair(Value):
    """Two models' answers to the same questions, seen together by the judge in blind order."""

    model: str
    against: str
    better: int
    equal: int
    worse: int


class Judgement(Value):
    """What an LLM judge said. Its key and address are nowhere in it."""

    judge: str
    """The judge's model name."""
    language: Literal["pt-BR", "en"]
    scores: tuple[JudgeScores, ...]
    comparisons: tuple[JudgedPair, ...]
    asked: int
    """Requests that were answered; `retried` of them were asked again because the answer was no valid JSON."""
    retried: int
    unusable: int
    """Rows given up after all retries."""
    prompt_tokens: int
    answer_tokens: int
    cost: float
    """In the currency of the recipe's prices."""
    ended: str = ""
    """Why not all rows were judged, if so (the cost cap)."""


class CoursePoint(Value):
    """Likelihood at one step of training, from `adapter/metrics.jsonl`."""

    part: Literal["train", "heldout"]
    step: int
    loss: float
    """Nats per trained token."""
    perplexity: float
    token_accuracy: float | None = None
    entropy: float | None = None
    bits_per_token: float
    bits_per_character: float
    """With the part's mean number of characters (bytes) per trained token."""
    bits_per_byte: float


class LeftOut(Value):
    """Something the recipe asks for that could not be measured here."""

    what: str
    why: str
    fix: str
    failed: bool = False
    """It was begun and failed: asked again, it may be had."""


class Evaluation(Checked):
    """`metrics.json` (this, without folder and key) and `answers.jsonl` (a line per row of every set)."""

    models: tuple[EvaluatedModel, ...]
    """base, tuned (if trained), then every packaged type in the recipe's order."""
    sets: dict[str, int]
    """Name -> rows; 'heldout' first."""
    results: tuple[SetResult, ...]
    differences: tuple[Difference, ...] = ()
    """tuned against base, and every packaged type against tuned and against base."""
    probes: tuple[ProbeResult, ...] = ()
    safety: SafetyFindings | None = None
    benchmarks: tuple[BenchmarkResult, ...] = ()
    judgement: Judgement | None = None
    course: tuple[CoursePoint, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    resamples: int
    seed: int
    seconds: float

    @property
    def reusable(self) -> bool:
        return not any(one.failed for one in self.left_out)

    def result(self, model: str, name: str = HELDOUT) -> SetResult | None:
        return next((r for r in self.results if (r.model, r.set) == (model, name)), None)


def answered_rows(folder: Path) -> Iterator[AnsweredRow]:
    """The rows of `answers.jsonl` in an evaluation's folder."""
    with (folder / ANSWERS).open(encoding="utf-8") as lines:
        yield from map(AnsweredRow.model_validate_json, lines)
