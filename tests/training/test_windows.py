"""Rows in one sequence attend as the model itself does, windows and all."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from packager.training.attention import row_mask, window_of
from packager.training.model_parts import Unfit


def test_a_token_sees_its_row_and_its_window() -> None:
    starts = torch.tensor([0, 3, 8])
    seen = row_mask(starts, 8, window=2)[0, 0]
    rows = [0, 0, 0, 1, 1, 1, 1, 1]
    expected = [[rows[i] == rows[j] and j <= i < j + 2 for j in range(8)] for i in range(8)]
    assert seen.tolist() == expected
    assert row_mask(starts, 8)[0, 0].sum() == 6 + 15


def model(*windows: int | None, **config: Any) -> Any:
    layers = nn.ModuleList(nn.Identity() for _ in windows)
    for layer, window in zip(layers, windows, strict=True):
        layer.sliding_window = window  # type: ignore[assignment]
    causal: Any = layers
    causal.config = SimpleNamespace(get_text_config=lambda: SimpleNamespace(**config))
    return causal


def test_the_window_of_all_layers() -> None:
    assert window_of(model(100, 100), longest=101) == 100
    assert window_of(model(100, 100), longest=100) is None
    assert window_of(model(sliding_window=100), longest=200) == 100  # Phi-3, Mistral
    assert window_of(model(sliding_window=100, use_sliding_window=False), longest=200) is None
    assert window_of(model(None, None), longest=200) is None


def test_layers_that_differ_are_left_to_the_model() -> None:
    assert window_of(model(100, None), longest=50) is None
    with pytest.raises(Unfit, match="different windows"):
        window_of(model(100, None), longest=200)


def test_a_masked_sequence_is_as_rows_by_themselves() -> None:
    """Phi-3's own mask, against ours over two rows end to end."""
    from transformers import Phi3Config, Phi3ForCausalLM

    torch.manual_seed(0)
    config = Phi3Config(
        vocab_size=50, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, sliding_window=6, pad_token_id=0, initializer_range=0.3,
    )  # fmt: skip
    causal = Phi3ForCausalLM(config).eval()
    causal.set_attn_implementation("sdpa")
    one, two = torch.randint(50, (1, 20)), torch.randint(50, (1, 15))
    both, places = torch.cat([one, two], 1), torch.cat([torch.arange(20), torch.arange(15)])[None]
    starts = torch.tensor([0, 20, 35])
    with torch.no_grad():
        alone = torch.cat([causal(row, use_cache=False).logits for row in (one, two)], 1)
        window = window_of(causal, longest=20)
        found, without = (
            causal(both, position_ids=places, attention_mask=row_mask(starts, 35, w), use_cache=False).logits
            for w in (window, None)
        )
    assert window == 6
    assert (found - alone).abs().max() < 1e-4
    assert (without - alone).abs().max() > 1e-2
