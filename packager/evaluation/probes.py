"""The recipe's probes and every model's answers -> which wanted and unwanted words occur."""

from __future__ import annotations

from collections.abc import Mapping

from packager.artifacts.evaluation import ProbeAnswer, ProbeResult
from packager.data.letters import occurs
from packager.recipe.evaluation import Probe


def judge(probe: Probe, answers: Mapping[str, str]) -> ProbeResult:
    """The probe with every model's answer (name -> text)."""
    return ProbeResult(
        **probe.model_dump(), answers=tuple(_answer(probe, model, text) for model, text in answers.items())
    )


def _answer(probe: Probe, model: str, text: str) -> ProbeAnswer:
    found = {word for word in (*probe.expect_all, *probe.expect_any, *probe.reject_any) if occurs(word, text)}
    missing = [word for word in probe.expect_all if word not in found]
    if probe.expect_any and not found & set(probe.expect_any):
        missing += probe.expect_any
    forbidden = tuple(word for word in probe.reject_any if word in found)
    return ProbeAnswer(
        model=model,
        text=text,
        passed=not missing and not forbidden,
        found=tuple(dict.fromkeys(w for w in (*probe.expect_all, *probe.expect_any) if w in found)),
        missing=tuple(missing),
        forbidden=forbidden,
    )
