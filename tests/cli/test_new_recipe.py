"""`packager new`: what it writes is right for the data, says what was assumed, and can be checked and built."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from packager.__main__ import main
from packager.artifacts.kinds import Checkpoint
from packager.cli import new_recipe
from packager.data.audit.beforehand import check_data
from packager.data.rows.table import read_rows
from packager.errors import InputError
from packager.evaluation.items import config_of
from packager.llamacpp.vendored import VENDOR
from packager.recipe import loading
from packager.recipe.loading import SHIPPED
from packager.recipe.sections import Quantize

QUESTIONS = ("O que é {}?", "Quem cuida de {}?", "Onde pergunto sobre {}?")
ANSWERS = (
    "A palavra {} é um tema que a equipe de saúde explica para a família.",
    "Quem cuida do tema {} é a equipe da unidade básica de saúde.",
    "Para saber mais sobre {}, procure a unidade básica mais perto da sua casa.",
)
SUBJECTS = ("vacina", "dengue", "diabetes", "tabaco", "parto", "febre")


def rows(question: str = "pergunta", answer: str = "resposta", **more: str) -> list[dict[str, str]]:
    return [
        {question: q.format(s), answer: a.format(s)} | more
        for s in SUBJECTS
        for q, a in zip(QUESTIONS, ANSWERS, strict=True)
    ]


@pytest.fixture(autouse=True)
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Recipes are written into recipes/ where the user works, here a folder with the one taken as an example."""
    folder = tmp_path / "recipes"
    folder.mkdir()
    text = (SHIPPED / f"{new_recipe.EXAMPLE}.yaml").read_text("utf-8")
    (folder / f"{new_recipe.EXAMPLE}.yaml").write_text(text, encoding="utf-8")
    monkeypatch.setattr("packager.recipe.loading.SHIPPED", folder)
    monkeypatch.chdir(tmp_path)
    return folder


def source(folder: Path, listed: list[dict[str, Any]], *extra: str) -> str:
    path = folder / "dados.jsonl"
    lines = [json.dumps(row, ensure_ascii=False) for row in listed]
    path.write_text("".join(f"{line}\n" for line in (*lines, *extra)), encoding="utf-8")
    return str(path)


def new(*words: str) -> Result:
    return CliRunner().invoke(main, ["new", *words])


def test_a_written_recipe_says_what_it_assumes_and_loads(tmp_path: Path, shipped: Path) -> None:
    given = source(tmp_path, rows(tema="APS"), '{"pergunta": "O que falta?"}', "{oops")
    result = new("meu", "--data", given, "--base", "hf:org/model")
    assert result.exit_code == 0, result.output
    for words in (
        "questions are in column 'pergunta', answers in 'resposta', topics in 'tema'",
        "missing field 'resposta' (line 19)",
        "invalid JSON",
        "the answers should be in pt-BR",
        "the base model is hf:org/model",
        "check",
    ):
        assert words in result.output
        assert words in (shipped / "meu.yaml").read_text("utf-8") or words == "check"
    made = loading.load("meu")
    assert (made.name, made.language, made.base.model) == ("meu", "pt-BR", "hf:org/model")
    assert (made.data.source, made.data.bad_rows, made.data.max_tokens) == (given, "drop", 512)
    assert (made.data.fields.question, made.data.fields.answer, made.data.fields.topic) == (
        "pergunta",
        "resposta",
        "tema",
    )
    assert [one.ask for one in made.smoke] == [made.smoke[0].ask]
    assert made.smoke[0].ask in {row["pergunta"] for row in rows()}


@pytest.mark.skipif(not VENDOR.joinpath("llama.cpp").is_dir(), reason="vendor is not fetched: make setup")
def test_a_written_recipe_passes_the_check(tmp_path: Path, spm_base: Checkpoint) -> None:
    given = source(tmp_path, rows(), "{oops")
    assert new("meu", "--data", given, "--base", str(spm_base.folder)).exit_code == 0
    checked = CliRunner().invoke(main, ["check", "meu", "--build-dir", str(tmp_path / "build")])
    assert checked.exit_code == 0, checked.output


def test_a_file_without_a_usable_row_is_an_input_error(tmp_path: Path) -> None:
    result = new("meu", "--data", source(tmp_path, [], "{oops", "{oops"), "--language", "pt-BR")
    assert result.exit_code == 2, result.output


