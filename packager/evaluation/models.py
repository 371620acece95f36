"""The models that are compared -> what each makes of everything it is asked, run by llama.cpp on this CPU.

Each runs as a GGUF file in a child of its own; the base is converted to F16 for it. What was measured before is
taken from the cache. Fails with `ProofFailed` for a file whose bytes changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packager.artifacts.evaluation import BASE, TUNED, EvaluatedModel, LeftOut
from packager.artifacts.files import fresh, sha256_of, write_json
from packager.artifacts.kinds import Adapter, Checkpoint, Dataset, Ggufs
from packager.errors import Interrupted, PackagerError, ProofFailed
from packager.evaluation import items
from packager.evaluation.answers import (
    AnswerSettings,
    Known,
    answer_questions,
    question_key,
    questions_of,
    read_answers,
)
from packager.evaluation.items import ValidationRow
from packager.llamacpp.converter import run_converter
from packager.llamacpp.limits import run_limits
from packager.process import child, progress
from packager.prompt.masking import Encoded
from packager.prompt.template import load_tokenizer
from packager.recipe.evaluation import Evaluate
from packager.recipe.sections import Serve

SECONDS_PER_TOKEN_AND_BYTE = 2e-9
"""No model takes longer than this for a token, per byte of its file."""


@dataclass(frozen=True)
class Model:
    """A file to be run. `identity` is what its results are known by."""

    name: str
    path: Path
    identity: str
    says: str
    sha256: str = ""
    packaged: bool = False
    """Whether the clinic gets this file: without its figures there is no evaluation."""


def models_of(wanted: Evaluate, base: Checkpoint, adapter: Adapter | None, f16: Ggufs, ggufs: Ggufs) -> Iterator[Model]:
    """What is compared, in order. An untrained recipe's F16 file is the base's."""
    whole = f16.files[0]
    path = f16.folder / whole.name
    if wanted.base and adapter is None:
        yield Model(BASE, path, whole.sha256, "The base model in FP16, run by llama.cpp.", whole.sha256)
    elif wanted.base:
        yield Model(BASE, Path(), f"base-{base.content}", "The base model before training, in FP16, run by llama.cpp.")
        yield Model(TUNED, path, whole.sha256, "The tuned model in FP16 before quantization, run by llama.cpp.",
                    whole.sha256)  # fmt: skip
    for file in ggufs.files:
        says = f"The packaged file of type {file.type}, run by llama.cpp on this CPU as in the clinic."
        yield Model(file.type, ggufs.folder / file.name, file.sha256, says, file.sha256, packaged=True)


def settings_of(wanted: Evaluate, serve: Serve, data: Dataset) -> AnswerSettings:
    """How every model answers: as it is served, with the temperature and the seed of the evaluation."""
    end = load_tokenizer(data.folder).token_to_id(data.end_of_turn)
    assert end is not None, "the data stage found it"
    return AnswerSettings(
        serve=serve.model_copy(update={"temperature": wanted.temperature}),
        seed=wanted.seed,
        max_tokens=wanted.max_answer_tokens or serve.max_answer_tokens,
        end_of_turn=end,
        engine=metadata.version("llama_cpp_python"),
    )


def asked_of_each(wanted: Evaluate, data: Dataset, rows: Sequence[ValidationRow]) -> list[Encoded]:
    """Everything that each model is asked: what the metrics and the judge take of the rows, and the probes."""
    generates = any(metric != "likelihood" for metric in wanted.metrics) or wanted.judge is not None
    asked = questions_of(rows, likelihood="likelihood" in wanted.metrics, answers=generates)
    return asked + [items.prompt_of(data, probe.ask) for probe in wanted.probes]


def fitting_probes(wanted: Evaluate, context: int, data: Dataset, left: list[LeftOut]) -> Evaluate:
    """The same with the probes that leave room for an answer in `context` tokens; the others are added to `left`."""
    lengths = {probe.ask: len(items.prompt_of(data, probe.ask).ids) for probe in wanted.probes}
    for probe in wanted.probes:
        if lengths[probe.ask] + 1 >= context:
            why = f"it takes {lengths[probe.ask]} tokens, and serve.context has {context}"
            left.append(LeftOut(what=f"probe “{probe.ask[:40]}…”", why=why, fix="shorten it, or raise serve.context"))
    return wanted.model_copy(
        update={"probes": tuple(probe for probe in wanted.probes if lengths[probe.ask] + 1 < context)}
    )


def run_models(
    models: Iterable[Model],
    asked: Sequence[Encoded],
    settings: AnswerSettings,
    base: Checkpoint,
    out: Path,
    cache: Path,
    left: list[LeftOut],
) -> tuple[list[EvaluatedModel], dict[str, Known]]:
    """What is known of every model that runs, and by its name what it made of everything it was asked. One that
    is not packaged and does not run is added to `left`."""
    evaluated: list[EvaluatedModel] = []
    ran: dict[str, Known] = {}
    for model in models:
        try:
            one, ran[model.name] = run_model(model, asked, settings, base, out, cache)
        except Interrupted:
            raise
        except PackagerError as error:
            if model.packaged:
                raise
            left.append(LeftOut(what=model.name, why=error.message, fix=error.fix, failed=True))
        else:
            evaluated.append(one)
    return evaluated, ran


def run_model(
    model: Model, asked: Sequence[Encoded], settings: AnswerSettings, base: Checkpoint, out: Path, cache: Path
) -> tuple[EvaluatedModel, Known]:
    """What one model makes of everything it is asked, from the cache where it is known."""
    store = cache / f"{model.identity[:24]}.jsonl"
    known, peak, path = read_answers(store), 0, model.path
    missing = [q for q in asked if question_key(q, settings) not in known]
    progress.note(f"{model.name}: {len(missing)} of {len(asked)} to measure, the others are known")
    if missing:
        path = path if model.sha256 else _converted(base, out)
        if model.sha256 and sha256_of(path) != model.sha256:
            raise ProofFailed(f"{path.name} was altered since it was written.", "build again with --verify")
        size = path.stat().st_size
        tokens = sum(len(q.ids) + (0 if q.trained else settings.max_tokens) for q in missing)
        limit = 600 + tokens * (0.05 + size * SECONDS_PER_TOKEN_AND_BYTE)
        finished = child.call(
            answer_questions, path, missing, settings, store, timeout=limit, memory_limit=run_limits(size).memory
        )
        known, peak = read_answers(store), finished.peak_ram
    used = [known[question_key(q, settings)] for q in dict.fromkeys(asked)]
    answers = [row for row in used if "text" in row]
    seconds = sum(row["seconds"] for row in answers)
    evaluated = EvaluatedModel(
        name=model.name,
        says=model.says,
        file=model.path.name,
        sha256=model.sha256,
        size=path.stat().st_size if model.sha256 else 0,
        seconds=round(sum(row["seconds"] for row in used), 2),
        tokens_per_second=round(sum(row["tokens"] for row in answers) / seconds, 1) if seconds else 0.0,
        peak_ram=peak,
    )
    return evaluated, known


def _converted(base: Checkpoint, out: Path) -> Path:
    """The base as an F16 file; kept until this stage is committed, so that an interrupted one has it."""
    path = out / "checkpoints" / "base-F16.gguf"
    if not path.is_file():
        progress.note("converting the base to F16")
        folder = fresh(path.parent)
        write_json(folder / "metadata.json", {})
        run_converter(base.folder, folder / "base.partial.gguf", folder / "metadata.json")
        (folder / "base.partial.gguf").rename(path)
    return path
