"""The tensors that one layer of a known family holds.

config.json -> their names and shapes, as transformers' class of that model type has them; tests hold the two
against each other. What config.json leaves out is what transformers takes it for. Nothing here fails.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from packager.checkpoint import transformers_tables as tables

_QKVO = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj")
_MLP = ("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")
_NORMS = ("input_layernorm", "post_attention_layernorm")
_FOUR_NORMS = (*_NORMS, "pre_feedforward_layernorm", "post_feedforward_layernorm")
_LLAMA = (*_QKVO, *_MLP, *_NORMS)
_HEAD_NORMS = ("self_attn.q_norm", "self_attn.k_norm")
LAYERS: dict[str, tuple[str, ...]] = {
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "ministral3": _LLAMA,
    "smollm3": _LLAMA,
    "granite": _LLAMA,
    "gemma": _LLAMA,
    "gemma2": (*_QKVO, *_MLP, *_FOUR_NORMS),
    "gemma3_text": (*_QKVO, *_HEAD_NORMS, *_MLP, *_FOUR_NORMS),
    "qwen2": _LLAMA,
    "qwen3": (*_LLAMA, *_HEAD_NORMS),
    "phi3": ("self_attn.qkv_proj", "self_attn.o_proj", "mlp.gate_up_proj", "mlp.down_proj", *_NORMS),
}
"""The modules with weights of one layer, by model type (transformers' modeling_*.py)."""


def setting(config: Mapping[str, Any], field: str) -> Any:
    """A field of config.json, or what transformers takes it for where it is left out."""
    if field in config:
        return config[field]
    return tables.default(str(config.get("model_type", "")), field)


def layer_tensors(config: Mapping[str, Any]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of one layer's tensors, for a model type of `LAYERS`."""
    hidden, inner = setting(config, "hidden_size"), setting(config, "intermediate_size")
    heads = setting(config, "num_attention_heads")
    shared = setting(config, "num_key_value_heads") or heads
    if not all(isinstance(n, int) and n > 0 for n in (hidden, inner, heads)):
        return
    width = setting(config, "head_dim") or hidden // heads
    q, kv = heads * width, (shared or heads) * width
    matrices = {
        "q_proj": (q, hidden), "k_proj": (kv, hidden), "v_proj": (kv, hidden), "o_proj": (hidden, q),
        "qkv_proj": (q + 2 * kv, hidden), "gate_up_proj": (2 * inner, hidden),
        "gate_proj": (inner, hidden), "up_proj": (inner, hidden), "down_proj": (hidden, inner),
    }  # fmt: skip
    for module in LAYERS[config["model_type"]]:
        shape = matrices.get(module.rpartition(".")[2])
        norm = (width,) if module in _HEAD_NORMS else (hidden,)
        yield f"{module}.weight", shape or norm
        if shape and _has_bias(config, module):
            yield f"{module}.bias", shape[:1]


def _has_bias(config: Mapping[str, Any], module: str) -> bool:
    kind = config.get("model_type")
    if kind == "qwen2":
        return module in _QKVO[:3]
    if kind in ("phi3", "mistral", "ministral3"):
        return False
    return bool(setting(config, "attention_bias" if "self_attn" in module else "mlp_bias"))