def test_without_a_base_the_examples_settings_are_taken(tmp_path: Path) -> None:
    assert new("meu", "--data", source(tmp_path, rows())).exit_code == 0
    made, example = loading.load("meu"), loading.load(new_recipe.EXAMPLE)
    assert made.quantize == Quantize(types=example.quantize.types), "the example leaves the importance matrix out"
    assert (made.base, made.train.lora, made.train.batch, made.device) == (
        example.base,
        example.train.lora,
        example.train.batch,
        example.device,
    )
    assert made.train.epochs == 4.0, "few rows are gone through several times"
    assert 1 <= made.train.warmup_steps <= 2
    assert made.data.system is None


def test_a_column_of_sources_is_named_in_the_recipe(tmp_path: Path, shipped: Path) -> None:
    result = new("meu", "--data", source(tmp_path, rows(Fonte="Caderno de Atenção Básica 26")))
    assert result.exit_code == 0, result.output
    text = (shipped / "meu.yaml").read_text("utf-8")
    for words in ("column 'Fonte' says where an answer comes from", "data.fields.source: Fonte"):
        assert words in result.output
        assert words in text
    assert "not read" not in result.output
    made = loading.load("meu", ["data.fields.source=Fonte", "knowledge.rows=true"])
    assert {row.source for row in read_rows(made.data).rows} == {"Caderno de Atenção Básica 26"}


def test_repeated_rows_are_left_out_and_identifiers_pointed_at(tmp_path: Path) -> None:
    listed = rows() * 3 + [{"pergunta": "E o paciente João Souza?", "resposta": "Ele não tem o que dizer à equipe."}]
    result = new("meu", "--data", source(tmp_path, listed))
    assert "36 rows that only repeat another are left out" in result.output
    assert "patient identifiers (1 NOME)" in result.output
    assert "João" not in result.output
    made = loading.load("meu")
    assert made.data.deduplicate
    assert made.data.identifiers == "stop"
    assert "João" not in made.smoke[0].ask


@pytest.mark.parametrize(
    ("row", "format_"),
    [
        ({"instruction": "Explique {}.", "input": "", "output": "Isto é o que a equipe diz sobre {}."}, "alpaca"),
        ({"messages": [{"role": "user", "content": "{}?"}, {"role": "assistant", "content": "É {} da saúde."}]},
         "messages"),
    ],
)  # fmt: skip
def test_formats_are_told_apart(tmp_path: Path, row: dict[str, Any], format_: str) -> None:
    listed = [json.loads(json.dumps(row).replace("{}", subject)) for subject in SUBJECTS]
    assert new("meu", "--data", source(tmp_path, listed)).exit_code == 0
    assert loading.load("meu").data.format == format_


def test_long_rows_raise_the_limit_and_the_context(tmp_path: Path) -> None:
    listed = [row | {"resposta": row["resposta"] * 150} for row in rows()]
    assert new("meu", "--data", source(tmp_path, listed)).exit_code == 0
    made = loading.load("meu")
    assert made.data.max_tokens == made.serve.context == 8192


def test_an_encoding_and_a_language_can_be_given(tmp_path: Path) -> None:
    path = tmp_path / "excel.csv"
    body = "".join(f"{row['pergunta']};{row['resposta']}\r\n" for row in rows())
    path.write_bytes(f"pergunta;resposta\r\n{body}".encode("cp1252"))
    assert new("meu", "--data", str(path), "--encoding", "cp1252", "--language", "en").exit_code == 0
    made = loading.load("meu")
    assert (made.data.encoding, made.language) == ("cp1252", "en")
    found = new("outro", "--data", str(path))
    assert "the file is not UTF-8; it is read as cp1252" in found.output
    assert loading.load("outro").data.encoding == "cp1252"


def test_a_recipe_is_never_overwritten(tmp_path: Path, shipped: Path) -> None:
    (shipped / "meu.yaml").write_text("mine")
    result = new("meu", "--data", source(tmp_path, rows()))
    assert result.exit_code == 2
    assert "There is a recipe meu already" in result.output
    assert (shipped / "meu.yaml").read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "listed", "words"),
    [
        ("Meu Projeto", rows(), "is no name for a recipe"),
        ("../meu", rows(), "is no name for a recipe"),
        ("meu", [{"a": "x", "b": "y", "c": "z"}], "It has a, b, c"),
        ("meu", [{"id": "0", "texto": "A equipe da unidade."}], "say so: --question COLUMN --answer COLUMN"),
        ("meu", [{"pergunta": "O que é?", "pergunta_2": "E?", "texto": "A."}], "--question COLUMN --answer COLUMN"),
        ("meu", [{"q": str(i), "a": f"12 {i}"} for i in range(5)], "--language pt-BR"),
    ],
)
def test_what_does_not_tell_is_asked_for(
    tmp_path: Path, shipped: Path, name: str, listed: list[dict[str, str]], words: str
) -> None:
    result = new(name, "--data", source(tmp_path, listed))
    assert result.exit_code == 2
    assert words in result.output
    assert [path.stem for path in shipped.iterdir()] == [new_recipe.EXAMPLE]


