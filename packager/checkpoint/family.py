"""Can the line train, merge and convert a model of this class?

config.json and the names of the weights -> nothing, or what stands in the way, in words. The line takes
decoders of text with attention and dense layers; what transformers loads and what llama.cpp's converter
writes must be the same class.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from packager.checkpoint import composite
from packager.checkpoint import transformers_tables as tables
from packager.errors import InputError
from packager.llamacpp.converter import known_architectures

FAMILY_TEXT = (
    "use the text model of the same family, or one whose text part is taken out"
    f" (model_type {', '.join(sorted(composite.TEXT_PARTS))}); or "
)
PARTS = ("vision_config", "audio_config", "text_config", "thinker_config", "llm_config", "language_config")
"""Fields of config.json that say that a model is put together from several."""
PART_NAMES = re.compile(r"(^|\.)(vision_tower|vision_model|visual|audio_tower|multi_modal_projector)\.")
EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts", "num_experts_per_tok", "moe_topk")
EXPERT_NAMES = re.compile(r"\.(experts|block_sparse_moe)\.")
ATTENTION = ("attention", "full_attention", "sliding_attention")
STATE_NAMES = re.compile(r"\.(A_log|ssm|mamba|conv|conv1d|short_conv|linear_attn|time_mix\w*|time_mixer|rg_lru)\b")
"""Weights of layers that carry a state from token to token instead of attending."""
STATE_TYPES = re.compile(r"mamba|rwkv|xlstm|jamba|bamba|zamba|lfm2|lfm3|recurrent|falcon_h1|nemotron_h|kimi_linear")
TRANSPOSED = ("gpt2", "gpt-sw3", "openai-gpt", "ctrl", "gpt_bigcode", "imagegpt")
"""Model types that keep their matrices as [in, out], or that share one key among all heads in one matrix."""
INSTEAD = "use a text model with dense layers, such as a Llama, Qwen2.5, Qwen3, Gemma 3 (text), Phi-3 or SmolLM"


def family_problem(config: Mapping[str, Any], names: Collection[str], source: str) -> InputError | None:
    """What keeps this class from the line. `names` are those of its tensors; raises nothing."""
    listed = config.get("architectures")
    if not (isinstance(listed, list) and listed and all(isinstance(one, str) for one in listed)):
        return InputError(
            f"config.json of {source} names no model class: architectures is {listed!r}, a list of one was expected.",
            "download config.json again, or write the class into it",
        )
    architecture, model_type = listed[0], str(config.get("model_type", ""))
    if problem := _kind_problem(config, names, f"{source} is a {architecture}", model_type, architecture):
        return problem
    if architecture not in known_architectures():
        return InputError(f"{source} is a {architecture}, which the GGUF converter does not know.", INSTEAD)
    loaded = tables.causal_class(model_type)
    if loaded.lower() != architecture.lower():
        what = f"loads a {loaded}" if loaded else "knows none that writes text"
        return InputError(
            f"{source} says architectures: [{architecture}], but for its model_type, {model_type!r}, transformers"
            f" {what}.",
            "correct the two in config.json after the base's own card, or " + INSTEAD,
        )
    if problem := _experts_problem(config, names, f"{source} is a {architecture}"):
        return problem
    return _layers_problem(config, names, f"{source} is a {architecture}", model_type)


def _kind_problem(
    config: Mapping[str, Any], names: Collection[str], what: str, model_type: str, architecture: str
) -> InputError | None:
    parts = [name for name in PARTS if config.get(name)]
    seen = next((name for name in names if PART_NAMES.search(name)), "")
    kind = tables.kind_of(model_type)
    decoder = tables.causal_class(model_type).lower() == architecture.lower()
    if parts or seen:
        kind = "put together from several models"
    elif kind and decoder and not architecture.endswith("ForConditionalGeneration"):
        kind = ""  # a type that is in several tables, by the class that is named here
    elif not kind and config.get("is_encoder_decoder"):
        kind = "an encoder with a decoder"
    if not kind:
        return None
    why = "; ".join(filter(None, (", ".join(parts) or seen, composite.why_not(config))))
    fix = (FAMILY_TEXT if kind.startswith(("a model of", "put")) else "") + INSTEAD
    if model_type in composite.TEXT_PARTS and not parts:
        fix = "download config.json again; or " + INSTEAD
    return InputError(f"{what}, {kind}{f' ({why})' if why else ''}; the line trains and proves decoders of text.", fix)


def _experts_problem(config: Mapping[str, Any], names: Collection[str], what: str) -> InputError | None:
    numbers = [name for name in EXPERTS if isinstance(config.get(name), int) and config[name] > 0]
    seen = next((name for name in names if EXPERT_NAMES.search(name)), "")
    if not (numbers or seen):
        return None
    said = ", ".join(f"{name}: {config[name]}" for name in numbers) or seen
    return InputError(
        f"{what}, a mixture of experts ({said}); the adapter would leave its experts out, and the proof would not"
        " see all of them.",
        INSTEAD,
    )


def _layers_problem(config: Mapping[str, Any], names: Collection[str], what: str, model_type: str) -> InputError | None:
    kinds = config.get("layer_types") or config.get("layers_block_type") or []
    others = sorted({str(one) for one in kinds} - set(ATTENTION)) if isinstance(kinds, list) else [str(kinds)]
    seen = next((name for name in names if STATE_NAMES.search(name)), "")
    if others or seen or STATE_TYPES.search(model_type):
        said = ", ".join(others) or seen or model_type
        return InputError(
            f"{what}, which has layers that are no attention ({said}): they carry a state from one token to the next,"
            " which training on rows that lie end to end does not keep apart.",
            INSTEAD,
        )
    if model_type in TRANSPOSED:
        return InputError(f"{what}, whose matrices lie in an order that the merge does not know.", INSTEAD)
    return None
