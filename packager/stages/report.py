"""Every artifact of the line -> `report.html` for people, `metrics.json` for programs, and the dossier for those who
have to allow its use (`dossie.html`, `dossie.pdf`).

Made of a failed proof too, so that a builder sees what failed; the build stops after it.
"""

from __future__ import annotations

from pathlib import Path

from packager.artifacts.evaluation import Evaluation
from packager.artifacts.files import write_atomically, write_json
from packager.artifacts.kinds import Adapter, Checkpoint, Dataset, Ggufs, Merged, Proof, Report
from packager.artifacts.knowledge import Knowledge
from packager.recipe.recipe import Recipe
from packager.report.dossier import write_dossier
from packager.report.facts import gather_facts
from packager.report.metrics import metrics
from packager.report.page import render_page
from packager.report.verdict import verdict_of
from packager.report.words import ENGLISH

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
    knowledge: Knowledge | None,
    out: Path,
) -> Report:
    """Write the page, its figures and the dossier into `out`."""
    facts = gather_facts(recipe, base, data, adapter, merged, ggufs, proof, evaluation)
    write_atomically(out / PAGE, render_page(facts))
    write_json(out / METRICS, metrics(facts))
    write_dossier(facts, knowledge, out)
    verdict = verdict_of(facts, ENGLISH)
    return Report(
        folder=out,
        checks=tuple(c for c in facts.proof.checks if not c.passed),
        size=(out / PAGE).stat().st_size,
        unproven=verdict.unproven,
        probes_failed=tuple(probe.ask for probe, _ in verdict.probes),
    )
