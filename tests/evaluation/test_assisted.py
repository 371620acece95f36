"""Answers from passages: what is struck, and what the passages gain; a few questions tell nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from packager.errors import MissingResource
from packager.evaluation.assisted import measured
from packager.knowledge.embedding_model import embedding_model
from packager.knowledge.lessons import Case

TEXT = "Use 2 gotas de hipoclorito para cada litro de água."
CASE = Case("quantas gotas", "Material aprovado: …", (TEXT,), TEXT)


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    if not shutil.which("gcc"):
        pytest.skip("gcc is not installed")
    try:
        embedding_model()
    except MissingResource as error:
        pytest.skip(error.message)
    return tmp_path


def test_what_is_struck_and_what_the_passages_gain(programs: Path) -> None:
    answers = [(TEXT, "Não sei."), ("Use 20 gotas para cada litro.", "Beba água.")] * 6
    found = measured("Q8_0", [CASE] * 12, answers, programs)
    assert (found.asked, found.grounded, found.sentences_struck) == (12, 0.5, 6)
    assert found.f1_with > found.f1_without
    assert found.gain_low <= found.gain <= found.gain_high
    assert found.gain_low > 0
    few = measured("Q8_0", [CASE] * 2, answers[:2], programs)
    assert (few.gain_low, few.gain_high) == (-1.0, 1.0)
