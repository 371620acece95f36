"""A failed check is said with its likely cause and what to try, in the reader's language alone."""

from __future__ import annotations

import pytest

from packager.artifacts.checks import Check
from packager.report import causes
from packager.report.words import CHECKS, ENGLISH, PORTUGUESE

FIGURES = (
    "quantize.bits", "data.left_out", "data.identifiers", "train.final_loss", "merge.largest_weight",
    "knowledge.identifiers", "knowledge.language", "knowledge.passages", "knowledge.kept", "knowledge.mode",
    "knowledge.duplicates", "knowledge.contradictions", "smoke.prompt_speed",
)  # fmt: skip
"""What is recorded, and cannot fail."""


def check(name: str) -> Check:
    return Check(
        id=name, stage="proof", subject="Q4_K_M", measured=1.0, threshold=0.0, unit="answers", passed=False, says="…"
    )


@pytest.mark.parametrize("name", [name for name in CHECKS if name not in FIGURES])
def test_every_check_that_can_fail_has_a_cause(name: str) -> None:
    portuguese, english = causes.cause_of(check(name))
    assert portuguese
    assert english
    assert portuguese != english


def test_one_is_not_many() -> None:
    steps = (("passo", "passos"), ("step", "steps"))
    assert PORTUGUESE.counted(1, *steps) == "1 passo"
    assert ENGLISH.counted(1200, *steps) == "1,200 steps"
