"""Models of real shapes with random weights, and rows of real lengths: nothing is downloaded.

The lengths are figures only: of 128 rows of the flashcards in Qwen2.5's tokens and of 128 rows of
the APS questions in Phi-3's.
"""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from packager.prompt.masking import Encoded

# fmt: off
FLASHCARDS = (
    215, 80, 184, 71, 94, 69, 78, 204, 62, 67, 67, 66, 163, 190, 88, 142, 202, 241, 64, 62, 67, 70, 64, 209, 265, 237,
    100, 182, 60, 88, 180, 72, 64, 59, 176, 60, 59, 66, 197, 63, 72, 162, 58, 62, 72, 72, 207, 58, 69, 193, 233, 193,
    61, 218, 185, 170, 190, 177, 62, 145, 249, 60, 57, 177, 72, 121, 90, 261, 66, 64, 74, 151, 168, 243, 185, 55, 241,
    191, 61, 77, 45, 66, 204, 65, 147, 61, 69, 183, 85, 153, 60, 59, 66, 74, 61, 60, 70, 61, 70, 197, 57, 65, 71, 173,
    62, 72, 125, 189, 187, 62, 198, 212, 152, 59, 263, 172, 73, 190, 75, 196, 74, 65, 182, 66, 163, 211, 123, 64,
)
APS = (
    74, 64, 74, 60, 79, 72, 76, 64, 68, 79, 76, 50, 74, 64, 50, 79, 76, 82, 74, 53, 76, 79, 74, 68, 58, 50, 74, 77, 71,
    68, 74, 79, 61, 68, 74, 50, 56, 58, 61, 53, 87, 54, 79, 85, 67, 74, 74, 57, 58, 71, 68, 87, 64, 71, 58, 74, 68, 76,
    54, 71, 74, 87, 74, 64, 80, 74, 68, 74, 77, 64, 71, 71, 87, 67, 64, 77, 71, 80, 60, 56, 56, 77, 76, 61, 79, 85, 57,
    82, 74, 50, 74, 74, 68, 57, 76, 77, 71, 71, 74, 72, 82, 72, 87, 58, 77, 74, 61, 68, 76, 60, 82, 71, 54, 54, 74, 53,
    79, 74, 64, 74, 77, 67, 82, 74, 56, 53, 74, 54,
)
# fmt: on
TRAINED = 0.6
"""Share of a row's tokens that are the answer (0.59 in both data sets)."""


@dataclass(frozen=True)
class Shape:
    """A model's shape, and the data of the original that trained it."""

    config: dict[str, Any]
    lengths: tuple[int, ...]
    targets: Any
    examples_per_step: int
    original: dict[str, Any]
    """The original's micro-batch, what it padded to (None: the longest), and the type it computed in."""


SEVEN = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
SHAPES = {
    "qwen25_1.5b": Shape(
        {
            "model_type": "qwen2", "vocab_size": 151936, "hidden_size": 1536, "intermediate_size": 8960,
            "num_hidden_layers": 28, "num_attention_heads": 12, "num_key_value_heads": 2,
            "max_position_embeddings": 32768, "rms_norm_eps": 1e-6, "rope_theta": 1e6, "tie_word_embeddings": True,
        },
        FLASHCARDS, SEVEN, 16, {"batch": 4, "pad_to": None, "autocast": torch.float16},
    ),
    "phi3_mini": Shape(
        {
            "model_type": "phi3", "vocab_size": 32064, "hidden_size": 3072, "intermediate_size": 8192,
            "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 32,
            "max_position_embeddings": 4096, "rms_norm_eps": 1e-5, "tie_word_embeddings": False, "pad_token_id": 32000,
        },
        APS, "all-linear", 4, {"batch": 1, "pad_to": 512, "autocast": torch.bfloat16},
    ),
    "smollm2_135m": Shape(
        {
            "model_type": "llama", "vocab_size": 49152, "hidden_size": 576, "intermediate_size": 1536,
            "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3,
            "max_position_embeddings": 8192, "rms_norm_eps": 1e-5, "rope_theta": 1e5, "tie_word_embeddings": True,
        },
        FLASHCARDS, "all-linear", 8, {"batch": 8, "pad_to": None, "autocast": None},
    ),
}  # fmt: skip


def rows(shape: Shape, count: int, longer_to: int | None = None) -> list[Encoded]:
    """`count` rows of the shape's lengths (scaled `longer_to` the longest), of tokens as frequent as words (Zipf)."""
    chance = random.Random(0)
    tokens = range(100, shape.config["vocab_size"] - 100)
    weights = list(itertools.accumulate(1 / rank for rank in range(1, len(tokens) + 1)))
    scale = longer_to / max(shape.lengths) if longer_to else 1.0
    made = []
    for length in itertools.islice(itertools.cycle(shape.lengths), count):
        n = round(length * scale)
        ids = tuple(chance.choices(tokens, cum_weights=weights, k=n))
        answer = round(n * TRAINED)
        made.append(Encoded(ids, (False,) * (n - answer) + (True,) * answer))
    return made


def model(shape: Shape, device: torch.device, dtype: torch.dtype, *, nf4: bool = True) -> Any:
    """The model with random weights; the same ones at every call on the same device."""
    from transformers import AutoConfig, AutoModelForCausalLM

    settings = dict(shape.config)
    config = AutoConfig.for_model(settings.pop("model_type"), **settings)
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with device:
            made = AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation="sdpa")
    finally:
        torch.set_default_dtype(before)
    if nf4:
        quantize(made, dtype)
    return made


def quantize(made: Any, dtype: torch.dtype) -> None:
    """Every linear layer but the head in NF4, as `from_pretrained` does it."""
    import bitsandbytes as bnb

    for parent in list(made.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.Linear and name != "lm_head":
                layer = bnb.nn.Linear4bit(
                    child.in_features, child.out_features, bias=child.bias is not None, compute_dtype=dtype,
                    compress_statistics=True, quant_type="nf4", device="meta",
                )  # fmt: skip
                packed = bnb.nn.Params4bit(
                    child.weight.data, requires_grad=False, quant_type="nf4", compress_statistics=True, module=layer
                )
                layer.weight = packed.to(child.weight.device)
                layer.bias = child.bias
                setattr(parent, name, layer)
    made.is_loaded_in_4bit = True
    made.is_quantized = True
