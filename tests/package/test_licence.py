"""The licences of the shipped recipes' bases are known, and what they ask for is carried, shown and checked."""

from __future__ import annotations

from pathlib import Path

import pytest
from cards import card_facts

from packager.data.audit import identifiers
from packager.package import card, licence
from packager.recipe import loading
from packager.recipe.loading import shipped

BASES = {"apache-2.0": "Qwen/Qwen2.5-1.5B-Instruct", "mit": "microsoft/Phi-3-mini-4k-instruct",
         "llama3.1": "unsloth/Meta-Llama-3.1-8B", "llama3.2": "meta-llama/Llama-3.2-1B",
         "gemma": "google/gemma-3-1b-it"}  # fmt: skip


@pytest.mark.parametrize("path", shipped(), ids=lambda p: p.stem)
def test_every_shipped_recipe_follows_a_known_licence(path: Path) -> None:
    loaded = loading.load(str(path))
    assert loaded.base.licence in licence.KNOWN
    terms = licence.KNOWN[loaded.base.licence]
    assert loaded.name.startswith(terms.name_begins.lower())
    assert licence.unread(loaded.base.licence) == ""


def packed(folder: Path, name: str) -> Path:
    """The files of a package that its licence is about."""
    made = card_facts(BASES[name], "abc", name, recipe_name="llama_meu" if "llama" in name else "meu")
    for file, text in licence.texts(name, BASES[name], "fine-tuned").items():
        (folder / file).write_text(text, encoding="utf-8")
    (folder / "README.md").write_text(card.model_card(made), encoding="utf-8")
    return folder


@pytest.mark.parametrize("name", licence.KNOWN)
def test_what_the_package_carries_is_enough(name: str, tmp_path: Path) -> None:
    package = "llama_meu" if "llama" in name else "meu"
    repo = "org/Llama-meu" if "llama" in name else "org/meu"
    assert licence.gaps(name, package, [repo], packed(tmp_path, name)) == []
    text = (tmp_path / "LICENSE").read_text("utf-8")
    assert "{" not in text
    assert not [kind for line in text.splitlines() for kind in identifiers.redact(line)[1]]


def test_llama_asks_for_its_name_notice_and_words(tmp_path: Path) -> None:
    folder = packed(tmp_path, "llama3.2")
    assert "Copyright © Meta Platforms, Inc. All Rights Reserved." in (folder / "NOTICE").read_text("utf-8")
    text = (folder / "README.md").read_text("utf-8")
    assert "\n# Llama_meu\n" in text
    assert "**Built with Llama.**" in text
    assert "https://www.llama.com/llama3_2/license" in text
    found = licence.gaps("llama3.2", "meu", ["org/llama-meu", "org/Llama-meu", "org/meu-adapter"], folder)
    assert [line.partition(":")[0] for line in found[:2]] == ["org/llama-meu", "org/meu-adapter"]
    assert "“Llama”" in found[0]
    assert "meu, must begin with “llama”" in found[2]
    (folder / "README.md").write_text("# x")
    (folder / "NOTICE").unlink()
    found = licence.gaps("llama3.2", "llama_meu", ["org/Llama-meu"], folder)
    assert [line.split()[0] for line in found] == ["NOTICE", "README.md"]
    assert "Built with Llama" in found[1]


def test_mit_names_whose_copyright_it_is(tmp_path: Path) -> None:
    assert "Copyright (c) Microsoft Corporation" in (packed(tmp_path, "mit") / "LICENSE").read_text()
    assert "Copyright (c) the authors of org/base" in licence.texts("mit", "org/base", "x")["LICENSE"]


def test_an_unknown_licence_stops_and_one_not_read_is_said(tmp_path: Path) -> None:
    assert "base.licence" in licence.gaps("", "meu", ["org/meu"], tmp_path)[0]
    assert licence.gaps("openrail", "meu", ["org/meu"], tmp_path) == []
    assert "openrail" in licence.unread("openrail")
    assert licence.texts("openrail", "org/base", "x") == {}


