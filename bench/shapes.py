"""A checkpoint and an adapter of a real model's shape with random weights, written to disk and converted
like any other: nothing is downloaded.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from packager.artifacts.kinds import Adapter, Checkpoint, Dataset
from packager.checkpoint import weights
from packager.recipe.loading import ROOT

VOCABULARY = ROOT / "vendor" / "llama.cpp" / "models"
SHAPES: dict[str, dict[str, Any]] = {
    "qwen25_1.5b": {"hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 28,
                    "num_attention_heads": 12, "num_key_value_heads": 2, "tie_word_embeddings": True},
    "qwen25_7b": {"hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28,
                  "num_attention_heads": 28, "num_key_value_heads": 4, "tie_word_embeddings": False},
    "tiny": {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 2,
             "num_attention_heads": 4, "num_key_value_heads": 2, "tie_word_embeddings": True},
}  # fmt: skip
RANK, ALPHA = 16, 32
POOL = 1 << 23
"""Random numbers that are drawn; every block of weights is some stretch of them."""
TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def base(shape: str, folder: Path) -> Checkpoint:
    """Qwen2's real vocabulary under random FP16 weights, in `folder`."""
    from transformers import AutoTokenizer

    folder.mkdir(parents=True)
    tokenizer = AutoTokenizer.from_pretrained(VOCABULARY, gguf_file="ggml-vocab-qwen2.gguf")
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    config = SHAPES[shape] | {
        "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "vocab_size": 151936, "rms_norm_eps": 1e-6,
        "rope_theta": 1e6, "max_position_embeddings": 32768, "hidden_act": "silu", "torch_dtype": "float16",
        "bos_token_id": 151643, "eos_token_id": 151645,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    write_random(_tensors(config), 0.02, folder)
    parameters = sum(math.prod(size) for _, size in _tensors(config))
    return Checkpoint(
        folder=folder, content="base", source=f"bench/{shape}", architecture="Qwen2ForCausalLM", parameters=parameters
    )


def write_random(tensors: Sequence[tuple[str, tuple[int, ...]]], deviation: float, folder: Path) -> None:
    """Write FP16 tensors (name, shape) into `folder`: normal with this standard deviation, norms of ones."""
    noise = np.random.default_rng(0)
    pool = (noise.standard_normal(POOL, np.float32) * deviation).astype(np.float16)
    layout = [(name, "F16", size) for name, size in tensors]
    with weights.Writer(folder, layout) as writer:
        for name, _, size in layout:
            columns = math.prod(size[1:])
            for start in range(0, size[0], step := max(1, POOL // 2 // columns)):
                count = min(step, size[0] - start) * columns
                at = int(noise.integers(POOL - count))
                values = np.ones(count, np.float16) if "norm" in name else pool[at : at + count]
                writer.write(name, start, values.data)


def adapter(made: Checkpoint, folder: Path) -> Adapter:
    """LoRA over all linear layers, in peft's format."""
    folder.mkdir(parents=True)
    pairs: dict[str, tuple[int, ...]] = {}
    for tensor in weights.checkpoint(made.folder).values():
        if ".layers." in tensor.name and len(tensor.shape) == 2:
            module = f"base_model.model.{tensor.name.removesuffix('.weight')}"
            pairs[f"{module}.lora_A.weight"] = (RANK, tensor.shape[1])
            pairs[f"{module}.lora_B.weight"] = (tensor.shape[0], RANK)
    noise = np.random.default_rng(1)
    with weights.Writer(folder, [(name, "F32", size) for name, size in pairs.items()]) as writer:
        for name, size in pairs.items():
            writer.write(name, 0, (noise.standard_normal(size, np.float32) * 0.01).data)
    (folder / "model.safetensors").rename(folder / "adapter_model.safetensors")
    targets = sorted({name.split(".")[-3] for name in pairs})
    config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": RANK, "lora_alpha": ALPHA, "lora_dropout": 0.0,
              "bias": "none", "target_modules": targets, "base_model_name_or_path": "bench"}  # fmt: skip
    (folder / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    return Adapter.model_construct(folder=folder, content="adapter", method="lora", as_trained=None)


def data(made: Checkpoint, folder: Path) -> Dataset:
    """What the merge takes from the data stage: the chat template."""
    folder.mkdir(parents=True)
    shutil.copy(made.folder / "chat_template.jinja", folder)
    return Dataset.model_construct(folder=folder, content="data")


def _tensors(config: dict[str, Any]) -> list[tuple[str, tuple[int, ...]]]:
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    kv = hidden // config["num_attention_heads"] * config["num_key_value_heads"]
    found: list[tuple[str, tuple[int, ...]]] = [("model.embed_tokens.weight", (config["vocab_size"], hidden))]
    for i in range(config["num_hidden_layers"]):
        at = f"model.layers.{i}."
        for name, rows in (("q", hidden), ("k", kv), ("v", kv)):
            found += [
                (f"{at}self_attn.{name}_proj.weight", (rows, hidden)),
                (f"{at}self_attn.{name}_proj.bias", (rows,)),
            ]
        found += [
            (f"{at}self_attn.o_proj.weight", (hidden, hidden)),
            (f"{at}mlp.gate_proj.weight", (inner, hidden)),
            (f"{at}mlp.up_proj.weight", (inner, hidden)),
            (f"{at}mlp.down_proj.weight", (hidden, inner)),
            (f"{at}input_layernorm.weight", (hidden,)),
            (f"{at}post_attention_layernorm.weight", (hidden,)),
        ]
    found.append(("model.norm.weight", (hidden,)))
    return found if config["tie_word_embeddings"] else [*found, ("lm_head.weight", (config["vocab_size"], hidden))]
