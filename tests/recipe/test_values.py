"""What YAML and the command line make of a value: nothing is cut off, and nothing becomes a number that is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from packager.cli.options import several
from packager.errors import InputError
from packager.recipe import loading
from packager.recipe.idle import idle_settings
from packager.recipe.recipe import Recipe

MINIMAL = "name: a\nbase: {model: m}\ndata: {source: s}\n"


def load(folder: Path, *overrides: str, text: str = MINIMAL) -> Recipe:
    path = folder / "r.yaml"
    path.write_text(text, encoding="utf-8")
    return loading.load(str(path), overrides)


def refused(folder: Path, *overrides: str, text: str = MINIMAL) -> str:
    with pytest.raises(InputError) as caught:
        load(folder, *overrides, text=text)
    return caught.value.message


@pytest.mark.parametrize(
    "said",
    ["Responda à pergunta #1 primeiro.", "#1: responda", "Uma linha.\nOutra linha.", "Sim # não", "d'água # fria"],
)
def test_a_text_on_the_command_line_is_taken_as_it_stands(tmp_path: Path, said: str) -> None:
    assert load(tmp_path, f"data.system={said}").data.system == said


def test_quotes_and_blocks_are_yamls(tmp_path: Path) -> None:
    assert load(tmp_path, "data.system='a # b'").data.system == "a # b"
    assert load(tmp_path, "data.system=|\n  a\n  b # c").data.system == "a\nb # c"
    assert load(tmp_path, "quantize.types=[Q8_0, F16]").quantize.types == ("Q8_0", "F16")
    assert load(tmp_path, "base.sha256=null").base.sha256 is None
    assert "unknown" in refused(tmp_path, "data.sistem=" + "[" * 3000)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("train.epochs=2 train.seed=3", ["train.epochs=2", "train.seed=3"]),
        ('data.system="altura e peso=altura" train.seed=3', ['data.system="altura e peso=altura"', "train.seed=3"]),
        ("data.system='um peso=2'", ["data.system='um peso=2'"]),
        ("data.system=copo d'água train.seed=3 x='a'", ["data.system=copo d'água", "train.seed=3", "x='a'"]),
    ],
)
def test_overrides_in_one_text(text: str, parts: list[str]) -> None:
    assert several(text) == parts


@pytest.mark.parametrize(
    "override",
    [
        "train.max_steps=yes", "device.min_tokens_per_second=no", "train.epochs=true", "train.max_steps=1:30",
        "train.epochs=1:30.5", "train.lora.layers=[yes]", "evaluate.safety.min_passed_of={a: yes}",
        "train.epochs=.inf", "train.epochs=1e300", "train.epochs=.nan", "train.learning_rate=inf",
        "train.seed=99999999999999999999999", "data.split.seed=99999999999999999999999",
        "evaluate.seed=9223372036854775807",
    ],
)  # fmt: skip
def test_what_is_no_number_or_no_sensible_one(tmp_path: Path, override: str) -> None:
    assert override.partition("=")[0] in refused(tmp_path, override)


def test_numbers_and_truth_that_are_right(tmp_path: Path) -> None:
    made = load(
        tmp_path, "train.learning_rate=1e-4", "train.lora.rslora=yes", "train.epochs=.5", "train.max_steps=1_000",
        "train.warmup_steps=0", "train.lora.layers=[0, 2]", "train.weight_decay=1.5e-3",
    )  # fmt: skip
    assert (made.train.learning_rate, made.train.lora.rslora, made.train.epochs) == (1e-4, True, 0.5)
    assert (made.train.max_steps, made.train.lora.layers, made.train.weight_decay) == (1000, (0, 2), 0.0015)
    assert "max_steps" in refused(tmp_path, text=MINIMAL + "train: {max_steps: on}\n")
    assert load(tmp_path, text=MINIMAL + "description: 12:30:45\n").description == "12:30:45"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ("{question: texto, answer: Texto}", "question and answer are the same column"),
        ("{question: p, answer: r, topic: r}", "topic and answer are the same column"),
        ("{system: question}", "system and question are the same column"),
        ("{source: answer}", "source and answer are the same column"),
    ],
)
def test_one_column_for_two_things(tmp_path: Path, fields: str, words: str) -> None:
    assert words in refused(tmp_path, text=MINIMAL.replace("source: s", f"source: s, fields: {fields}"))


@pytest.mark.parametrize("section", ["smoke: [{{ask: a, {}}}]", "evaluate: {{probes: [{{ask: a, {}}}]}}"])
@pytest.mark.parametrize("words", ["expect_any: ['']", "expect_any: [febre, '*']", "reject_any: ['* *']"])
def test_words_that_say_nothing(tmp_path: Path, section: str, words: str) -> None:
    assert "says nothing to look for" in refused(tmp_path, text=MINIMAL + section.format(words) + "\n")
    assert load(tmp_path, text=MINIMAL + section.format("expect_any: ['anticoag*', '5', '```', '😊']") + "\n")


@pytest.mark.parametrize("override", ["x-shared.a=1", "overrides.a=1", "x-a=1", "overrides={}"])
def test_what_is_no_field_cannot_be_overridden(tmp_path: Path, override: str) -> None:
    assert "unknown field" in refused(tmp_path, override)


@pytest.mark.parametrize("ending", [".xlsx", ".xlsm", ".xls", ".ods"])
def test_every_spreadsheet_has_sheets(tmp_path: Path, ending: str) -> None:
    made = load(tmp_path, "data.sheet=um", f"data.source=a{ending}")
    assert not [line for line in idle_settings(made) if "data.sheet" in line]


def test_how_often_a_checkpoint_is_written_trains_nothing_anew() -> None:
    """A stage's key is made of what a section dumps."""
    seldom = loading.load("smollm2_aps", ["train.checkpoint_seconds=600"])
    assert seldom.train.checkpoint_seconds == 600
    assert seldom.train.model_dump() == loading.load("smollm2_aps").train.model_dump()
