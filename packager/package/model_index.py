"""What was measured -> the model card's evaluation results: the metadata that the Hub reads (`model-index`,
huggingface.co/docs/hub/model-cards#evaluation-results), and a table.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from packager.artifacts.evaluation import BASE, HELDOUT, TUNED, Evaluation
from packager.artifacts.kinds import Adapter, Dataset, GgufFile

Metric = tuple[str, str, float]
"""The Hub's name of the metric, ours with its unit, the value."""


def results(
    source: str, data: Dataset, adapter: Adapter | None, files: Sequence[GgufFile], evaluation: Evaluation | None
) -> list[dict[str, Any]]:
    """One result a data set: losses on held-out questions of `files` (the package's, its default first; empty for
    the adapter and the merged weights), and what an evaluation found of the default."""
    name = source.removeprefix("hf:") if source.startswith("hf:") else PurePath(source).name
    unit = "nats per token"
    found: list[Metric] = [
        ("loss", f"Held-out loss of {f.type}, {unit}", f.divergence.loss)
        for f in files
        if f.divergence and not f.divergence.of_corpus
    ]
    if adapter and not any(f.divergence for f in files):
        found = [("loss", f"Held-out loss of the adapter, {unit}", adapter.heldout_loss_after)]
    default = files[0].type if files else ""
    if evaluation and files:
        found += _measured(evaluation, HELDOUT, default)
    made = [_result(name, f"{name}, {data.heldout_rows} held-out questions", found, "held-out")] if found else []
    if evaluation is None or not files:
        return made
    for other, rows in evaluation.sets.items():
        if other != HELDOUT and (measured := _measured(evaluation, other, default)):
            made.append(_result(other, f"{other}, {rows} questions", measured))
    for one in evaluation.benchmarks:
        if one.model == (TUNED if adapter else BASE):  # they are run before quantization
            named = f"{one.metric} of the model in FP16, {one.n} questions"
            made.append(_result(one.benchmark, one.benchmark, [("accuracy", named, one.value)]))
    return made


def table(evaluation: Evaluation) -> list[str]:
    """The measures on held-out questions in Markdown, a column a model."""
    found = [evaluation.result(model.name) for model in evaluation.models]
    units = {m.name: m.unit for r in found if r for m in r.measures}
    rows = []
    for name, unit in units.items():
        values = [r.measure(name) if r else None for r in found]
        rows.append(f"| {name} | {' | '.join(f'{m.value:.4g}' if m else '–' for m in values)} | {unit} |")
    return [
        "## Evaluation",
        "",
        f"On the same {evaluation.sets.get(HELDOUT, 0)} held-out questions; intervals and other sets are in"
        " `report.html`.",
        "",
        f"| | {' | '.join(model.name for model in evaluation.models)} | unit |",
        f"|---|{'---|' * len(evaluation.models)}---|",
        *rows,
        "",
    ]


def _measured(evaluation: Evaluation, name: str, file: str) -> list[Metric]:
    """A file's measures on a validation set. The loss stands there already, of every file."""
    result = evaluation.result(file, name)
    return [
        (m.name.partition(".")[0].lower(), f"{m.name} of {file}, {m.unit}", m.value)
        for m in (result.measures if result else ())
        if m.name != "loss" or name != HELDOUT
    ]


def _result(kind: str, name: str, metrics: Sequence[Metric], split: str = "") -> dict[str, Any]:
    return {
        "task": {"type": "text-generation"},
        "dataset": {"type": kind, "name": name} | ({"split": split} if split else {}),
        "metrics": [{"type": kind, "name": says, "value": round(value, 4)} for kind, says, value in metrics],
    }
