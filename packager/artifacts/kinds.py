"""What stages hand on: frozen values, each of which describes a committed folder."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from packager.artifacts.checks import Check, Figure
from packager.artifacts.evidence import AsTrained, Divergence, Moved


class Artifact(BaseModel):
    """A frozen value that describes a committed folder; `folder` is where it lies on this machine."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: Path
    content: str = ""
    """Hash of what was made: its facts and its files."""

    @property
    def reusable(self) -> bool:
        """Whether a later build may take this result instead of making it again."""
        return True

    @property
    def hashed(self) -> dict[str, str]:
        """The sha256 of files that the stage's own process hashed after it had written them, by their names."""
        return {}


class Checked(Artifact):
    """An artifact that was checked when it was made."""

    checks: tuple[Check, ...] = ()
    figures: tuple[Figure, ...] = ()
    """What is only recorded."""

    @property
    def failed(self) -> tuple[Check, ...]:
        """What stops the build: failed, and not waived."""
        return tuple(c for c in self.checks if c.failed)

    @property
    def reusable(self) -> bool:
        """What failed is tried again: a busy machine may have been too slow."""
        return not self.failed


class Checkpoint(Artifact):
    """A model in Hugging Face format: config.json, tokenizer files, safetensors."""

    source: str
    """Where the weights came from, as the recipe names it; never a path of this machine."""
    revision: str = ""
    architecture: str
    parameters: int
    licence: str = ""
    licence_link: str = ""
    """Where the licence's text is, of one that the Hub does not know by name."""
    left_out: str = ""
    """The parts of the base that are not for text, in words."""
    weights_sha256: str = ""


class Dataset(Checked):
    """`train.jsonl` and `heldout.jsonl` (a `messages` list a row) and the prompt they are set in."""

    train_rows: int
    heldout_rows: int
    train_tokens: int
    heldout_tokens: int
    choosing_rows: int = 0
    """Held-out rows beside these, in `choosing.jsonl`: they choose between models, and report nothing."""
    topics: int
    too_long: int
    """Rows left out because they exceed `data.max_tokens`."""
    system: str | None
    source_sha256: str
    data_sha256: str
    end_of_turn: str
    """The token that ends an answer, as text."""
    leaked: int
    """Held-out rows whose question or answer also occurs in training (must be 0)."""
    unterminated: int
    """Rows whose last trained token is not the end-of-turn token (must be 0)."""
    identifiers: int = 0
    """Patient identifiers left in the rows, because the recipe allows them."""
    source_revision: str = ""
    """The commit, for a data set of the Hub."""
    base_template: str = ""
    """The base's own chat template (or the recipe's), which the frozen one beside the rows was made from."""
    base_template_sha256: str = ""
    template_notes: tuple[str, ...] = ()
    """Where the frozen template departs from it, and why."""


class Prompt(Checked):
    """`vocabulary.gguf`: what the converter makes of tokenizer and template, without weights; and Ollama's side."""

    template: str
    """Ollama's TEMPLATE."""
    stops: tuple[str, ...]
    """What ends an answer: the end of turn, and what opens a turn. None occurs in an answer of the data."""
    answers: int
    """How many answers there are."""


class Adapter(Artifact):
    """`adapter_model.safetensors`, `adapter_config.json`, `metrics.jsonl`."""

    method: str
    trainable_parameters: int
    total_parameters: int
    steps: int
    tokens_per_second: float
    heldout_loss_before: float
    heldout_loss_after: float
    final_train_loss: float
    on_nf4: bool = False
    """Whether it stands on a base rounded to NF4, as QLoRA's does (LoftQ's is made to stand on the 16-bit one)."""
    as_trained: AsTrained | None
    """None for an adapter that was not trained here."""


