"""GGUF files of every architecture that is unpacked: written by the real converter, unpacked, and the same again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import sentencepiece_base

from packager.checkpoint import locate, weights
from packager.llamacpp import gguf_file
from packager.llamacpp.converter import run_converter
from packager.llamacpp.gguf_arrays import read_arrays
from packager.recipe.sections import Base
from packager.stages.base import base

SMALL = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 3, "num_attention_heads": 4,
         "num_key_value_heads": 2, "max_position_embeddings": 512, "bos_token_id": 1, "eos_token_id": 4,
         "pad_token_id": 0}  # fmt: skip
LONGROPE = {"rope_type": "longrope", "rope_theta": 10000.0, "short_factor": [1.0, 1.1, 1.2, 1.3, 1.4, 1.5],
            "long_factor": [2.0, 3.0, 4.0, 5.0, 6.0, 7.0], "original_max_position_embeddings": 128,
            "partial_rotary_factor": 0.75}  # fmt: skip
LLAMA3 = {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 32.0, "low_freq_factor": 1.0,
          "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}  # fmt: skip
YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 128}
LINEAR = {"full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
          "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}}  # fmt: skip
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {"tie_word_embeddings": False}),
    "llama-3.2": ("llama", {"tie_word_embeddings": True, "rope_parameters": LLAMA3, "max_position_embeddings": 131072}),
    "qwen2": ("qwen2", {"tie_word_embeddings": True}),
    "qwen2-yarn": ("qwen2", {"tie_word_embeddings": True, "rope_parameters": YARN}),
    "qwen3": ("qwen3", {"head_dim": 32, "tie_word_embeddings": True}),
    "phi3": ("phi3", {"sliding_window": 64, "tie_word_embeddings": False}),
    "phi-4-mini": ("phi3", {"rope_parameters": LONGROPE, "original_max_position_embeddings": 128,
                            "tie_word_embeddings": True}),
    "gemma2": ("gemma2", {"head_dim": 32, "query_pre_attn_scalar": 32, "sliding_window": 16}),
    "gemma3": ("gemma3_text", {"head_dim": 32, "query_pre_attn_scalar": 32, "sliding_window": 16,
                               "num_hidden_layers": 6}),
    "gemma3-4b": ("gemma3_text", {"head_dim": 32, "query_pre_attn_scalar": 32, "sliding_window": 16,
                                  "num_hidden_layers": 6, "rope_parameters": LINEAR}),
    "gemma3-27b": ("gemma3_text", {"head_dim": 32, "query_pre_attn_scalar": 16, "sliding_window": 16,
                                   "num_hidden_layers": 62}),
}  # fmt: skip
"""The model type of transformers' class, and what a real one of that name has beside a plain one."""
SLOW = ("gemma2", "gemma3-4b", "gemma3-27b", "llama-3.2", "phi-4-mini", "qwen3")
LIMITS = {"phi3": 65, "phi-4-mini": 128}


def write_model(kind: str, fields: dict[str, Any], folder: Path) -> None:
    """A random model of one class with a SentencePiece tokenizer, as a checkpoint."""
    import torch
    from transformers import CONFIG_MAPPING, AutoModelForCausalLM

    folder.mkdir()
    size = sentencepiece_base.write_sentencepiece(folder)
    config = CONFIG_MAPPING[kind](**{"vocab_size": size} | fields)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config)
        for label, parameter in model.named_parameters():
            if "norm" in label:  # Gemma's are added to 1
                torch.nn.init.normal_(parameter, 0.0 if "gemma" in kind else 1.0, 0.3)
            else:
                torch.nn.init.normal_(parameter, std=0.1)
    model.half().save_pretrained(folder)


def write_gguf(name: str, folder: Path) -> Path:
    """One of `KINDS` as an F16 GGUF file, beside the checkpoint that it was made from."""
    kind, fields = KINDS[name]
    write_model(kind, SMALL | fields, folder)
    (folder / "overrides.json").write_text("{}")
    run_converter(folder, folder / "base.gguf", folder / "overrides.json")
    return folder / "base.gguf"


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in KINDS])
def test_a_file_becomes_the_checkpoint_that_it_was_made_from(name: str, vendored: Path, tmp_path: Path) -> None:
    gguf = write_gguf(name, tmp_path / "made")
    out = tmp_path / "out"
    out.mkdir()
    found = base(Base(model=str(gguf)), out)  # proves tokens and predictions itself
    limits = locate.locate_base(Base(model=str(gguf))).limits
    longest = LIMITS.get(name, (SMALL | KINDS[name][1])["max_position_embeddings"])
    assert limits[0].tokens == longest
    original = weights.checkpoint(tmp_path / "made")
    unpacked = weights.checkpoint(out)
    assert {n: t.shape for n, t in unpacked.items()} == {n: t.shape for n, t in original.items()}
    assert found.architecture == json.loads((tmp_path / "made" / "config.json").read_text())["architectures"][0]

    (out / "overrides.json").write_text("{}")
    run_converter(out, tmp_path / "again.gguf", out / "overrides.json")
    names = [f"tokenizer.ggml.{one}" for one in ("tokens", "token_type", "scores")]
    first, again = read_arrays(gguf, names), read_arrays(tmp_path / "again.gguf", names)
    assert first[names[0]] == again[names[0]]
    assert first[names[1]] == again[names[1]]
    said, meant = (gguf_file.inspect(path).metadata for path in (tmp_path / "again.gguf", gguf))
    odd = {key for key in said.keys() | meant.keys() if said.get(key) != meant.get(key)}
    assert {key for key in odd if not key.startswith(("general.", "GGUF.", "tokenizer."))} <= {
        "phi3.attention.sliding_window"
    }