def test_columns_can_be_named_and_a_wrong_name_is_said(tmp_path: Path) -> None:
    given = source(tmp_path, rows("a", "b", c="APS"))
    wrong = new("meu", "--data", given, "--question", "x", "--answer", "b")
    assert wrong.exit_code == 2
    assert "has no column 'x'; it has a, b, c" in wrong.output
    made = new("meu", "--data", given, "--question", "A", "--answer", "b", "--topic", "c", "--system", "Seja claro.")
    assert made.exit_code == 0, made.output
    fields = loading.load("meu").data.fields
    assert (fields.question, fields.answer, fields.topic) == ("a", "b", "c")
    assert loading.load("meu").data.system == "Seja claro."


def test_a_system_message_can_stand_in_a_column(tmp_path: Path) -> None:
    given = source(tmp_path, rows(papel="Seja claro."))
    assert new("meu", "--data", given, "--system", "papel").exit_code == 0
    made = loading.load("meu").data
    assert (made.fields.system, made.system) == ("papel", None)


def test_the_cap_on_answers_follows_the_data(tmp_path: Path) -> None:
    listed = [row | {"resposta": row["resposta"] * 14} for row in rows()]  # some 300 tokens
    assert new("meu", "--data", source(tmp_path, listed)).exit_code == 0
    made = loading.load("meu")
    assert 400 <= made.serve.max_answer_tokens <= 512, "half as much again"
    assert made.serve.context >= made.data.max_tokens
    assert new("curto", "--data", source(tmp_path, rows())).exit_code == 0
    assert loading.load("curto").serve.max_answer_tokens == new_recipe.SHORTEST_ANSWER


def test_a_smoke_question_is_a_conversations_first(tmp_path: Path) -> None:
    listed = [
        {"messages": [{"role": "user", "content": row["pergunta"]}, {"role": "assistant", "content": row["resposta"]},
                      {"role": "user", "content": "E depois?"}, {"role": "assistant", "content": row["resposta"]}]}
        for row in rows()
    ]  # fmt: skip
    assert new("meu", "--data", source(tmp_path, listed)).exit_code == 0
    assert loading.load("meu").smoke[0].ask in {row["pergunta"] for row in rows()}


def test_a_test_split_is_kept_for_validation(tmp_path: Path) -> None:
    folder = tmp_path / "dados"
    for split, listed in (("train", rows()), ("test", rows()[:4])):
        (folder / split).mkdir(parents=True)
        source(folder / split, listed)
    result = new("meu", "--data", str(folder))
    assert result.exit_code == 0, result.output
    made = loading.load("meu")
    assert made.evaluate.sets["test"].hub_split == "test"
    assert read_rows(made.data).files == ("train/dados.jsonl",)
    assert read_rows(config_of(made.evaluate.sets["test"], made.data)).files == ("test/dados.jsonl",)


def test_recipes_land_where_the_user_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = source(tmp_path, rows())
    (tmp_path / "obra").mkdir()
    monkeypatch.chdir(tmp_path / "obra")
    assert new("meu", "--data", given).exit_code == 0
    assert (tmp_path / "obra" / "meu.yaml").is_file()
    assert loading.load("meu").name == "meu"


def test_identifiers_that_new_saw_are_not_forgotten_by_the_check(tmp_path: Path) -> None:
    listed = [*rows(), {"pergunta": "E o paciente João Souza?", "resposta": "Ele não tem o que dizer à equipe."}]
    assert new("meu", "--data", source(tmp_path, listed)).exit_code == 0
    with pytest.raises(InputError, match="patient identifiers") as caught:
        check_data(loading.load("meu").data)
    assert "João" not in caught.value.message


def test_a_mixed_folder_says_each_files_share(tmp_path: Path) -> None:
    folder = tmp_path / "dados"
    folder.mkdir()
    source(folder, rows(tema="APS"))
    talk = [{"conversations": [{"from": "human", "value": "Oi?"}, {"from": "gpt", "value": "A equipe ajuda você."}]}]
    (folder / "conversas.jsonl").write_text("".join(json.dumps(one) + "\n" for one in talk), encoding="utf-8")
    result = new("meu", "--data", str(folder))
    assert result.exit_code == 0, result.output
    for words in ("conversas.jsonl gives 1 rows", "dados.jsonl gives 18 rows", "dados.jsonl: not read: column tema"):
        assert words in result.output
    made = loading.load("meu").data
    assert made.format == "mixed"
    assert len(read_rows(made).rows) == 19
