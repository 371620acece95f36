"""The dossier's figures on the model: how it compares with the base, and how much of the data the training saw."""

from __future__ import annotations

from packager.artifacts.evaluation import BASE, HELDOUT
from packager.report.answers import sign
from packager.report.facts import ReportFacts
from packager.report.rounding import half_up
from packager.report.words import PORTUGUESE as SAY

COMPARED = {
    "loss": "perda (menor é melhor)",
    "rouge1.f1": "palavras em comum com a resposta certa (mais é melhor)",
}
"""Measures of the evaluation that can be said without jargon."""


def against_the_base(facts: ReportFacts) -> str:
    """The default file's figures beside the base's, on the held-out rows; '' where they were not compared."""
    evaluation, default = facts.evaluation, facts.files[0].type
    if evaluation is None:
        return ""
    values = {
        (result.model, measure.name): measure
        for result in evaluation.results
        if result.set == HELDOUT
        for measure in result.measures
    }
    said = []
    for one in evaluation.differences:
        ours, theirs = values.get((default, one.measure)), values.get((BASE, one.measure))
        if (one.model, one.against, one.set) != (default, BASE, HELDOUT) or one.measure not in COMPARED:
            continue
        if ours is None or theirs is None:
            continue
        figures = [SAY.share(m.value, 1) if m.unit == "share" else SAY.number(m.value, 2) for m in (ours, theirs)]
        verdict = {1: "melhor", -1: "pior", 0: "não se distingue"}[sign(one)]
        said.append(f"{COMPARED[one.measure]}: {figures[0]}, contra {figures[1]} no base ({verdict})")
    if not said:
        return ""
    rows = next((r.rows for r in evaluation.results if r.set == HELDOUT), 0)
    failed = sum(not a.passed for p in evaluation.probes for a in p.answers if a.model == default)
    probes = f" Errou {failed} de {len(evaluation.probes)} perguntas de conteúdo." if evaluation.probes else ""
    return f" Em {rows} perguntas, {default}: {'; '.join(said)}.{probes}"


def seen(facts: ReportFacts) -> str:
    """How many of the training's rows the training saw: `cerca de 318 de 397 (0,8 vez cada uma, em média)`."""
    rows, epochs = facts.data.train_rows, facts.recipe.train.epochs
    if epochs < 1:
        return f"o treino viu cerca de {half_up(rows * epochs)} delas"
    return f"o treino viu cada uma {SAY.short(epochs)} {'vez' if epochs == 1 else 'vezes'}"
