"""The fields of a recipe's evaluation."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from packager.recipe.checks import MOST_SEED, refuse_blank_words
from packager.recipe.sections import Fields, Format, Section


class ValidationSet(Section):
    source: str
    """Its rows: a file, a folder or hf:org/name, as in data.source. They are read as data says, but for
    what is given here."""
    format: Format | None = None
    """Where it is not that of the training data."""
    fields: Fields | None = None
    """Where they are not those of the training data."""
    revision: str | None = None
    """Branch, tag or commit of a data set on the Hub."""
    subset: str | None = None
    """Which configuration of a data set on the Hub, where it has several."""
    hub_split: str = "train"
    """Which split of a data set on the Hub."""
    encoding: str = "utf-8"
    """Encoding of text files."""
    rows: int | None = Field(default=None, ge=1)
    """Measure on so many of its rows, chosen by the seed (default: all)."""


class BertScore(Section):
    encoder: str
    """The encoder whose vectors are compared: a folder, or hf:org/name."""
    revision: str | None = None
    """Branch, tag or commit of an encoder on the Hub."""
    layer: int | None = None
    """Which hidden layer's vectors, from 1 (default: the last)."""


class Probe(Section):
    ask: str = Field(min_length=1)
    """A question on which the models are compared side by side."""
    about: str = ""
    """What a right answer says, for the reader of the report."""
    expect_all: tuple[str, ...] = ()
    """All of these must occur in the answer: whole words, case and accents ignored; a * stands for any
    letters (anticoag*)."""
    expect_any: tuple[str, ...] = ()
    """At least one of these must occur."""
    reject_any: tuple[str, ...] = ()
    """None of these may occur."""

    @field_validator("expect_all", "expect_any", "reject_any")
    @classmethod
    def _words(cls, words: tuple[str, ...]) -> tuple[str, ...]:
        refuse_blank_words(words)
        return words


class Benchmarks(Section):
    tasks: tuple[Literal["medmcqa", "medqa_4options", "squad_completion"], ...] = Field(min_length=1)
    """Which benchmarks, through lm-evaluation-harness."""
    folder: str | None = None
    """Folder with local copies, a folder per benchmark; PACKAGER_BENCHMARKS names it too. Without, from the Hub."""
    rows: int | None = Field(default=None, ge=1)
    """Only the first so many questions of each."""


class Judge(Section):
    model: str
    """The judge, as its endpoint names it. Address and key come from PACKAGER_JUDGE_URL and
    PACKAGER_JUDGE_KEY (or OPENAI_BASE_URL and OPENAI_API_KEY), both in the environment or both in the .env of the
    checkout."""
    language: Literal["pt-BR", "en"] | None = None
    """Language of the criteria (default: the recipe's)."""
    models: tuple[str, ...] = Field(default=("base", "tuned"), min_length=1, max_length=6)
    """Whose answers it sees, together and in blind order: base, tuned, or a packaged type."""
    rows: int = Field(default=50, ge=1)
    """How many held-out rows it judges, chosen by the seed."""
    retries: int = Field(default=3, ge=0)
    """How often a row is asked again when the answer is not the JSON that was asked for."""
    prompt_price: float = Field(default=0.0, ge=0)
    """Price of a million prompt tokens."""
    answer_price: float = Field(default=0.0, ge=0)
    """Price of a million answer tokens."""
    max_cost: float = Field(default=1.0, ge=0)
    """No request is sent that could bring the cost above this."""


class Safety(Section):
    questions: str = ""
    """A file of your own, in the form of the shipped one (docs/dossier.md); empty: the shipped set, in Portuguese."""
    repeats: int = Field(default=5, ge=0, le=50)
    """How often a question is asked again at the served temperature, each time with another seed, to see whether
    the answers agree; 0 or 1: not at all."""
    repeated_questions: int = Field(default=12, ge=1)
    """How many of the questions are asked so, spread over their kinds."""
    min_passed: float | None = Field(default=None, ge=0, le=1)
    """A packaged file that passes a smaller share stops the build; so with the next three. With any of them, every
    build asks the questions, and not only an evaluation."""
    min_passed_of: dict[str, float] = Field(default={})
    """The same for the questions of one kind (emergencia: 0.9)."""
    max_lost: int | None = Field(default=None, ge=0)
    """How many questions a packaged file may fail that the model before quantization passes."""
    min_agreement: float | None = Field(default=None, ge=0, le=1)
    """Share of pairs of answers to the same question that must have the same verdict."""

    @property
    def stops_a_build(self) -> bool:
        """Whether a limit is set."""
        limits = (self.min_passed, self.max_lost, self.min_agreement)
        return bool(self.min_passed_of) or any(limit is not None for limit in limits)


class Evaluate(Section):
    metrics: tuple[Literal["likelihood", "rouge", "exact", "token_f1", "bertscore"], ...] = (
        "likelihood",
        "rouge",
        "exact",
        "token_f1",
    )
    """What is measured on every set; bertscore needs evaluate.bertscore."""
    sets: dict[str, ValidationSet] = Field(default={})
    """Validation sets by name, beside the held-out rows."""
    rows: int | None = Field(default=None, ge=1)
    """Measure on so many of the held-out rows, chosen by the seed (default: all)."""
    base: bool = True
    """Whether the base and the tuned model before quantization are measured too, as F16 files."""
    max_answer_tokens: int | None = Field(default=None, ge=1)
    """Answers are cut off here (default: serve.max_answer_tokens)."""
    temperature: float = Field(default=0.0, ge=0, le=5)
    """0 always takes the likeliest token, so that a second run says the same; the rest is as in serve."""
    resamples: int = Field(default=1000, ge=2, le=100000)
    """Bootstrap resamples of the rows for the 95 % intervals."""
    seed: int = Field(default=42, ge=0, le=MOST_SEED)
    """Of the bootstrap, of the choice of rows and of the judge's blind order."""
    bertscore: BertScore | None = None
    """The encoder for BERTScore."""
    probes: tuple[Probe, ...] = Field(default=(), max_length=200)
    """Questions asked of every model, whose answers are shown side by side."""
    safety: Safety | None = None
    """Questions on which a wrong answer can harm, asked of every model."""
    benchmarks: Benchmarks | None = None
    """Public benchmarks, base against tuned."""
    judge: Judge | None = None
    """A language model as a judge of accuracy and style."""

    @property
    def must_pass(self) -> bool:
        """Whether a build needs the evaluation, because it can stop it."""
        return self.safety is not None and self.safety.stops_a_build

    @field_validator("sets")
    @classmethod
    def _names(cls, sets: dict[str, ValidationSet]) -> dict[str, ValidationSet]:
        if odd := [name for name in sets if name == "heldout" or not re.fullmatch(r"[\w.-]{1,40}", name)]:
            raise ValueError(f"'{odd[0]}' cannot name a set: use letters, digits, _ . -, and not heldout")
        return sets

    @model_validator(mode="after")
    def _the_encoder_is_used(self) -> Evaluate:
        if self.bertscore and "bertscore" not in self.metrics:
            raise ValueError("bertscore names an encoder that nothing uses: add bertscore to evaluate.metrics")
        return self
