"""Every artifact of the line -> `report.html` for people and `metrics.json` for programs.

Made of a failed proof too, so that a builder sees what failed; the build stops after it.
"""

from __future__ import annotations

from pathlib import Path

from packager import report as writing
from packager.artifacts import (
    Adapter,
    Checkpoint,
    Dataset,
    Evaluation,
    Ggufs,
    Merged,
    Proof,
    Report,
    write_atomically,
    write_json,
)
from packager.recipe import Recipe

PAGE, METRICS = "report.html", "metrics.json"


def report(
    recipe: Recipe,
    base: Checkpoint,
    data: Dataset,
    adapter: Adapter | None,
    merged: Merged,
    ggufs: Ggufs,
    proof: Proof,
    evaluation: Evaluation | None,
    out: Path,
) -> Report:
    """Write the page and its figures into `out`."""
    facts = writing.gather(recipe, base, data, adapter, merged, ggufs, proof, evaluation)
    write_atomically(out / PAGE, writing.page(facts))
    write_json(out / METRICS, writing.metrics(facts))
    return Report(folder=out, checks=proof.failed, size=(out / PAGE).stat().st_size)
