"""--data on a recipe with approved material: the material is the recipe's own rows, and goes with them."""

from __future__ import annotations

import pytest

from packager.cli.options import load


def test_other_data_come_without_the_recipes_material(capsys: pytest.CaptureFixture[str]) -> None:
    recipe = load("smollm2_aps", None, "minhas.jsonl", ())
    assert (recipe.knowledge, recipe.data.fields.source, recipe.data.source) == (None, None, "minhas.jsonl")
    assert "knowledge.rows=true" in capsys.readouterr().err  # and it is said
    assert recipe.overrides == {"data.source": "minhas.jsonl", "data.fields.source": None, "knowledge": None}


def test_other_data_may_have_material_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    recipe = load("smollm2_aps", None, "minhas.jsonl", ("data.fields.source=fonte knowledge.rows=true",))
    assert recipe.knowledge is not None
    assert (recipe.knowledge.questions, recipe.data.fields.source) == (None, "fonte")
    assert capsys.readouterr().err == ""


def test_a_recipe_without_material_is_as_before() -> None:
    assert load("phi3_aps", None, "minhas.jsonl", ()).overrides == {"data.source": "minhas.jsonl"}
