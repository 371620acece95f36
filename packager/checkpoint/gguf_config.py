"""What a GGUF file's metadata says about the model -> the fields of config.json that transformers does not take
over from it: how the rotary embedding is scaled, how wide a head is, how attention and logits are bounded.

Fails with `InputError` for a rotary embedding that config.json has no words for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from packager.errors import InputError
from packager.llamacpp.gguf_file import GgufInfo, tensor_values

MODEL_TYPES = {"gemma3": "gemma3_text"}
"""What transformers calls an architecture, where the name differs."""
LARGEST_GEMMA = {"gemma2": 46, "gemma3": 62}
"""Layers of the models of 27B, whose attention llama.cpp scales by another number (src/models/gemma*.cpp)."""
LLAMA3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
"""What the published Llama 3.1 to 3.3 scale by, beside their factor (8 or 32)."""
FREQS, LONG, SHORT = "rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"
ORIGINAL = "use the original checkpoint (hf:org/name, or a folder)"


def missing_fields(info: GgufInfo, places: Mapping[str, Path]) -> dict[str, Any]:
    """Fields to set in the configuration that transformers makes of the file; `places` says
    in which file each of its tensors lies."""
    arch, said = info.architecture, info.metadata
    found: dict[str, Any] = {}
    width = said.get(f"{arch}.attention.key_length")
    if arch == "qwen3" and width:
        found["head_dim"] = int(width)
    if arch in LARGEST_GEMMA:
        heads, hidden = int(said[f"{arch}.attention.head_count"]), int(said[f"{arch}.embedding_length"])
        largest = said.get(f"{arch}.block_count") == LARGEST_GEMMA[arch]
        found["query_pre_attn_scalar"] = hidden // heads if largest else int(width or hidden // heads)
        for name in ("attn_logit_softcapping", "final_logit_softcapping"):
            if (cap := said.get(f"{arch}.{name}")) is not None:
                found[name] = float(cap)
    rope = _rope(info, places)
    if arch == "gemma3":
        local = {"rope_type": "default", "rope_theta": float(said.get("gemma3.rope.freq_base_swa", 10000.0))}
        return found | {"rope_parameters": {"full_attention": rope, "sliding_attention": local}}
    if "original_max_position_embeddings" in rope and arch == "phi3":
        found["original_max_position_embeddings"] = rope["original_max_position_embeddings"]
    return found | {"rope_parameters": rope}


def described(info: GgufInfo, fields: dict[str, Any]) -> dict[str, Any]:
    """As much of its config.json as `reach.limits` asks for."""
    arch = info.architecture
    return fields | {
        "model_type": MODEL_TYPES.get(arch, arch),
        "num_hidden_layers": info.metadata.get(f"{arch}.block_count"),
        "max_position_embeddings": info.metadata.get(f"{arch}.context_length", 0),
        "sliding_window": info.metadata.get(f"{arch}.attention.sliding_window"),
        "use_sliding_window": f"{arch}.attention.sliding_window" in info.metadata,
    }


def _rope(info: GgufInfo, places: Mapping[str, Path]) -> dict[str, Any]:
    """rope_parameters, of the layers that attend to everything."""
    arch, said = info.architecture, info.metadata
    kind = str(said.get(f"{arch}.rope.scaling.type", "none"))
    factor = said.get(f"{arch}.rope.scaling.factor")
    original = said.get(f"{arch}.rope.scaling.original_context_length")
    rope: dict[str, Any] = {
        "rope_type": "default",
        "rope_theta": float(said.get(f"{arch}.rope.freq_base", 10000.0)),
    }
    heads, hidden = int(said[f"{arch}.attention.head_count"]), int(said[f"{arch}.embedding_length"])
    width = int(said.get(f"{arch}.rope.dimension_count", hidden // heads))
    if arch == "phi3":
        rope["partial_rotary_factor"] = width / (hidden // heads)
    if FREQS in places:
        return rope | _llama3(places[FREQS], rope["rope_theta"])
    if LONG in places and SHORT in places and original:
        longest = said.get(f"{arch}.context_length", original)
        bounded = said.get(f"{arch}.rope.scaling.attn_factor")
        return rope | {
            "rope_type": "longrope",
            "long_factor": tensor_values(places[LONG], LONG),
            "short_factor": tensor_values(places[SHORT], SHORT),
            "original_max_position_embeddings": int(original),
            "factor": float(longest) / float(original),
            **({"attention_factor": float(bounded)} if bounded else {}),
        }
    if kind == "linear" and factor:
        return rope | {"rope_type": "linear", "factor": float(factor)}
    if kind == "yarn" and factor and original:
        betas = {name: said.get(f"{arch}.rope.scaling.yarn_{name}") for name in ("beta_fast", "beta_slow")}
        given = {name: float(value) for name, value in betas.items() if value is not None}
        yarn = {"rope_type": "yarn", "factor": float(factor), "original_max_position_embeddings": int(original)}
        return rope | yarn | given
    if kind != "none" or LONG in places:
        raise InputError(
            f"base.model: the file scales its rotary embedding ({kind}) in a way that cannot be written as"
            " config.json.",
            ORIGINAL,
        )
    return rope


def _llama3(path: Path, theta: float) -> dict[str, Any]:
    """The scaling that a table of divisors comes from; raises `InputError` if it is not Llama 3.1's way."""
    table = tensor_values(path, FREQS)
    factor = max(table)
    expected = _divisors(len(table), theta, factor)
    if any(not math.isclose(a, b, rel_tol=1e-3) for a, b in zip(table, expected, strict=True)):
        raise InputError(
            f"base.model: {path.name} scales its rotary embedding by a table that is not Llama 3.1's with a factor of"
            f" {factor:g}, which alone can be written as config.json.",
            f"{ORIGINAL}, whose config.json has rope_scaling",
        )
    return {"rope_type": "llama3", "factor": factor, **LLAMA3} if factor > 1 else {}


def _divisors(count: int, theta: float, factor: float) -> list[float]:
    """By what Llama 3.1 divides each of its frequencies."""
    low, high = LLAMA3["low_freq_factor"], LLAMA3["high_freq_factor"]
    found = []
    for i in range(count):
        turns = LLAMA3["original_max_position_embeddings"] / (2 * math.pi * theta ** (i / count))
        smooth = min(1.0, max(0.0, (turns - low) / (high - low)))
        found.append(1 / ((1 - smooth) / factor + smooth))
    return found
