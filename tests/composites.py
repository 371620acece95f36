"""Models of pictures and text of the real classes: tiny, with random weights and a SentencePiece tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sentencepiece_base

TEXT = {"vocab_size": 352, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 4,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512}  # fmt: skip
SEES = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
        "image_size": 56, "patch_size": 14}  # fmt: skip
QWEN_SEES = {"depth": 1, "hidden_size": 16, "intermediate_size": 32, "num_heads": 2, "out_hidden_size": 32}
THREE_AXES = {"type": "mrope", "mrope_section": [1, 1, 2]}
GEMMA = {"model_type": "gemma3_text", "head_dim": 8, "query_pre_attn_scalar": 8, "sliding_window": 8,
         "sliding_window_pattern": 6, "rope_scaling": {"factor": 8.0, "rope_type": "linear"}}  # fmt: skip
KINDS: dict[str, tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "gemma3": ("gemma3", GEMMA, SEES, {"mm_tokens_per_image": 4}),
    "mistral": ("mistral3", {"model_type": "mistral", "head_dim": 8}, SEES | {"model_type": "pixtral", "head_dim": 8},
                {"tie_word_embeddings": False}),
    "ministral": ("mistral3", {"model_type": "ministral3", "head_dim": 8, "tie_word_embeddings": True},
                  SEES | {"model_type": "pixtral", "head_dim": 8}, {}),
    "llava": ("llava", {"model_type": "llama"}, SEES | {"model_type": "clip_vision_model"}, {}),
    "idefics3": ("idefics3", {"model_type": "llama"}, SEES, {}),
    "smolvlm": ("smolvlm", {"model_type": "llama"}, SEES, {}),
    "internvl": ("internvl", {"model_type": "qwen2"}, SEES | {"image_size": [56, 56], "patch_size": [14, 14]}, {}),
    "qwen2_vl": ("qwen2_vl", {"rope_scaling": THREE_AXES, "bos_token_id": 1, "eos_token_id": 4},
                 {"depth": 1, "embed_dim": 16, "num_heads": 2, "hidden_size": 32}, {}),
    "qwen2_5_vl": ("qwen2_5_vl", {"rope_scaling": THREE_AXES, "bos_token_id": 1, "eos_token_id": 4}, QWEN_SEES, {}),
    "qwen3_vl": ("qwen3_vl", {"head_dim": 8, "rope_scaling": {"rope_type": "default", "mrope_interleaved": True,
                                                             "mrope_section": [2, 1, 1]}},
                 QWEN_SEES | {"deepstack_visual_indexes": [0]}, {}),
}  # fmt: skip
"""Outer model type, its text and vision configuration, and the outer fields, each of the real class and tiny."""


def write_composite(name: str, folder: Path, **text_fields: Any) -> Any:
    """A composite of random weights with a SentencePiece tokenizer, in `folder`; returns the model."""
    import torch
    from transformers import CONFIG_MAPPING, AutoModelForImageTextToText

    kind, text, sees, outer = KINDS[name]
    config = CONFIG_MAPPING[kind](text_config=TEXT | text | text_fields, vision_config=sees, **outer)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForImageTextToText.from_config(config).eval()
        for label, parameter in model.named_parameters():
            if label.endswith(".bias") or "norm" in label:  # fresh ones say nothing about an order mixed up
                torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder)
    sentencepiece_base.write_sentencepiece(folder)
    return model
