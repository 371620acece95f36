"""Approved material on the whole line: a recipe with the section, its package, and what `packager ask` shows of it."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from command_line import packager

from packager.errors import MissingResource
from packager.knowledge.embedding_model import embedding_model
from packager.publish.staging import staged
from packager.recipe import loading

LOOSE = ("thresholds.min_found_first=0", "thresholds.min_found_three=0", "thresholds.min_silent=0")


def needs_the_search() -> None:
    """Skips the test where gcc is missing or the embedding model cannot be had."""
    if not shutil.which("gcc"):
        pytest.skip("gcc is not installed")
    try:
        embedding_model()
    except MissingResource as error:
        pytest.skip(error.message)


@pytest.fixture
def with_sources(tiny_recipe: Path, taught_data: Path, tmp_path: Path) -> Path:
    """The tiny recipe with a source for every row and the section."""
    rows = [json.loads(line) for line in taught_data.read_text(encoding="utf-8").splitlines()]
    data = tmp_path / "perguntas.jsonl"
    lines = [json.dumps(row | {"source": f"Caderno de {row['topic']}"}, ensure_ascii=False) + "\n" for row in rows]
    data.write_text("".join(lines), encoding="utf-8")
    text = tiny_recipe.read_text(encoding="utf-8").replace(str(taught_data), str(data))
    text = text.replace("topic: topic}", "topic: topic, source: source}")
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(f"{text}knowledge: {{rows: true, threshold: 0.88}}\n", encoding="utf-8")
    return recipe


def test_a_recipe_without_a_column_of_sources_is_refused_early(tiny_recipe: Path, tmp_path: Path) -> None:
    done = packager("check", tiny_recipe, "--build-dir", tmp_path, "--set", "knowledge.rows=true")
    assert done.returncode == 2
    assert "data.fields.source" in done.stderr


def test_the_package_holds_the_material_and_ask_shows_it(with_sources: Path, tmp_path: Path) -> None:
    needs_the_search()
    settings = (*LOOSE, "base.licence=apache-2.0")
    loose = [word for one in settings for word in ("--set", one)]
    done = packager("build", with_sources, "--build-dir", tmp_path, *loose)
    assert done.returncode == 0, done.stderr
    package = tmp_path / "tiny" / "package"
    sums = (package / "SHA256SUMS").read_text()
    for name in ("knowledge.jsonl", "knowledge.bin", "e5-small-enpt-q4.bin", "LICENSE-e5.txt"):
        assert f"  {name}\n" in sums
    manifest = json.loads((package / "manifest.json").read_text())
    assert manifest["knowledge"]["passages"] == 36
    assert manifest["knowledge"]["mode"] == "approved"
    assert "Caderno de dengue" in manifest["knowledge"]["sources"]
    assert "36 approved passages from 6 sources" in (package / "README.md").read_text()
    assert packager("verify", package).returncode == 0
    asked = packager("ask", with_sources, "o que é dengue", "--build-dir", tmp_path, "--json", *loose)
    shown = json.loads(asked.stdout)
    assert (shown["mode"], shown["silent"]) == ("approved", False)
    assert shown["answer"] == "A palavra dengue é um tema que a equipe de saúde explica para a família."
    assert shown["passages"][0]["source"] == "Caderno de dengue"
    recipe = loading.load(str(with_sources), settings)
    with staged(recipe, tmp_path / "tiny", "org/tiny") as shipment:  # nothing of it is refused; nothing is sent
        assert "knowledge.jsonl" in shipment.parcels[0].items
    far = packager("ask", with_sources, "quem ganhou o jogo de ontem", "--build-dir", tmp_path, "--json", *loose)
    assert json.loads(far.stdout)["silent"]
    assert json.loads(far.stdout)["answer"].startswith("Não encontrei isso no material aprovado.")


@pytest.mark.slow
def test_a_model_that_makes_things_up_does_not_get_to_speak(with_sources: Path, tmp_path: Path) -> None:
    """Assisted is asked for; the tiny model's words do not hold, so the package comes out approved, and says why."""
    needs_the_search()
    more = (*LOOSE, "knowledge.mode=assisted", "knowledge.asked=8", "data.max_tokens=512")
    wanted = [word for one in more for word in ("--set", one)]
    done = packager("build", with_sources, "--build-dir", tmp_path, *wanted)
    assert done.returncode == 0, done.stderr
    run = tmp_path / "tiny"
    taught = [json.loads(line) for line in (run / "lessons" / "lessons.jsonl").read_text().splitlines()]
    assert taught
    assert all(row["messages"][-2]["content"].startswith("Material aprovado:\n1. ") for row in taught)
    proof = json.loads((run / "proof" / "proof.json").read_text())
    figures = {(figure["id"], figure["subject"]): figure for figure in proof["figures"]}
    types = {file["type"] for file in json.loads((run / "package" / "manifest.json").read_text())["files"]}
    for file_type in types:
        assert figures["knowledge.grounded", file_type]["measured"] < 0.9
        assert "token F1" in figures["knowledge.better", file_type]["says"]
    assert proof["mode"] == "approved"
    assert "knowledge.grounded" in proof["mode_because"]
    assert "the model is silent" in (run / "package" / "README.md").read_text()
    assert not any(path.name in ("lessons.jsonl", "cases.jsonl") for path in (run / "package").iterdir())
    parity = next(check for check in proof["checks"] if check["id"] == "modelfile.prompt_parity")
    assert parity["passed"]


@pytest.mark.slow
def test_with_loose_limits_the_page_is_assisted(with_sources: Path, tmp_path: Path) -> None:
    needs_the_search()
    more = (*LOOSE, "knowledge.mode=assisted", "knowledge.asked=8", "data.max_tokens=512",
            "thresholds.min_grounded=0", "thresholds.min_better=-1")  # fmt: skip
    wanted = [word for one in more for word in ("--set", one)]
    done = packager("build", with_sources, "--build-dir", tmp_path, *wanted)
    assert done.returncode == 0, done.stderr
    asked = packager("ask", with_sources, "o que é dengue", "--build-dir", tmp_path, "--json", *wanted)
    shown = json.loads(asked.stdout)
    assert shown["mode"] == "assisted"
    assert shown["answer"] == "A palavra dengue é um tema que a equipe de saúde explica para a família."
    texts = " ".join(passage["text"] for passage in shown["passages"])
    assert set(re.findall(r"\d+", shown["written"])) <= set(re.findall(r"\d+", texts))
    assert all(sentence not in shown["written"] for sentence in shown["struck"])
