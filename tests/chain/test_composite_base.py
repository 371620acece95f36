"""A Gemma 3 that also sees pictures, and refuses a system message, through the whole line by its text part.

Its class is the real one and its template the one that Gemma's models bring; the weights are random, so no question
is asked, and everything else must hold.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import sentencepiece_base
from composites import write_composite

from packager.llamacpp import gguf_file
from packager.llamacpp.vendored import VENDOR
from packager.recipe.loading import ROOT

TEMPLATE = VENDOR / "llama.cpp" / "models" / "templates" / "google-gemma-2-2b-it.jinja"
PATTERN = {"num_hidden_layers": 6, "sliding_window_pattern": 6}
"""Every sixth layer looks back all the way, as in every Gemma 3; llama.cpp knows no other order."""
SYSTEM = "Responda com clareza."
RECIPE = """
name: olhos
base: {{model: {base}}}
language: pt-BR
data: {{source: {data}, system: {system}, max_tokens: 400, split: {{fraction: 0.2}}}}
train: {{lora: {{rank: 4, alpha: 8}}, max_steps: 4, batch: {{examples_per_step: 4}}}}
quantize: {{types: [Q8_0], imatrix: false}}
serve: {{context: 512, max_answer_tokens: 16}}
smoke: []
"""


@pytest.mark.skipif(not TEMPLATE.is_file(), reason="vendor is not fetched: make setup")
@pytest.mark.slow
def test_the_text_part_is_built_and_the_rest_is_said(taught_data: Path, tmp_path: Path) -> None:
    base = tmp_path / "medgemma"
    base.mkdir()
    write_composite("gemma3", base, max_position_embeddings=1024, sliding_window=64, **PATTERN)
    turns = ("<start_of_turn>", "<end_of_turn>")
    sentencepiece_base.write_sentencepiece(base, turns, TEMPLATE.read_text(encoding="utf-8"), prefix=False)
    head = "license: other\nlicense_name: health-ai-developer-foundations\nlicense_link: https://x.example/terms"
    (base / "README.md").write_text(f"---\n{head}\n---\n", encoding="utf-8")
    (base / "LICENSE").write_text("Health AI Developer Foundations Terms of Use: be careful.\n", encoding="utf-8")
    recipe = tmp_path / "olhos.yaml"
    recipe.write_text(RECIPE.format(base=base, data=taught_data, system=SYSTEM), encoding="utf-8")
    command = [sys.executable, "-m", "packager", "build", str(recipe), "--build-dir", str(tmp_path / "build")]
    checked = subprocess.run([*command[:3], "check", *command[4:]], cwd=ROOT, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    assert "left out of the base: its part for pictures" in checked.stdout
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    assert "the text part is taken; left out: its part for pictures (" in done.stdout + done.stderr

    package = tmp_path / "build" / "olhos" / "package"
    manifest = json.loads((package / "manifest.json").read_text(encoding="utf-8"))
    left_out = manifest["base"]["left_out"]
    assert "multi_modal_projector, vision_tower" in left_out
    card = (package / "README.md").read_text(encoding="utf-8")
    assert f"It reads text only: left out is {left_out}." in card
    assert "**Health AI Developer Foundations Terms of Use.**" in card
    assert "be careful" in (package / "LICENSE").read_text(encoding="utf-8")
    assert "HAI-DEF is provided under and subject to" in (package / "NOTICE").read_text(encoding="utf-8")
    info = gguf_file.inspect(package / "olhos-Q8_0.gguf")
    assert info.architecture == "gemma3"
    assert info.parameters == manifest["base"]["parameters"]

    row = json.loads((tmp_path / "build/olhos/data/train.jsonl").read_text(encoding="utf-8").partition("\n")[0])
    assert row["messages"][0] == {"role": "system", "content": SYSTEM}  # Gemma's guide: before the first question
    assert "{{ .Content }}" in (package / "Modelfile").read_text(encoding="utf-8")
    assert manifest["proof"]["passed"]
