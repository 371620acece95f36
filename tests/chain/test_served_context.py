"""A file is compared as it is served: opened with that context, and past what its model does otherwise."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from packager.artifacts.files import fresh
from packager.artifacts.kinds import Check, Checkpoint, Dataset
from packager.errors import InputError
from packager.recipe.sections import Fields, Serve, Split
from packager.stages.convert import Lineage, convert
from packager.stages.data import Prepare, data
from packager.stages.merge import Merge, merge
from packager.stages.prompt import prompt

ORIGINAL, SERVED = 512, 768
LOUDER = 6.0
"""Random weights hardly heed positions; so much larger ones do."""


@pytest.fixture(scope="module")
def made(
    standin: Callable[[str], Path], taught_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[dict[str, Any]], tuple[Checkpoint, Dataset]]:
    """A Phi-3 of 2 layers with these settings, and rows in its prompt."""
    from safetensors.torch import load_file, save_file

    def make(settings: dict[str, Any]) -> tuple[Checkpoint, Dataset]:
        folder = tmp_path_factory.mktemp("phi3")
        shutil.copytree(standin("phi3"), folder / "base")
        path = folder / "base" / "model.safetensors"
        tensors = {n: (t * LOUDER if t.dim() > 1 else t).contiguous() for n, t in load_file(path).items()}
        save_file(tensors, path, {"format": "pt"})
        config = json.loads((folder / "base" / "config.json").read_text("utf-8"))
        config.pop("auto_map", None)
        (folder / "base" / "config.json").write_text(json.dumps(config | settings))
        base = Checkpoint(
            folder=folder / "base",
            source="microsoft/Phi-3-mini-4k-instruct",
            architecture="Phi3ForCausalLM",
            parameters=sum(t.numel() for t in tensors.values()),
        )
        config_of_rows = Prepare(source=str(taught_data), fields=Fields(topic="topic"), split=Split())
        return base, data(config_of_rows, base, fresh(folder / "data"))

    return make


def logits(base: Checkpoint, rows: Dataset, context: int, folder: Path) -> Check:
    merged = merge(Merge(imatrix=False, context=context), base, rows, None, fresh(folder / "merged"))
    assert all(check.passed for check in merged.checks)
    proven = prompt(None, base, rows, None, fresh(folder / "prompt"))
    f16 = convert(Lineage(recipe="x", language="pt-BR", context=context), merged, rows, proven, fresh(folder / "f16"))
    (check,) = (c for c in f16.checks if c.id == "convert.logits")
    return check


@pytest.mark.slow
def test_longrope_beyond_its_original_length(made: Any, tmp_path: Path) -> None:
    """llama.cpp chooses the long factors by the context it is opened with, transformers by the text."""
    factors = {"short_factor": [1.0] * 8, "long_factor": [4.0] * 8, "type": "longrope"}
    settings = {
        "rope_scaling": factors, "rope_parameters": None, "original_max_position_embeddings": ORIGINAL,
        "max_position_embeddings": 4 * ORIGINAL, "sliding_window": None,
    }  # fmt: skip
    base, rows = made(settings)
    within = logits(base, rows, ORIGINAL, tmp_path / "within")
    assert within.passed, within.says
    beyond = logits(base, rows, SERVED, tmp_path / "beyond")
    assert not beyond.passed
    assert f"try serve.context: {ORIGINAL}" in beyond.says


def test_a_window_that_llama_cpp_does_not_heed(made: Any, tmp_path: Path) -> None:
    """Phi-3 attends within a window, and llama.cpp has that switched off: beyond it they part."""
    base, rows = made({"sliding_window": ORIGINAL})
    within = logits(base, rows, ORIGINAL, tmp_path / "within")
    assert within.passed, within.says
    beyond = logits(base, rows, SERVED, tmp_path / "beyond")
    assert not beyond.passed


def test_a_system_message_that_fills_the_context(made: Any, taught_data: Path, tmp_path: Path) -> None:
    base, _ = made({})
    config = Prepare(
        source=str(taught_data), fields=Fields(topic="topic"), system="Responda com cuidado. " * 40,
        serve=Serve(context=128, max_answer_tokens=64),
    )  # fmt: skip
    with pytest.raises(InputError, match=r"The system message takes \d+ tokens .* has 128"):
        data(config, base, fresh(tmp_path / "data"))
