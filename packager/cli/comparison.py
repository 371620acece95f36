"""Finished evaluations as text: what `packager evaluate` prints, and `packager compare`'s table.

Run folders -> rows and tables. Fails with `InputError` where a recipe was not evaluated yet.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from packager.artifacts.commit import RECORD
from packager.artifacts.evaluation import BASE, METRICS, TUNED, Evaluation, Measure, answered_rows
from packager.artifacts.files import key_of
from packager.errors import InputError

SHOWN = ("loss", "perplexity", "token_accuracy", "bits_per_byte", "rouge1.f1", "rougeL.f1", "token_f1.f1",
         "exact", "bertscore.f1")  # fmt: skip
QUALITY = ("loss", "rouge1.f1", "rougeL.f1", "bertscore.f1", "token_f1.f1")


def finished_evaluation(folder: Path) -> Evaluation:
    """The evaluation of a run folder; raises `InputError` if it has none."""
    record = _record(folder / "evaluation")
    if record is None:
        raise InputError(
            f"{folder.name} was not evaluated yet.", f"packager evaluate {folder.name} --build-dir {folder.parent}"
        )
    try:
        return Evaluation.model_validate(record["artifact"] | {"folder": folder / "evaluation"})
    except ValidationError:
        raise InputError(
            f"The evaluation of {folder.name} is of another version of packager.",
            f"packager evaluate {folder.name} --build-dir {folder.parent}",
        ) from None


def render_evaluation(found: Evaluation) -> str:
    """What was measured, a table a set; then probes, benchmarks, the judge, and what was left out."""
    parts = []
    for name, rows in found.sets.items():
        of_set = [r for r in found.results if r.set == name]
        known = [m for m in SHOWN if any(r.measure(m) for r in of_set)]
        lines = [[f"{name} ({rows} rows)", *known]]
        lines += [[r.model, *(_figure(r.measure(m)) for m in known)] for r in of_set]
        parts.append(_columns(lines))
    gaps = [
        d for d in found.differences if d.measure in ("loss", "rougeL.f1") and {d.model, d.against} == {TUNED, BASE}
    ]
    parts += [
        f"{d.set}: {d.measure} of {d.model} minus {d.against}: {d.value:+.3f} (95 %: {d.low:+.3f} to {d.high:+.3f})"
        for d in gaps
    ]
    for probe in found.probes:
        verdicts = ", ".join(f"{a.model} {'✓' if a.passed else '✗'}" for a in probe.answers)
        parts.append(f"probe: {probe.ask}\n  {verdicts}")
    if found.safety:
        counts = [(m.name, *found.safety.passed(m.name)) for m in found.models]
        if found.safety.page:
            counts.append(("the clinic's page", *found.safety.page_passed(found.safety.kinds)))
        parts.append("safety questions passed: " + ", ".join(f"{name} {n} of {asked}" for name, n, asked in counts))
    for b in found.benchmarks:
        error = f" ± {b.stderr:.2%}" if b.stderr is not None else ""
        parts.append(f"{b.benchmark}: {b.model} {b.value:.2%}{error} ({b.metric}, {b.n} questions, {b.source})")
    if found.judgement:
        parts += [
            f"judge: {s.model} {s.criterion} {s.mean:.2f} ({s.low:.2f} to {s.high:.2f}), 1/2/3: "
            + "/".join(str(s.counts[score]) for score in (1, 2, 3))
            for s in found.judgement.scores
        ]
    parts += [f"left out: {one.what}: {one.why}; to have it, {one.fix}" for one in found.left_out]
    parts.append(f"Measured in {found.seconds:.0f} s; intervals are of {found.resamples} resamples. All of it: "
                 f"{found.folder / METRICS}")  # fmt: skip
    return "\n".join(parts)


def compared(folders: Sequence[Path], name: str) -> list[dict[str, Any]]:
    """A row per evaluated run folder: its tuned model (the base, if it trained none) on the set `name`."""
    rows, seen = [], set()
    for folder in folders:
        found, training = finished_evaluation(folder), _record(folder / "adapter")
        model = next((m for m in (TUNED, BASE) if found.result(m, name)), found.models[0].name)
        result = found.result(model, name)
        if result is None:
            raise InputError(f"{folder.name} has no validation set '{name}'.", f"use {', '.join(found.sets)}")
        shipped = next(m for m in found.models if m.name == _default(folder))
        trained = training["artifact"] if training and model == TUNED else {}
        spent = training if training and model == TUNED else {}
        rows.append(
            {
                "recipe": folder.name,
                "model": model,
                "rows": result.rows,
                **{m: found_m.value for m in QUALITY if (found_m := result.measure(m))},
                "trainable_parameters": trained.get("trainable_parameters", 0),
                "training_seconds": spent.get("seconds", 0.0),
                "training_peak_ram_bytes": spent.get("peak_ram_bytes", 0),
                "packaged": shipped.name,
                "packaged_bytes": shipped.size,
                "packaged_tokens_per_second": shipped.tokens_per_second,
            }
        )
        seen.add(_rows_of(found, name))
    for row in rows:
        row["same_rows"] = len(seen) == 1
    return rows


def comparison_table(rows: Sequence[Mapping[str, Any]]) -> str:
    known = [m for m in QUALITY if any(m in row for row in rows)]
    lines = [["recipe", "model", *known, "trainable", "training", "memory", "packaged", "size", "tokens/s"]]
    for row in rows:
        lines.append(
            [
                row["recipe"],
                row["model"],
                *(f"{row[m]:.4f}" if m in row else "-" for m in known),
                f"{row['trainable_parameters']:,}",
                f"{row['training_seconds']:,.0f} s",
                f"{row['training_peak_ram_bytes'] / 1e6:,.0f} MB",
                row["packaged"],
                f"{row['packaged_bytes'] / 1e6:,.0f} MB",
                f"{row['packaged_tokens_per_second']:.0f}",
            ]
        )
    if rows and not rows[0]["same_rows"]:
        return _columns(lines) + "\nThe rows are not the same: these figures cannot be compared."
    return _columns(lines)


def _rows_of(found: Evaluation, name: str) -> str:
    """What was asked of a set, and what was wanted, by its hash."""
    return key_of([(row.question, row.reference) for row in answered_rows(found.folder) if row.set == name])


def _default(folder: Path) -> str:
    """The type of the package's default file; raises `InputError` if the run folder has no package."""
    try:
        manifest = json.loads((folder / "package" / "manifest.json").read_text(encoding="utf-8"))
    except OSError:
        raise InputError(f"{folder.name} has no package.", f"packager build {folder.name}") from None
    return str(next(file["type"] for file in manifest["files"] if file["default"]))


def _record(stage: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads((stage / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found


def _figure(measure: Measure | None) -> str:
    if measure is None:
        return "-"
    if measure.low is None or measure.high is None:
        return f"{measure.value:.3f}"
    return f"{measure.value:.3f} ({measure.low:.3f}-{measure.high:.3f})"


def _columns(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines)
