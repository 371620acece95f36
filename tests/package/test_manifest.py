"""What the package shows of a recipe."""

from __future__ import annotations

import json

import pytest

from packager.package.manifest import public
from packager.recipe import loading

FOLDER = "/srv/pesquisa"


def test_files_of_this_machine_are_named_without_their_folders() -> None:
    sets = [
        f"base.model={FOLDER}/modelo",
        f"data.source={FOLDER}/treino.jsonl",
        f"evaluate.sets.outro.source={FOLDER}/outro.jsonl",
        f"evaluate.sets.mais={{source: {FOLDER}/mais.jsonl}}",
        "evaluate.metrics=[bertscore]",
        f"evaluate.bertscore.encoder={FOLDER}/encoder",
        f"evaluate.benchmarks={{tasks: [medmcqa], folder: {FOLDER}/provas}}",
    ]
    shown = public(loading.load("smollm2_aps", sets).model_dump(mode="json"))
    assert FOLDER not in json.dumps(shown)
    assert shown["base"]["model"] == "modelo"
    assert shown["evaluate"]["sets"]["outro"]["source"] == "outro.jsonl"
    assert shown["evaluate"]["benchmarks"]["folder"] == "provas"
    assert shown["overrides"]["evaluate.bertscore.encoder"] == "encoder"
    kept = public(loading.load("phi3_aps").model_dump(mode="json"))
    assert kept["base"]["model"] == "hf:microsoft/Phi-3-mini-4k-instruct"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("./../../srv/x/dados.csv", "dados.csv"),
        (r"C:\Users\ana\dados.csv", "dados.csv"),
        (r"\\servidor\pasta\dados.csv", "dados.csv"),
        ("~/dados.csv", "dados.csv"),
        ("/srv/dados/", "dados"),
        ("dados/treino.csv", "dados/treino.csv"),
        ("hf:org/nome", "hf:org/nome"),
    ],
)
def test_a_path_that_leads_away_is_a_name(value: str, shown: str) -> None:
    assert public({"data": {"source": value}}) == {"data": {"source": shown}}
