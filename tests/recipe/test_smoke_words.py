"""The shipped recipes' expected words can fail: most answers of the same data, about something else, have none."""

from __future__ import annotations

import json

import pytest

from packager.data.letters import occurs
from packager.recipe import loading
from packager.recipe.loading import ROOT

FEW = 0.15
"""Share of a data set's answers that may hold a word which is expected of one question: some are about it."""


@pytest.mark.parametrize("name", ["smollm2_aps", "phi3_aps"])
def test_answers_about_something_else_have_none_of_the_words(name: str) -> None:
    recipe = loading.load(name)
    lines = (ROOT / recipe.data.source).read_text(encoding="utf-8").splitlines()
    answers = [json.loads(line)["answer"] for line in lines]
    asked = [question for question in recipe.smoke if question.expect_any]
    assert asked
    for question in asked:
        hit = sum(any(occurs(word, answer) for word in question.expect_any) for answer in answers)
        assert hit, f"{question.ask}: no answer of the data would do"
        assert hit / len(answers) < FEW, f"{question.ask}: {hit} of {len(answers)} answers would do"
