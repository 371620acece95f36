"""The base, the tuned model and every packaged file on the same rows -> `metrics.json`, `answers.jsonl`.

Each model runs as a GGUF file through llama.cpp on this CPU, in a child of its own, since that is
what ships: the base is converted to F16 for it, the tuned model is the F16 file that the convert
stage proved equal to the merged weights. What was measured before, under whatever settings, is
taken from the cache beside the run folder's stages. What cannot be measured here (no encoder, no
endpoint, no data) is recorded as left out, and the rest goes on. A file whose bytes changed fails.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packager.artifacts.evaluation import (
    ANSWERS,
    BASE,
    HELDOUT,
    METRICS,
    TUNED,
    Difference,
    EvaluatedModel,
    Evaluation,
    Judgement,
    LeftOut,
    ProbeResult,
    SetResult,
)
from packager.artifacts.files import fresh, sha256_of, write_atomically, write_json
from packager.artifacts.kinds import Adapter, Checkpoint, Dataset, Ggufs, Merged
from packager.errors import InputError, Interrupted, PackagerError, ProofFailed
from packager.evaluation import answers as evaluation_answers
from packager.evaluation import benchmarks, bertscore, items, judge, measures, probes
from packager.evaluation.answers import RowQuestion, answer_questions, question_key, questions_of, read_answers
from packager.evaluation.items import Item
from packager.evaluation.judge import JudgeQuestion
from packager.evaluation.measures import Outcome, Resampled
from packager.llamacpp.converter import run_converter
from packager.process import child, progress
from packager.prompt.template import load_tokenizer
from packager.recipe.evaluation import Evaluate
from packager.recipe.sections import Data, Section, Serve

CACHE = "evaluation.cache"
ROOM = 8 << 30
"""Address space beside a file, in bytes: contexts, logits, the interpreter."""
SECONDS_PER_TOKEN_AND_BYTE = 2e-9
"""No model takes longer than this for a token, per byte of its file."""


class Evaluating(Section):
    """The parts of the recipe that an evaluation depends on."""

    evaluate: Evaluate
    data: Data
    serve: Serve
    language: str


@dataclass(frozen=True)
class Model:
    """A file to be run. `identity` is what its results are known by."""

    name: str
    path: Path
    identity: str
    says: str
    sha256: str = ""


def evaluate(
    config: Evaluating,
    base: Checkpoint,
    data: Dataset,
    adapter: Adapter | None,
    merged: Merged,
    f16: Ggufs,
    ggufs: Ggufs,
    out: Path,
) -> Evaluation:
    """Measure everything that the recipe asks for and this machine can."""
    began = time.monotonic()
    wanted, how = config.evaluate, Resampled(config.evaluate.resamples, config.evaluate.seed)
    cache = out.parent / CACHE
    cache.mkdir(exist_ok=True)
    left: list[LeftOut] = []
    sets = _sets(config, data, left)
    models: list[EvaluatedModel] = []
    ran: dict[str, evaluation_answers.Known] = {}
    for model in _models(wanted, base, adapter, f16, ggufs):
        try:
            found = _run(model, config, data, [i for rows in sets.values() for i in rows], base, out, cache)
        except Interrupted:
            raise
        except PackagerError as error:
            if model.name in {file.type for file in ggufs.files}:
                raise
            left.append(LeftOut(what=model.name, why=error.message, fix=error.fix, failed=True))
            continue
        models.append(found[0])
        ran[model.name] = found[1]
    answered = _score(config, sets, ran, left, base, data)
    results: list[SetResult] = []
    gaps: list[Difference] = []
    for name, rows in sets.items():
        of_set = {m: measures.result(m, name, rows, answered[m][name], how) for m in ran}
        results += of_set.values()
        gaps += measures.differences(name, of_set, {m: answered[m][name] for m in ran}, how)
    judgement, judged = _judged(config, sets[HELDOUT], {m: answered[m][HELDOUT] for m in ran}, cache, left)
    lines = [
        measures.answered(item, {m: answered[m][name][i] for m in ran}, judged.get(i, {}) if name == HELDOUT else {})
        for name, rows in sets.items()
        for i, item in enumerate(rows)
    ]
    write_atomically(out / ANSWERS, "".join(line.model_dump_json() + "\n" for line in lines))
    evaluation = Evaluation(
        folder=out,
        models=tuple(models),
        sets={name: len(rows) for name, rows in sets.items()},
        results=tuple(results),
        differences=tuple(gaps),
        probes=tuple(_probes(config, data, ran)),
        benchmarks=tuple(benchmarks.measure(wanted.benchmarks, base, merged if adapter else None, cache, left)),
        judgement=judgement,
        course=tuple(measures.course(adapter.folder / "metrics.jsonl", data)) if adapter else (),
        left_out=tuple(_without_folders(one) for one in left),
        resamples=wanted.resamples,
        seed=wanted.seed,
        seconds=round(time.monotonic() - began, 1),
    )
    write_json(out / METRICS, evaluation.model_dump(mode="json", exclude={"folder", "key"}))
    shutil.rmtree(out / "checkpoints", ignore_errors=True)
    return evaluation


def _without_folders(one: LeftOut) -> LeftOut:
    """As it is recorded: what comes into a package names no folder of this machine."""
    path = re.compile(r"(?<![\w:/.])(?:~|\.\.?)?/(?:[^\s'\",;/]+/)*([^\s'\",;/]+)")
    return one.model_copy(update={name: path.sub(r"\1", getattr(one, name)) for name in ("what", "why", "fix")})


def _sets(config: Evaluating, data: Dataset, left: list[LeftOut]) -> dict[str, list[Item]]:
    wanted = config.evaluate
    sets = {HELDOUT: items.heldout(data, wanted.rows, wanted.seed)}
    for name, validation in wanted.sets.items():
        source = items.config_of(validation, config.data)
        try:
            sets[name] = items.of_set(name, source, data, validation.rows, wanted.seed)
        except PackagerError as error:
            failed = not items.missing(source)  # what is missing is in the stage's key
            fix = error.fix or "correct evaluate.sets"
            left.append(LeftOut(what=f"set {name}", why=error.message, fix=fix, failed=failed))
    room = config.serve.context
    for name, rows in sets.items():
        sets[name] = [i for i in rows if max(len(i.ids), len(i.prompt) + 1) < room]
        if too_long := len(rows) - len(sets[name]):
            why = f"{too_long} rows are longer than serve.context ({room} tokens)"
            left.append(LeftOut(what=f"rows of {name}", why=why, fix="raise serve.context"))
    if not sets[HELDOUT]:
        raise InputError(f"No held-out row fits into serve.context ({room} tokens).", "raise serve.context")
    return {name: rows for name, rows in sets.items() if rows}


def _models(wanted: Evaluate, base: Checkpoint, adapter: Adapter | None, f16: Ggufs, ggufs: Ggufs) -> Iterator[Model]:
    """What is compared, in order. An untrained recipe's F16 file is the base's."""
    whole = f16.files[0]
    path = f16.folder / whole.name
    if wanted.base and adapter is None:
        yield Model(BASE, path, whole.sha256, "The base model in FP16, run by llama.cpp.", whole.sha256)
    elif wanted.base:
        yield Model(BASE, Path(), f"base-{base.key}", "The base model before training, in FP16, run by llama.cpp.")
        yield Model(TUNED, path, whole.sha256, "The tuned model in FP16 before quantization, run by llama.cpp.",
                    whole.sha256)  # fmt: skip
    for file in ggufs.files:
        says = f"The packaged file of type {file.type}, run by llama.cpp on this CPU as in the clinic."
        yield Model(file.type, ggufs.folder / file.name, file.sha256, says, file.sha256)


def _settings(config: Evaluating, data: Dataset) -> evaluation_answers.Settings:
    wanted, end = config.evaluate, load_tokenizer(data.folder).token_to_id(data.end_of_turn)
    assert end is not None, "the data stage found it"
    return evaluation_answers.Settings(
        serve=config.serve.model_copy(update={"temperature": wanted.temperature}),
        seed=wanted.seed,
        max_tokens=wanted.max_answer_tokens or config.serve.max_answer_tokens,
        end_of_turn=end,
        engine=metadata.version("llama_cpp_python"),
    )


def _run(
    model: Model, config: Evaluating, data: Dataset, rows: Sequence[Item], base: Checkpoint, out: Path, cache: Path
) -> tuple[EvaluatedModel, evaluation_answers.Known]:
    """Everything that one model is to be asked, from the cache where it is known."""
    settings, wanted = _settings(config, data), config.evaluate
    generates = any(metric != "likelihood" for metric in wanted.metrics) or wanted.judge is not None
    asked = questions_of(rows, likelihood="likelihood" in wanted.metrics, answers=generates)
    asked += [RowQuestion(items.prompt_of(data, probe.ask)) for probe in wanted.probes]
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
            answer_questions, path, missing, settings, store, timeout=limit, memory_limit=2 * size + ROOM
        )
        known, peak = read_answers(store), finished.peak_ram
    used = [known[question_key(q, settings)] for q in dict.fromkeys(asked)]
    answers = [row for row in used if "text" in row]
    seconds = sum(row["seconds"] for row in answers)
    found = EvaluatedModel(
        name=model.name,
        says=model.says,
        file=model.path.name,
        sha256=model.sha256,
        size=path.stat().st_size if model.sha256 else 0,
        seconds=round(sum(row["seconds"] for row in used), 2),
        tokens_per_second=round(sum(row["tokens"] for row in answers) / seconds, 1) if seconds else 0.0,
        peak_ram=peak,
    )
    return found, known


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


def _score(
    config: Evaluating,
    sets: Mapping[str, Sequence[Item]],
    ran: Mapping[str, evaluation_answers.Known],
    left: list[LeftOut],
    base: Checkpoint,
    data: Dataset,
) -> dict[str, dict[str, list[Outcome]]]:
    """Model -> set -> what it made of each row, scored."""
    settings, metrics = _settings(config, data), config.evaluate.metrics
    found: dict[str, dict[str, list[Outcome]]] = {model: {} for model in ran}
    for model, known in ran.items():
        for name, rows in sets.items():
            found[model][name] = outcomes = []
            for item in rows:
                measured = known.get(question_key(RowQuestion(item.ids, item.trained), settings)) if item.ids else None
                answer = known.get(question_key(RowQuestion(item.prompt), settings))
                scores = measures.scores(metrics, answer["text"], item.reference) if answer else {}
                outcomes.append(Outcome(measured, answer, scores))
    return bertscore.added(config.evaluate, found, sets, left)


def _probes(config: Evaluating, data: Dataset, ran: Mapping[str, evaluation_answers.Known]) -> Iterator[ProbeResult]:
    settings = _settings(config, data)
    for probe in config.evaluate.probes:
        name = question_key(RowQuestion(items.prompt_of(data, probe.ask)), settings)
        yield probes.judge(probe, {model: known[name]["text"] for model, known in ran.items()})


def _judged(
    config: Evaluating,
    rows: Sequence[Item],
    outcomes: Mapping[str, Sequence[Outcome]],
    cache: Path,
    left: list[LeftOut],
) -> tuple[Judgement | None, Mapping[int, Mapping[str, Mapping[str, int]]]]:
    """What the judge said, and its scores by row and model."""
    wanted = config.evaluate.judge
    if wanted is None:
        return None, {}
    answers = {m: [o.answer["text"] for o in found if o.answer] for m, found in outcomes.items() if m in wanted.models}
    how = JudgeQuestion(wanted, wanted.language or config.language, config.evaluate.resamples, config.evaluate.seed)
    try:
        return judge.judge(how, [(i.question, i.reference) for i in rows], answers, cache / "judge.jsonl")
    except Interrupted:
        raise
    except PackagerError as error:
        left.append(LeftOut(what="judge", why=error.message, fix=error.fix, failed=True))
        return None, {}


def summary(found: Evaluation) -> str:
    """One line: held-out loss of every model."""
    parts = [
        f"{r.model} {m.value:.3f}" for r in found.results if r.set == HELDOUT and (m := r.measure("loss")) is not None
    ]
    return "held-out loss " + ", ".join(parts) if parts else f"{len(found.models)} models"


def unreachable(config: Evaluating) -> list[LeftOut]:
    """What the recipe asks for that cannot be measured on this machine, told before anything runs."""
    wanted = config.evaluate
    found = [*bertscore.unreachable(wanted), *judge.unreachable(wanted.judge)]
    found += benchmarks.unreachable(wanted.benchmarks)
    for name, validation in wanted.sets.items():
        if missing := items.missing(items.config_of(validation, config.data)):
            fix = f"put it there, or correct evaluate.sets.{name}.source"
            found.append(LeftOut(what=f"set {name}", why=missing, fix=fix))
    return found


def fingerprint(config: Evaluating) -> list[object]:
    """What the result depends on besides the recipe and the artifacts: the sets' rows, and what is left out."""
    sets = [items.fingerprint(items.config_of(v, config.data)) for v in config.evaluate.sets.values()]
    return [sets, [one.what for one in unreachable(config)]]
