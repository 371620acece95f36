"""The recipe that `make` builds, whole: a real small model and the questions of the project, as a newcomer has them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import linting
import pytest

from packager.errors import MissingResource
from packager.knowledge.embedding_model import embedding_model
from packager.llamacpp.vendored import VENDOR
from packager.recipe import loading
from packager.recipe.loading import ROOT

NAME = "smollm2_aps"


def packager(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "packager", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=3600, check=False)


@pytest.mark.slow
@pytest.mark.skipif(not VENDOR.joinpath("llama.cpp").is_dir(), reason="vendor is not fetched: make setup")
def test_the_default_is_built_proven_and_answers(tmp_path: Path) -> None:
    try:
        embedding_model()
    except MissingResource as error:
        pytest.skip(error.message)
    done = packager("build", NAME, "--build-dir", str(tmp_path))
    assert done.returncode == 0, done.stderr
    package = tmp_path / NAME / "package"
    manifest = json.loads((package / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["proof"]["passed"]
    assert manifest["knowledge"]["mode"] == "approved"
    for type_ in loading.load(NAME).quantize.types:
        assert linting.unexplained(package / f"{NAME}-{type_}.gguf", tmp_path) == []
    for question, silent in (("ate q temperatura guarda vacina na sala", False), ("quem ganhou o jogo ontem", True)):
        asked = packager("ask", NAME, question, "--build-dir", str(tmp_path), "--json")
        assert json.loads(asked.stdout)["silent"] is silent
