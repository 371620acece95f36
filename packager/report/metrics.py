"""Facts -> `metrics.json`: what the page shows, as plain values for programs."""

from __future__ import annotations

from typing import Any

from packager import __version__
from packager.artifacts.kinds import Artifact
from packager.report.facts import ReportFacts
from packager.report.verdict import verdict_of
from packager.report.words import ENGLISH

VERSION = 1
"""Of the form of this file."""


def metrics(facts: ReportFacts) -> dict[str, Any]:
    """No row of the data is in it; the smoke test's questions are the recipe's own."""
    fits = {c.type: c for c in facts.choice.candidates}
    passed, verdict = facts.proof.passed, verdict_of(facts, ENGLISH)
    return {
        "version": VERSION,
        "packager": __version__,
        "name": facts.recipe.name,
        "language": facts.recipe.language,
        "passed": passed,
        "verdict": {
            "state": verdict.state,
            "proven": list(verdict.proven),
            "not_proven": list(verdict.unproven),
            "probes_failed": [probe.ask for probe, _ in verdict.probes],
        },
        "failed": [c.id for c in facts.proof.failed],
        "waived": [c.name for c in facts.proof.checks if c.waived],
        "base": facts.base.model_dump(mode="json", include={"source", "revision", "parameters", "licence"}),
        "data": facts.data.model_dump(
            mode="json", include={"train_rows", "heldout_rows", "train_tokens", "heldout_tokens", "data_sha256"}
        )
        | {"lengths": facts.audit.tokens.model_dump(mode="json") if facts.audit.tokens else None},
        "training": _training(facts),
        "files": [
            {
                "name": facts.packed_name(f),
                "type": f.type,
                "default": number == 0,
                "size": f.size,
                "bits_per_weight": f.bits_per_weight,
                "divergence_from_f16": f.divergence.model_dump(mode="json") if f.divergence else None,
                "ram_gb": fits[f.type].ram_gb if f.type in fits else None,
                "tokens_per_second": fits[f.type].tokens_per_second if f.type in fits else None,
                "lacks": [str(lack) for lack in fits[f.type].lacks] if f.type in fits else [f.fault],
            }
            for number, f in enumerate(facts.files)
        ],
        "checks": [c.model_dump(mode="json") for c in facts.proof.checks],
        "figures": [f.model_dump(mode="json") for f in facts.proof.figures],
        "answers": [a.model_dump(mode="json") for a in facts.proof.answers],
        "evaluation": _facts(facts.evaluation) if facts.evaluation else None,
    }


def _training(facts: ReportFacts) -> dict[str, Any] | None:
    if facts.adapter is None:
        return None
    course = [{name: value for name, value in vars(step).items() if value is not None} for step in facts.course]
    return _facts(facts.adapter) | {
        "unit": "nats/token",
        "course": course,
    }


def _facts(artifact: Artifact) -> dict[str, Any]:
    return artifact.model_dump(mode="json", exclude={"folder", "content"})
