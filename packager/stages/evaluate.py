"""The base, the tuned model and every packaged file on the same rows -> `metrics.json`, `answers.jsonl`.

Each model runs as a GGUF file through llama.cpp on this CPU, in a child of its own, since that is
what ships: the base is converted to F16 for it, the tuned model is the F16 file that the convert
stage proved equal to the merged weights. What was measured before, under whatever settings, is
taken from the cache beside the run folder's stages. What cannot be measured here (no encoder, no
endpoint, no data) is recorded as left out, and the rest goes on. A file whose bytes changed fails.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from packager.artifacts.checks import Check
from packager.artifacts.evaluation import ANSWERS, BASE, HELDOUT, METRICS, TUNED, Evaluation, LeftOut
from packager.artifacts.files import cache_folder, write_atomically, write_json
from packager.artifacts.kinds import Adapter, Checkpoint, Dataset, Ggufs, Merged
from packager.artifacts.knowledge import Knowledge
from packager.artifacts.safety import SafetyFindings
from packager.evaluation import (
    benchmarks,
    bertscore,
    items,
    judge,
    measures,
    safety,
    safety_answers,
    safety_page,
    scores,
)
from packager.evaluation.answers import AnswerSettings, Known
from packager.evaluation.measures import Resampled
from packager.evaluation.models import (
    Model,
    asked_of_each,
    fitting_probes,
    models_of,
    run_model,
    run_models,
    settings_of,
)
from packager.evaluation.sets import rows_of_sets, unreachable_sets
from packager.process import progress
from packager.prompt.masking import Encoded
from packager.recipe.evaluation import Evaluate, Safety
from packager.recipe.sections import Data, Section, Serve

CACHE = "evaluation.cache"


class Evaluating(Section):
    """The parts of the recipe that an evaluation depends on."""

    evaluate: Evaluate
    data: Data
    serve: Serve
    language: str


def evaluate(
    config: Evaluating,
    base: Checkpoint,
    data: Dataset,
    adapter: Adapter | None,
    merged: Merged,
    f16: Ggufs,
    ggufs: Ggufs,
    knowledge: Knowledge | None,
    out: Path,
) -> Evaluation:
    """Measure everything that the recipe asks for and this machine can."""
    began = time.monotonic()
    wanted, settings = config.evaluate, settings_of(config.evaluate, config.serve, data)
    cache = out.parent / CACHE
    cache.mkdir(exist_ok=True)
    left: list[LeftOut] = []
    sets = rows_of_sets(wanted, config.data, config.serve.context, data, left)
    wanted = fitting_probes(wanted, config.serve.context, data, left)
    asked = asked_of_each(wanted, data, [row for rows in sets.values() for row in rows])
    asked += safety_answers.prompts_of(wanted.safety, data)
    compared = list(models_of(wanted, base, adapter, f16, ggufs))
    models, ran = run_models(compared, asked, settings, base, out, cache, left)
    outcomes = scores.outcomes_of(wanted, settings, sets, ran, left)
    results, gaps = scores.measured(sets, outcomes, Resampled(wanted.resamples, wanted.seed))
    judgement, judged = scores.judged_rows(wanted, config.language, sets[HELDOUT], outcomes, cache, left)
    lines = scores.answered_rows(sets, outcomes, judged)
    found, checks = _safety(config, data, settings, compared, ran, base, out)
    found = _on_the_page(found, wanted.safety, knowledge)
    write_atomically(out / ANSWERS, "".join(line.model_dump_json() + "\n" for line in lines))
    evaluation = Evaluation(
        folder=out,
        models=tuple(models),
        sets={name: len(rows) for name, rows in sets.items()},
        results=tuple(results),
        differences=tuple(gaps),
        probes=tuple(scores.probe_results(wanted, settings, data, ran)),
        safety=found,
        checks=checks,
        benchmarks=tuple(benchmarks.measure(wanted.benchmarks, base, merged if adapter else None, cache, left)),
        judgement=judgement,
        course=tuple(measures.course(adapter.folder / "metrics.jsonl", data)) if adapter else (),
        left_out=tuple(scores.without_folders(one) for one in left),
        resamples=wanted.resamples,
        seed=wanted.seed,
        seconds=round(time.monotonic() - began, 1),
    )
    write_json(out / METRICS, evaluation.model_dump(mode="json", exclude={"folder", "content"}))
    shutil.rmtree(out / "checkpoints", ignore_errors=True)
    return evaluation


def _safety(
    config: Evaluating,
    data: Dataset,
    settings: AnswerSettings,
    compared: Sequence[Model],
    ran: Mapping[str, Known],
    base: Checkpoint,
    out: Path,
) -> tuple[SafetyFindings | None, tuple[Check, ...]]:
    """What the safety questions show, and what the recipe's limits say of it."""
    wanted = config.evaluate.safety
    if wanted is None:
        return None, ()

    def ask(model: Model, prompts: Sequence[Encoded], how: AnswerSettings) -> Known:
        return run_model(model, prompts, how, base, out, out.parent / CACHE)[1]

    agreement = list(safety_answers.self_agreement(wanted, data, settings, config.serve.temperature, compared, ask))
    found = safety_answers.findings(wanted, data, settings, ran, agreement)
    packaged = [model.name for model in compared if model.packaged]
    whole = next((name for name in (TUNED, BASE) if name in ran), "")
    return found, tuple(safety.checks(wanted, found, packaged, whole))


def _on_the_page(
    found: SafetyFindings | None, wanted: Safety | None, knowledge: Knowledge | None
) -> SafetyFindings | None:
    """The same with what the clinic's page shows, where there is approved material."""
    if found is None or wanted is None or knowledge is None:
        return found
    progress.note(f"{len(found.results)} safety questions are searched in the approved material, as the page does")
    page = safety_page.page_results(wanted, knowledge.folder, cache_folder("knowledge"))
    return found.model_copy(update={"page": page})


def summary(evaluation: Evaluation) -> str:
    """One line: held-out loss of every model."""
    parts = [
        f"{r.model} {m.value:.3f}"
        for r in evaluation.results
        if r.set == HELDOUT and (m := r.measure("loss")) is not None
    ]
    return "held-out loss " + ", ".join(parts) if parts else f"{len(evaluation.models)} models"


def unreachable(config: Evaluating) -> list[LeftOut]:
    """What the recipe asks for that cannot be measured on this machine, told before anything runs."""
    wanted = config.evaluate
    left = [*bertscore.unreachable(wanted), *judge.unreachable(wanted.judge)]
    return [*left, *benchmarks.unreachable(wanted.benchmarks), *unreachable_sets(wanted, config.data)]


def fingerprint(config: Evaluating) -> list[object]:
    """What the result depends on besides the recipe and the artifacts: the sets' rows, and what is left out."""
    sets = [items.fingerprint(items.config_of(v, config.data)) for v in config.evaluate.sets.values()]
    asked = safety.fingerprint(config.evaluate.safety) if config.evaluate.safety else ""
    measured_with = [benchmarks.fingerprint(config.evaluate.benchmarks), bertscore.fingerprint(config.evaluate)]
    return [sets, [one.what for one in unreachable(config)], asked, measured_with]
