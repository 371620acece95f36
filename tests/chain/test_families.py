"""Each family that people bring, through the whole line: its class, its template, every check of the proof.

Training is a few steps on random weights, so no question is asked; what is proven is that the package predicts and is
prompted as what was trained. The families' stand-ins are in tests/families.py.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import linting
import pytest

from packager.llamacpp.gguf_file import tensor_shapes
from packager.prompt.ollama.modelfile import parse_modelfile
from tests.families import FAMILIES
from tests.standins import write

IN_16_BITS = ("granite",)
SYSTEM = "Responda em português, com clareza."
TIED = {"qwen3", "gemma3", "gemma2", "phi4", "llama32", "smollm3", "granite"}
JOINED = {"gemma3", "gemma2", "mistral"}
"""Their system message opens the first question."""
RECIPE = """\
name: family
language: pt-BR
base: {{model: '{base}', licence: apache-2.0}}
data:
  source: '{data}'
  fields: {{question: question, answer: answer, topic: topic}}
  split: {{fraction: 0.15, group_by: topic}}
  system: {system}
train: {{method: {method}, max_steps: 4, batch: {{examples_per_step: 8}}, learning_rate: 1.0e-2}}
quantize: {{types: [Q8_0], imatrix: false}}
serve: {{context: 768, max_answer_tokens: 60, temperature: 0}}
"""


@pytest.fixture(scope="module", params=[pytest.param(f, marks=pytest.mark.slow) for f in FAMILIES])
def family(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, taught_data: Path
) -> Iterator[tuple[str, Path]]:
    """A family's name, and the run folder of its build."""
    name, folder = request.param, tmp_path_factory.mktemp(request.param)
    write(FAMILIES[name], folder / "base")
    method = "lora" if name in IN_16_BITS else "qlora"
    recipe = RECIPE.format(base=folder / "base", data=taught_data, system=SYSTEM, method=method)
    (folder / "family.yaml").write_text(recipe, encoding="utf-8")
    command = [sys.executable, "-m", "packager", "build", folder / "family.yaml", "--build-dir", folder / "build"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    yield name, folder / "build" / "family"
    shutil.rmtree(folder)


def test_it_is_proven_whole(family: tuple[str, Path]) -> None:
    name, run = family
    manifest: dict[str, Any] = json.loads((run / "package" / "manifest.json").read_text("utf-8"))
    assert (manifest["proof"]["passed"], manifest["proof"]["waived"]) == (True, [])
    passed = {check["id"] for check in manifest["proof"]["checks"] if check["passed"]}
    assert {"convert.tokens", "convert.tokenizer", "convert.logits", "modelfile.prompt_parity", "merge.delta",
            "merge.base_loss", "merge.tuned_loss", "quantize.kl", "train.heldout_loss"} <= passed  # fmt: skip
    assert ("output.weight" in tensor_shapes(run / "package" / "family-Q8_0.gguf")) == (name not in TIED)


def test_the_system_message_stands_where_the_family_s_guide_puts_it(family: tuple[str, Path]) -> None:
    name, run = family
    commands = parse_modelfile((run / "package" / "Modelfile").read_text(encoding="utf-8"))
    assert ("system", SYSTEM) in commands
    template = (run / "data" / "chat_template.jinja").read_text(encoding="utf-8")
    assert ("loop.index0 != 1" in template) == (name in JOINED)


def test_two_engines_render_its_template_alike(family: tuple[str, Path], tmp_path: Path) -> None:
    _, run = family
    assert linting.unexplained(run / "package" / "family-Q8_0.gguf", tmp_path) == []
