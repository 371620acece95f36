"""How far a base reaches: up to how many tokens training, transformers and llama.cpp compute the same.

config.json -> limits, each with its reason, and what about the rotary embedding cannot be served. llama.cpp
uses a sliding window for some families only; it chooses the factors of LongRoPE by the size of the context,
transformers by the length of the text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from packager.checkpoint.layer_tensors import setting
from packager.errors import InputError
from packager.llamacpp.converter import module_text

WINDOWED = (
    "AfmoeForCausalLM", "Cohere2ForCausalLM", "Exaone4ForCausalLM", "Gemma2ForCausalLM", "Gemma3ForCausalLM",
    "Gemma3nForCausalLM", "Gemma4ForCausalLM", "GraniteSWAForCausalLM", "LagunaForCausalLM", "MapleForCausalLM",
    "MellumForCausalLM", "Olmo3ForCausalLM", "Plamo3ForCausalLM", "PLaMo3ForCausalLM",
)  # fmt: skip
"""Dense classes whose sliding window llama.cpp keeps to (swa_type in src/models/*.cpp). Phi-3's it reads and
leaves out; of Qwen, Mistral and Starcoder2 it knows none."""
PATTERNS = {"Gemma2ForCausalLM": 2, "Gemma3ForCausalLM": 6, "Cohere2ForCausalLM": 4}
"""Of so many layers the last looks back all the way and the others within their window: llama.cpp has the number in
its source (src/models/gemma3.cpp and others), whatever config.json says."""
WITHOUT_ROTARY = {"SmolLM3ForCausalLM": 4}
"""Of so many layers the last has no rotary embedding: llama.cpp has the number in its source (smollm3.cpp)."""
ROPE_TYPES = ("default", "linear", "dynamic", "yarn", "llama3", "longrope")
"""What the converter writes and transformers computes."""
AGAIN = "download config.json again"


@dataclass(frozen=True)
class Limit:
    """The most tokens, prompt and answer together, and why."""

    tokens: int
    why: str


def limits(config: Mapping[str, Any], architecture: str) -> list[Limit]:
    """What neither a training row nor the served context may be beyond, shortest first; raises nothing."""
    found = []
    made_for = config.get("max_position_embeddings") or config.get("n_positions") or 0
    if isinstance(made_for, int) and made_for > 0:
        found.append(Limit(made_for, f"the base was made for {made_for} tokens"))
    window = _window(config)
    if window and architecture not in WINDOWED:
        why = f"it looks back {window} tokens only (sliding_window), and llama.cpp, which serves it, all the way"
        found.append(Limit(window + 1, why))  # the last token's own prediction has no place in the context
    rope = rope_settings(config)
    original = rope.get("original_max_position_embeddings") or setting(config, "original_max_position_embeddings")
    if not isinstance(original, int):
        return sorted(found, key=lambda limit: limit.tokens)
    if rope_type(config) == "longrope" and original < (made_for or original + 1):
        why = (
            f"beyond {original} tokens LongRoPE takes other factors, which llama.cpp takes for short texts too as soon"
            " as the context is longer, and training does not"
        )
        found.append(Limit(original, why))
    if rope_type(config) == "dynamic":
        found.append(
            Limit(original, "beyond them its rotary embedding stretches (dynamic), which llama.cpp leaves out")
        )
    return sorted(found, key=lambda limit: limit.tokens)


def rope_problems(config: Mapping[str, Any], architecture: str) -> Iterator[InputError]:
    """Rotary settings that cannot be read, contradict each other, or are not written into a GGUF."""
    for name in ("rope_parameters", "rope_scaling"):
        if not isinstance(config.get(name) or {}, dict):
            yield InputError(f"config.json: {name} is {config[name]!r}; fields or null were expected.", AGAIN)
            return
    old, new = config.get("rope_scaling") or {}, config.get("rope_parameters") or {}
    nested = any(isinstance(value, dict) for value in new.values())
    clashes = (
        [] if nested else sorted(k for k in {*old} & {*new} if k not in ("type", "rope_type") and old[k] != new[k])
    )
    if old and new and not nested and _named_type(old) != _named_type(new):
        clashes.append("rope_type")
    theta = config.get("rope_theta")
    if theta is not None and not nested and new.get("rope_theta", theta) != theta:
        clashes.append("rope_theta")
    if clashes:
        yield InputError(
            f"config.json gives {', '.join(clashes)} twice, and not alike: in rope_parameters, and as the older"
            " rope_theta or rope_scaling; what reads one trains, what reads the other serves.",
            "keep those of the base's own config.json, and take the others out",
        )
    kind, module = rope_type(config), module_text(architecture)
    tables = {"llama3": ("ROPE_FREQS", "LlamaModel"), "longrope": ("ROPE_FACTORS_LONG", "Phi3MiniModel")}
    if kind not in ROPE_TYPES or (kind in tables and not any(word in module for word in tables[kind])):
        yield InputError(
            f"config.json scales the rotary embedding by {kind!r}, which llama.cpp's converter does not write for a"
            f" {architecture}.",
            "use a base without it, or one whose context is not stretched so",
        )
    if kind == "longrope":
        yield from _factors(config)


def window_problems(config: Mapping[str, Any], architecture: str) -> Iterator[InputError]:
    """Layers whose windows are not where llama.cpp has them."""
    types, every = config.get("layer_types"), PATTERNS.get(architecture)
    if not every or not isinstance(types, list):
        return
    other = [i for i, kind in enumerate(types) if (kind == "full_attention") != ((i + 1) % every == 0)]
    if other:
        yield InputError(
            f"config.json: layer {other[0]} is {types[other[0]]} (layer_types). In a {architecture} llama.cpp lets the"
            f" last of every {every} layers look back all the way, and the others within the window.",
            AGAIN + ", or use another base",
        )


def rotary_problems(config: Mapping[str, Any], architecture: str) -> Iterator[InputError]:
    """Layers without rotary embedding that are not where llama.cpp has them."""
    with_rotary, every = config.get("no_rope_layers"), WITHOUT_ROTARY.get(architecture)
    if not every or not isinstance(with_rotary, list):
        return
    other = [i for i, has in enumerate(with_rotary) if bool(has) == ((i + 1) % every == 0)]
    if other:
        yield InputError(
            f"config.json: layer {other[0]} {'has' if with_rotary[other[0]] else 'lacks'} the rotary embedding"
            f" (no_rope_layers). In a {architecture} llama.cpp leaves it out of the last of every {every} layers.",
            AGAIN + ", or use another base",
        )


def _factors(config: Mapping[str, Any]) -> Iterator[InputError]:
    rope = rope_settings(config)
    lists = [rope.get(name) for name in ("short_factor", "long_factor")]
    if not all(isinstance(one, list) and one and len(one) == len(lists[0] or ()) for one in lists):
        yield InputError("config.json: LongRoPE needs short_factor and long_factor, two lists of one length.", AGAIN)


def rope_settings(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The rotary settings, in transformers' newer form or the older one; of full attention, where layers differ."""
    found = config.get("rope_scaling") or config.get("rope_parameters") or {}
    inner = found.get("full_attention", found) if isinstance(found, dict) else {}
    return inner if isinstance(inner, dict) else {}


def rope_type(config: Mapping[str, Any]) -> str:
    """How the rotary embedding is scaled; 'default' where it is not."""
    found = _named_type(rope_settings(config))
    phi3 = config.get("model_type") == "phi3" and found in ("su", "yarn")  # older names, taken so by transformers
    return "longrope" if phi3 or found == "su" else found


def _named_type(settings: Mapping[str, Any]) -> str:
    return str(settings.get("rope_type") or settings.get("type") or "default")


def _window(config: Mapping[str, Any]) -> int:
    """The tokens that a layer looks back at most; 0 where all look back all the way."""
    window = setting(config, "sliding_window")
    if not isinstance(window, int) or setting(config, "use_sliding_window") is False:
        return 0
    types = config.get("layer_types")
    if isinstance(types, list) and "sliding_attention" not in types:
        return 0
    first = setting(config, "max_window_layers")
    layers = setting(config, "num_hidden_layers")
    if not isinstance(types, list) and isinstance(first, int) and isinstance(layers, int) and first >= layers:
        return 0
    return window
