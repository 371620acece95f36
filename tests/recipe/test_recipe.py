"""Recipes: every shipped one is valid; every mistake is reported at once with the nearest name."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from packager.errors import InputError
from packager.recipe import loading
from packager.recipe.fields import fields, markdown
from packager.recipe.loading import ROOT, shipped

MINIMAL = "name: a\nbase: {model: m}\ndata: {source: s}\n"


def write(folder: Path, text: str) -> str:
    path = folder / "r.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("path", shipped(), ids=lambda p: p.stem)
def test_shipped_recipes_are_valid_and_open_with_their_command(path: Path) -> None:
    loaded = loading.load(str(path))
    assert loaded.name == path.stem
    assert path.read_text(encoding="utf-8").startswith(f"# make recipe={loaded.name}\n")
    assert loaded.description


def test_defaults_and_overrides(tmp_path: Path) -> None:
    path = write(tmp_path, MINIMAL + "train: {learning_rate: 2e-4}\n")
    loaded = loading.load(path, ["train.epochs=3", "quantize.types=[Q8_0]", "serve.temperature=0"])
    assert loaded.train.learning_rate == 2e-4  # a string to PyYAML
    assert loaded.train.epochs == 3
    assert loaded.quantize.types == ("Q8_0",)
    assert loaded.overrides == {"train.epochs": 3, "quantize.types": ["Q8_0"], "serve.temperature": 0}


def test_all_problems_at_once_with_the_nearest_name(tmp_path: Path) -> None:
    path = write(tmp_path, MINIMAL + "train: {lora: {rnk: 8}, epochs: many}\nserv: {}\n")
    with pytest.raises(InputError) as caught:
        loading.load(path, ["train.learning_rate=-1", "nonsense"])
    text = caught.value.message
    assert "train.lora.rnk: unknown field (did you mean 'rank'?)" in text
    assert "serv: unknown field (did you mean 'serve'?)" in text
    assert "train.epochs: " in text
    assert "'many'" in text
    assert "train.learning_rate: " in text
    assert "'nonsense' is not of the form" in text
    assert text.startswith("5 problems in ")


@pytest.mark.parametrize(
    ("text", "overrides", "new"),
    [
        ("data: {source: a.jsonl, evaluation: {fraction: 0.2}}", [], "data.evaluation is called data.split now"),
        ("data: {source: a.jsonl}", ["data.evaluation.seed=7"], "data.evaluation is called data.split now"),
        ("data: {source: 'hf:a/b', split: test}", [], "is data.hub_split now"),
    ],
)
def test_a_field_that_was_renamed_gets_one_sentence(tmp_path: Path, text: str, overrides: list[str], new: str) -> None:
    """Beside the other problems, of which the old name makes none."""
    with pytest.raises(InputError) as caught:
        loading.load(write(tmp_path, f"name: a\nbase: {{model: b}}\n{text}\nserv: {{}}\n"), overrides)
    head, *problems = caught.value.message.split("\n")
    assert head.startswith("2 problems in ")
    assert new in problems[0]
    assert "serv: unknown field" in problems[1]
    assert caught.value.exit_code == 2


def test_what_stands_under_an_old_name_is_read_too(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"data.split.fraction: [\s\S]*0.9") as caught:
        loading.load(write(tmp_path, "name: a\nbase: {model: b}\ndata: {source: a, evaluation: {fraction: 0.9}}\n"))
    assert caught.value.message.startswith("2 problems in ")


def test_missing_fields_and_keys_given_twice(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"base: required[\s\S]*data: required"):
        loading.load(write(tmp_path, "name: a\n"))
    with pytest.raises(InputError, match="given twice: name"):
        loading.load(write(tmp_path, MINIMAL + "name: b\n"))
    with pytest.raises(InputError, match="not valid YAML"):
        loading.load(write(tmp_path, "name: [\n"))


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["train.lora.loftq=true", "train.method=lora"], "does not go with method: lora"),
        (["evaluate.bertscore.encoder=hf:a/b"], "nothing uses: add bertscore to evaluate.metrics"),
    ],
)
def test_fields_that_contradict_each_other(tmp_path: Path, overrides: list[str], says: str) -> None:
    with pytest.raises(InputError, match=says):
        loading.load(write(tmp_path, MINIMAL), overrides)


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(InputError, match="No recipe is called 'smollm2_asp'") as caught:
        loading.load("smollm2_asp")
    assert "did you mean 'smollm2_aps'?" in caught.value.fix


def test_every_field_is_documented() -> None:
    assert not [field.path for field in fields() if not field.meaning]
    assert "train.lora.rank" in {field.path for field in fields()}


def test_the_reference_is_the_code() -> None:
    """docs/recipe.md is written by `packager recipes --markdown`."""
    assert (ROOT / "docs" / "recipe.md").read_text(encoding="utf-8") == markdown()


@pytest.mark.parametrize(
    "text", ["no", "Plan 1", "a, b", "fonte: x", "2026-01-01", "12", "{x}", "é", "~", "-", "a #b", "'"]
)
def test_a_name_that_an_error_suggests_is_read_as_that_name(text: str) -> None:
    assert yaml.safe_load(f"data: {{sheet: {loading.in_yaml(text)}, x: 1}}") == {"data": {"sheet": text, "x": 1}}
