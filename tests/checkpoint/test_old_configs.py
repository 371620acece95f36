"""config.json as the Hub still has it (rope_theta, rope_scaling, torch_dtype) -> the same file as in newer words.

One tiny random model of each family, its configuration in both forms, through check, base, merge and conversion; the
conversion's own checks compare what the file predicts with what transformers does.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from test_gguf_bases import KINDS as OTHERS
from test_gguf_bases import SMALL, write_model

from packager.artifacts.kinds import Dataset
from packager.checkpoint import weights
from packager.checkpoint.locate import inspect_base
from packager.llamacpp import gguf_file
from packager.recipe.sections import Base
from packager.stages.base import base
from packager.stages.convert import convert
from packager.stages.merge import merge
from packager.stages.prompt import prompt

KINDS: dict[str, tuple[str, dict[str, Any]]] = OTHERS | {
    "mistral": ("mistral", {"head_dim": 32, "sliding_window": None, "tie_word_embeddings": False}),
    "granite": ("granite", {"attention_multiplier": 0.1, "embedding_multiplier": 12.0, "logits_scaling": 8.0,
                            "residual_multiplier": 0.22, "tie_word_embeddings": True}),
    "phi3": ("phi3", {"sliding_window": 2047, "tie_word_embeddings": False}),  # wider than the texts: `reach`
    "smollm3": ("smollm3", {"num_hidden_layers": 4, "tie_word_embeddings": True}),
}  # fmt: skip
NAMES = ("llama-3.2", "qwen2-yarn", "qwen3", "phi3", "phi-4-mini", "gemma2", "gemma3", "gemma3-4b", "mistral",
         "granite", "smollm3")  # fmt: skip


def in_old_words(config: dict[str, Any]) -> dict[str, Any]:
    """The same configuration with the fields that transformers 4 wrote."""
    old = {name: value for name, value in config.items() if name not in ("rope_parameters", "dtype", "layer_types")}
    rope = config["rope_parameters"]
    if "full_attention" in rope:
        old["rope_local_base_freq"] = rope["sliding_attention"]["rope_theta"]
        rope = rope["full_attention"]
        old["sliding_window_pattern"] = old.pop("_sliding_window_pattern", 6)
    old |= {"rope_theta": rope["rope_theta"], "torch_dtype": config["dtype"], "rope_scaling": None}
    if config["model_type"] == "phi3":
        old["partial_rotary_factor"] = rope.get("partial_rotary_factor", 1.0)
    scaling = {name: value for name, value in rope.items() if name not in ("rope_theta", "partial_rotary_factor")}
    if scaling.get("rope_type", "default") == "longrope":  # Phi's never had another name for it
        kept = {name: scaling[name] for name in ("short_factor", "long_factor")}
        old |= {"rope_scaling": {"type": "longrope", **kept}}
        old["original_max_position_embeddings"] = scaling["original_max_position_embeddings"]
    elif scaling.get("rope_type", "default") != "default":
        old["rope_scaling"] = scaling
    return old


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_both_forms_make_one_file(name: str, vendored: Path, spm_data: Dataset, tmp_path: Path) -> None:
    kind, fields = KINDS[name]
    new = tmp_path / "new"
    write_model(kind, SMALL | fields, new)
    config = json.loads((new / "config.json").read_text())
    old = tmp_path / "old"
    shutil.copytree(new, old)
    (old / "config.json").write_text(json.dumps(in_old_words(config)), encoding="utf-8")
    metadata = []
    for folder in (new, old):
        found, problems = inspect_base(Base(model=str(folder)))
        assert [problem.message for problem in problems] == []
        out = {stage: tmp_path / f"{folder.name}-{stage}" for stage in ("base", "prompt", "merged", "f16")}
        for path in out.values():
            path.mkdir()
        checkpoint = base(Base(model=str(folder)), out["base"])
        merged = merge(None, checkpoint, spm_data, None, out["merged"])
        proven = prompt(None, checkpoint, spm_data, None, out["prompt"])
        file = convert(None, merged, spm_data, proven, out["f16"])
        assert [(check.id, check.says) for check in file.checks if not check.passed] == []
        assert "convert.logits" in [check.id for check in file.checks]
        info = gguf_file.inspect(out["f16"] / file.files[0].name)
        metadata.append({key: value for key, value in info.metadata.items() if not key.startswith("general.")})
        assert found.parameters == sum(tensor.elements for tensor in weights.checkpoint(folder).values())
    assert metadata[0] == metadata[1]
