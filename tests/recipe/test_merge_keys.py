"""A part of a recipe merged into another; paths of the command line taken letter by letter; recipes that are none."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from packager.__main__ import main
from packager.cli.options import load
from packager.errors import InputError
from packager.recipe import loading

HEAD = "name: r\nbase: {model: b}\n"


def written(folder: Path, text: str) -> str:
    path = folder / "r.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_merged_part_holds_where_nothing_else_is_said(tmp_path: Path) -> None:
    recipe = written(
        tmp_path,
        "x-common: &common {epochs: 3, learning_rate: 0.001}\n"
        + HEAD
        + "data: {source: a.jsonl}\ntrain: {<<: *common, epochs: 5}\n",
    )
    train = loading.load(recipe).train
    assert (train.epochs, train.learning_rate) == (5, 0.001)


def test_several_parts_and_an_override_that_touches_one(tmp_path: Path) -> None:
    recipe = written(
        tmp_path,
        "x-a: &a {rank: 8}\nx-b: &b {alpha: 9}\n"
        + HEAD
        + "data: {source: a.jsonl, split: &s {fraction: 0.2}}\n"
        + "train: {lora: {<<: [*a, *b]}}\nevaluate: {sets: {x: {source: y.jsonl}}}\n",
    )
    made = loading.load(recipe, ["train.lora.rank=4"])
    assert (made.train.lora.rank, made.train.lora.alpha) == (4, 9)
    assert loading.load(recipe).train.lora.rank == 8


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("data: {source: a}\ndata: {source: b}\n", "given twice: data"),
        ("x-a: &a {epochs: 1}\ntrain:\n  <<: *a\n  <<: *a\ndata: {source: a}\n", "given twice: <<"),
        ("data: {source: a}\ntrain: {<<: 5}\n", "not valid YAML"),
        ("data: {source: a}\ntrain: {<<: *nobody}\n", "not valid YAML"),
        (
            "data: {source: 2026-13-45}\n",
            "column 16: '2026-13-45' cannot be read (month must be in 1..12); text",
        ),
        ("data: {source: " + "[" * 5000 + "}\n", "r.yaml"),
        ("data: {source: a}\ncommon: {epochs: 1}\n", "common: unknown field"),
        ("- a\n- b\n", "holds no fields"),
        ("", "holds no fields"),
        ("data: !!python/object:os.system {}\n", "not valid YAML"),
        ("data: {source: a, max_tokens: " + "9" * 5000 + "}\n", "r.yaml"),
        ("data: &d {source: a, fields: *d}\n", "r.yaml"),
        ("data:\n\tsource: a\n", "line 4, column 1: a tab, where YAML wants spaces.\n  -> write spaces instead of it"),
        ("data: {source: a\ntrain: {\n", "not valid YAML: line "),
        ("data: {source: a, sourc: b}\n", "1 problem in r.yaml:"),
        ("data: {source: a, sourc: b}\n", "-> packager recipes --fields lists the fields"),
    ],
)
def test_a_recipe_that_is_none_is_said(tmp_path: Path, text: str, words: str) -> None:
    head = "" if text in ("", "- a\n- b\n") else HEAD
    with pytest.raises(InputError) as caught:
        loading.load(written(tmp_path, head + text))
    assert words in caught.value.format_message()


def test_a_recipe_in_another_encoding_or_that_is_a_folder_is_said(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_bytes((HEAD + "data: {source: 'saúde.csv'}\n").encode("cp1252"))
    with pytest.raises(InputError, match=r"r.yaml is not UTF-8 text") as caught:
        loading.load(str(path))
    assert "save it as UTF-8" in caught.value.fix
    with pytest.raises(InputError, match="is a folder, not a recipe"):
        loading.load(str(tmp_path))


NAMES = [
    "lote.jsonl #revisado.jsonl",
    "a: b.jsonl",
    "ação e saúde.jsonl",
    "[x], {y}.jsonl",
    "null",
    "2026-01-01",
    "a=b.c=d",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_path_is_taken_as_it_is(tmp_path: Path, name: str) -> None:
    recipe = written(tmp_path, HEAD + "data: {source: a.jsonl}\n")
    loaded = load(recipe, f"/modelos/{name}", name, ())
    assert (loaded.data.source, loaded.base.model) == (name, f"/modelos/{name}")
    assert loaded.overrides["data.source"] == name


@pytest.mark.parametrize("given", ["x" * 300, "a\x00b", "~nobody-here/a"])
@pytest.mark.parametrize("flag", ["--data", "--base"])
def test_a_path_that_is_none_is_a_sentence(tmp_path: Path, flag: str, given: str) -> None:
    recipe = written(tmp_path, HEAD + "data: {source: a.jsonl}\n")
    for command in ("check", "plan", "preview"):
        done = CliRunner().invoke(main, [command, recipe, flag, given])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        if command != "plan" or done.exit_code:  # a plan may be made for a base that is not there yet
            assert done.exit_code in (2, 4), done.output
            assert "->" in done.output


@pytest.mark.parametrize("name", ["x" * 300, "a\x00b", "nada", "x" * 300 + ".yaml", "/etc/shadow/x.yaml", ".", "/"])
def test_a_recipe_name_that_is_none_is_a_sentence(name: str) -> None:
    done = CliRunner().invoke(main, ["check", name])
    assert done.exit_code == 2, done.output
    assert isinstance(done.exception, SystemExit), done.exception


def test_write_into_a_missing_folder_or_onto_one(tmp_path: Path) -> None:
    rows = tmp_path / "a.jsonl"
    rows.write_text('{"pergunta": "O que é?", "resposta": "É."}\n', encoding="utf-8")
    for flag in ("--write", "--html"):
        for out in (tmp_path / "no" / "x.jsonl", tmp_path):
            done = CliRunner().invoke(main, ["audit", str(rows), flag, str(out)])
            assert done.exit_code == 2, done.output
            assert "->" in done.output