def test_the_bases_own_texts_are_passed_on(tmp_path: Path) -> None:
    own = {"LICENSE.txt": "Own terms", "NOTICE.md": "Made by X", "USE_POLICY.md": "Do no harm"}
    made = licence.texts("qwen-research", "Qwen/Qwen2.5-3B", "quantized", own)
    assert (made["LICENSE"], made["USE_POLICY.md"], set(made)) == (
        "Own terms", "Do no harm", {"LICENSE", "NOTICE", "USE_POLICY.md"},
    )  # fmt: skip
    assert "made from Qwen/Qwen2.5-3B, which is under the licence 'qwen-research' (see LICENSE)" in made["NOTICE"]
    assert made["NOTICE"].endswith("Made by X")
    assert licence.texts("mit", "org/base", "x", {"LICENCE": "MIT, (c) Ana"})["LICENSE"] == "MIT, (c) Ana"
    assert "Apache License" in licence.texts("apache-2.0", "org/base", "x", {"NOTICE": "n"})["LICENSE"]


def test_gemma_asks_for_its_terms(tmp_path: Path) -> None:
    """Section 3.1: the notice, word for word, a copy of the terms, and the use restrictions of 3.2 passed on."""
    folder = packed(tmp_path, "gemma")
    notice = (folder / "NOTICE").read_text("utf-8")
    assert "Gemma is provided under and subject to the Gemma Terms of Use found at ai.google.dev/gemma/terms" in notice
    assert "bound by their rules of use: https://ai.google.dev/gemma/prohibited_use_policy" in notice
    assert "What was changed: fine-tuned" in notice
    terms = (folder / "LICENSE").read_text("utf-8")
    assert terms.startswith("Gemma Terms of Use\n\nLast modified: March 24, 2025")
    assert "3.2 Use Restrictions" in terms
    assert "[rules of use](https://ai.google.dev/gemma/prohibited_use_policy)" in (folder / "README.md").read_text()


def test_medgemma_asks_for_terms_that_must_lie_beside_the_base(tmp_path: Path) -> None:
    name = "health-ai-developer-foundations"
    made = licence.texts(name, "google/medgemma-4b-it", "quantized")
    assert set(made) == {"NOTICE"}
    assert f"Terms of Use found at {licence.HEALTH_AI}" in made["NOTICE"]
    (tmp_path / "NOTICE").write_text(made["NOTICE"])
    (tmp_path / "README.md").write_text("Health AI Developer Foundations Terms of Use")
    (lacking,) = licence.gaps(name, "meu", ["org/meu"], tmp_path)
    assert f"put its text ({licence.HEALTH_AI}) beside the base as LICENSE" in lacking
    own = licence.texts(name, "google/medgemma-4b-it", "quantized", {"LICENSE": "Health AI ... Terms of Use"})
    assert (own["LICENSE"], "NOTICE" in own) == ("Health AI ... Terms of Use", True)


def test_the_text_must_be_that_of_the_licence(tmp_path: Path) -> None:
    """ "limitation", in the text of every licence, is not the name "MIT"."""
    for name, text in licence.texts("mit", "microsoft/x", "everything").items():
        (tmp_path / name).write_text(text)
    (tmp_path / "README.md").write_text("x")
    assert licence.gaps("mit", "x", ["me/x"], tmp_path) == []
    (tmp_path / licence.TEXT).write_text("Permission is hereby\ngranted, free of charge")
    assert licence.gaps("mit", "x", ["me/x"], tmp_path) == []
    (tmp_path / licence.TEXT).write_text(licence.texts("apache-2.0", "x/y", "everything")[licence.TEXT])
    assert licence.gaps("mit", "x", ["me/x"], tmp_path) == ["LICENSE must say “Permission is hereby granted”"]


def test_spdx_spelling_is_known_and_other_llamas_are_not(tmp_path: Path) -> None:
    assert licence.known("Apache-2.0") is licence.known("apache-2.0") is not None
    assert set(licence.texts("MIT", "microsoft/x", "everything")) == {licence.TEXT, licence.NOTICE}
    assert licence.gaps("llama3.3", "llama_x", ["me/Llama-x"], tmp_path)
    assert licence.gaps("some-licence", "x", ["me/x"], tmp_path) == []