class Merged(Checkpoint, Checked):
    """The base plus the adapter in FP16 safetensors."""

    pairs_used: int
    """Adapter pairs that were added to a weight that was written."""
    pairs_total: int
    delta_norm: float
    """Frobenius norm of merged minus base weights over all adapted matrices."""
    delta_norm_expected: float
    """The same, computed from the adapter alone."""
    largest_weight: float
    by_peft: bool = False
    """Whether peft merged it, so that nobody else counted its pairs."""
    moved: Moved | None
    """None without an adapter."""
    rounded_to_nf4: bool = False
    """Whether the base's matrices went through NF4 first, as in training, because that predicts better."""
    heldout_tokens: int = 0
    """Held-out answer tokens that the next four are measured on."""
    choosing_tokens: int = 0
    """Other held-out answer tokens, on which the base to merge into was chosen; 0: on the same."""
    heldout_loss: float | None = None
    """Loss (nats/token) of what was merged, base and adapter."""
    heldout_loss_error: float = 0.0
    """Standard error of how far it is below the next, the rows being a sample."""
    heldout_loss_base: float | None = None
    """The same of the 16-bit base without the adapter: what a user would otherwise run."""
    heldout_loss_16bit: float | None = None
    """The same with the adapter on the 16-bit base."""
    heldout_loss_nf4: float | None = None
    """The same with the adapter on the base rounded to NF4; None if the adapter was not made for it."""
    divergence: Divergence | None = None
    """From base + adapter, unmerged."""


class GgufFile(BaseModel):
    """One GGUF file of a stage's folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    type: str
    size: int
    sha256: str
    bits_per_weight: float
    tensor_types: dict[str, int]
    """How many tensors have which type, as read back from the file."""
    file_type: str = ""
    """The quantization that the file itself names."""
    fallback_share: float = 0.0
    """Share of the weights that llama.cpp stored in another type, because the type's blocks of 256 do not
    divide their rows; as read back."""
    unplanned: tuple[str, ...] = ()
    """Tensors that were read back in another type than llama.cpp chooses for them, each with both types."""
    divergence: Divergence | None = None
    """From the merged checkpoint, on held-out answers; None if the file did not run."""
    kv_divergence: Divergence | None = None
    """From itself with keys and values in f16; None if that is what they are served in."""
    fault: str = ""
    """Why it did not run."""


class Ggufs(Checked):
    """GGUF files: the F16 conversion, or its quantizations."""

    files: tuple[GgufFile, ...]

    @property
    def hashed(self) -> dict[str, str]:
        return {file.name: file.sha256 for file in self.files}

    @property
    def reusable(self) -> bool:
        return not self.failed and not any(file.fault for file in self.files)


class Modelfile(Checked):
    """The Ollama Modelfile template; FROM is filled in per packaged file."""

    template: str
    stops: tuple[str, ...]
    system: str | None
    text: str


class Answer(BaseModel):
    """One smoke question and what the packaged model answered."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    ask: str
    answer: str
    tokens: int
    stopped: bool
    seconds_to_first_token: float
    tokens_per_second: float
    prompt_tokens: int = 0
    """Of the conversation with the question, before the answer."""
    begins: str = ""
    """The first words when the likeliest token is taken each time: what a clinic's machine must compute too."""
    faults: tuple[str, ...] = ()
    """The smoke.* checks (without `smoke.`) that it speaks against."""


class Proof(Checked):
    """`proof.json`: every check, what is recorded beside them, and the answers that were judged."""

    passed: bool
    """No check failed, but for those that are waived."""
    answers: tuple[Answer, ...]
    answers_of_f16: tuple[Answer, ...] = ()
    """What the F16 file answers to the same questions; it is asked only where a quantized file fails."""
    mode: str = "free"
    """How the clinic's page answers: free, assisted or approved; docs/knowledge.md."""
    mode_because: str = ""
    """Why no more is left to the model, in a sentence; '' in the mode free."""


class Report(Checked):
    """`report.html` and `metrics.json`; `checks` are those of the proof that did not pass."""

    size: int
    """Bytes of the page."""
    unproven: tuple[str, ...] = ()
    """What its head says is not proven, a sentence each, in English."""
    probes_failed: tuple[str, ...] = ()
    """The probes that the default file failed."""


class Package(Artifact):
    """The deliverable."""

    files: tuple[str, ...]
    size: int
    proof: str
    """How many checks its proof passed, in words that name what is waived."""
    tokens_per_second: dict[str, float]
    """How fast each GGUF file answered here, by its name in the package; the default file comes first."""
    default_because: str = ""
    """Why the default file is not the recipe's first type."""
    unproven: tuple[str, ...] = ()
    """As the report has it."""
    probes_failed: tuple[str, ...] = ()


class Servers(Artifact):
    """llama-server for kinds of machines."""

    binaries: dict[str, tuple[str, ...]]
    """Where those for each target are, within the folder, the fastest first."""


class Bundle(Artifact):
    """The folder for the clinic: the package, and all that runs it."""

    version: str
    """yyyymmdd.hhmm; later ones are greater as text."""
    files: int
    size: int
    targets: tuple[str, ...]
    signed: bool
