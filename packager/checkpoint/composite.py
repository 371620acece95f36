"""A model of pictures and text -> the model of text in it.

config.json and every tensor's shape -> the config.json of the text model, the names of its tensors, and what is
left out, in words. The text model of the kinds in `TEXT_PARTS` is a class of its own, which predicts the same
where there is no picture; `tests/checkpoint/test_composite.py` runs both. Nothing here fails: a kind that is not
among them is no composite, and `family` says why it is refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from packager.checkpoint import transformers_tables as tables
from packager.checkpoint.layout import Shapes
from packager.errors import InputError

TEXT_PARTS = {
    "gemma3": ("gemma3_text",),
    "mistral3": ("mistral", "ministral3"),
    "llava": ("llama", "mistral", "qwen2"),
    "idefics3": ("llama",),
    "smolvlm": ("llama",),
    "internvl": ("qwen2", "qwen3", "llama"),
    "qwen2_vl": ("qwen2",),
    "qwen2_5_vl": ("qwen2",),
    "qwen3_vl": ("qwen3",),
}
"""The model types of composites whose text part is taken, and what that may be; the first where it is not said."""
PLAIN = {"qwen2_vl_text": "qwen2", "qwen2_vl": "qwen2", "qwen2_5_vl_text": "qwen2", "qwen2_5_vl": "qwen2",
         "qwen3_vl_text": "qwen3"}  # fmt: skip
"""Text parts that count positions along three axes, for pictures; in a text the three are one, as in these types."""
NOT_TAKEN = {
    "gemma3n": "the text part has a table for every layer, and layers that share their keys",
    "gemma4": "the text part has layers of two widths, which the line does not train",
    "gemma4_unified": "the text part has layers of two widths, which the line does not train",
    "paligemma": "the text part looks both ways over the question, and llama.cpp does not",
    "mllama": "every few layers look at the picture (cross attention)",
    "qwen3_5": "the text part has layers that carry a state instead of attending",
    "qwen3_5_moe": "the text part is a mixture of experts",
    "qwen3_vl_moe": "the text part is a mixture of experts",
    "llama4": "the text part is a mixture of experts",
}
"""Why the text part of other composites is not taken."""
AXES = ("mrope_section", "mrope_interleaved")
_OUTER = ("vision_config", "text_config", "audio_config", "architectures", "model_type", "vision_start_token_id",
          "vision_end_token_id", "vision_token_id", "image_token_id", "video_token_id")  # fmt: skip
"""Fields of a config.json that holds the text part's between them (Qwen2.5-VL as it was published)."""
_TEXT = (
    (re.compile(r"^language_model\.(model|lm_head)\."), r"\1."),
    (re.compile(r"^model\.(language_model|text_model)\."), "model."),
    (re.compile(r"^(lm_head|model\.(layers|embed_tokens|norm))\."), r"\1."),
)
"""How the text part's tensors are called, and what they are called in a model of their own."""
_OTHER = re.compile(r"^(model\.)?(vision_tower|vision_model|visual|multi_modal_projector|connector)\.")
HEAD = "lm_head.weight"


@dataclass(frozen=True)
class TextPart:
    """The model of text in a composite."""

    config: Mapping[str, Any]
    names: Mapping[str, str]
    """What each of its tensors is called in the composite's files, by its own name."""
    shapes: Shapes
    left_out: str
    """What is left out, in words."""
    problems: tuple[InputError, ...] = ()


def text_config(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """The config.json of the text part; None if this is no composite whose text part is taken."""
    kinds = TEXT_PARTS.get(str(config.get("model_type")))
    inner = config.get("text_config")
    if not kinds or not isinstance(config.get("vision_config"), dict):
        return None
    flat = {name: value for name, value in config.items() if name not in _OUTER}
    text = dict(inner) if isinstance(inner, dict) and inner else flat
    said = str(text.get("model_type", kinds[0]))
    kind = PLAIN.get(said, said)
    if kind not in kinds:
        return None
    outer = {name: config[name] for name in ("quantization_config", "auto_map") if name in config}
    tokens = {name: config[name] for name in ("bos_token_id", "eos_token_id", "pad_token_id") if name in config}
    text = tokens | text | {"model_type": kind, "architectures": [tables.causal_class(kind)], **outer}
    for name in ("rope_scaling", "rope_parameters"):
        if isinstance(text.get(name), dict) and any(axis in text[name] for axis in AXES):
            text[name] = _one_axis(text[name])
    return text


def text_part(config: Mapping[str, Any], shapes: Shapes) -> TextPart:
    """The text part of a composite that `text_config` takes, by the shapes of all its tensors."""
    names, others, odd = {}, [], []
    for stored in shapes:
        if name := _text_name(stored):
            names[name] = stored
        elif _OTHER.match(stored):
            others.append(stored)
        else:
            odd.append(stored)
    text = dict(text_config(config) or {})
    text["tie_word_embeddings"] = _tied(config, text, HEAD in names)
    modules = sorted({match[2] for name in others if (match := _OTHER.match(name))})
    size = sum(math.prod(shapes[name]) for name in others)
    problem = InputError(
        f"The weights hold {odd[0] if odd else ''}{f' and {len(odd) - 1} more' if len(odd) > 1 else ''}, which belongs"
        " neither to the text part of this model nor to its part for pictures.",
        "use the text model of the same family, or download the base again",
    )
    return TextPart(
        config=text,
        names=names,
        shapes={name: shapes[stored] for name, stored in names.items()},
        left_out=f"its part for pictures ({size:,} parameters: {', '.join(modules) or 'none'})",
        problems=(problem,) if odd else (),
    )


def why_not(config: Mapping[str, Any]) -> str:
    """Why the text part of a composite is not taken, in words ('' if nothing is known of its kind)."""
    model_type, inner = str(config.get("model_type")), config.get("text_config")
    kinds = TEXT_PARTS.get(model_type)
    if not kinds:
        return NOT_TAKEN.get(model_type, "")
    if not isinstance(config.get("vision_config"), dict):
        return "its config.json lacks vision_config, as that of no such model does"
    said = inner.get("model_type") if isinstance(inner, dict) else None
    return f"its text part is of model_type {said!r}, which is not among those taken: {', '.join(kinds)}"


def _text_name(stored: str) -> str:
    for pattern, name in _TEXT:
        if pattern.match(stored):
            return pattern.sub(name, stored)
    return ""


def _tied(config: Mapping[str, Any], text: Mapping[str, Any], has_head: bool) -> bool:
    """Is the head the embedding? Inner and outer configuration may differ (transformers writes a default into
    the outer one); a head of its own is one, unless the text part itself says that it is not."""
    inner, outer = text.get("tie_word_embeddings"), config.get("tie_word_embeddings")
    if has_head:
        return inner is True
    said = [one for one in (inner, outer) if isinstance(one, bool)]
    return any(said) if said else bool(tables.default(str(text.get("model_type")), "tie_word_embeddings"))


def _one_axis(rope: Mapping[str, Any]) -> dict[str, Any] | None:
    kept = {name: value for name, value in rope.items() if name not in AXES and value != "mrope"}
    return kept or None
