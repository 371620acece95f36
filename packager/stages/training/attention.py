"""Attention over rows that lie end to end, each seeing itself only.

Where torch has FlashAttention for the card, it is told where the rows begin; elsewhere a mask says
which tokens are of one row. Fails with `TypeError` or `ValueError` for a model whose attention is of
another kind; `compute.choose` then falls back.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any

import torch
from torch import Tensor

_varlen: Any = None
try:  # torch 2.11 and later
    from torch.nn.attention.varlen import varlen_attn as _varlen

    if "enable_gqa" in inspect.signature(_varlen).parameters:  # it wants to be told that heads share keys
        _varlen = functools.partial(_varlen, enable_gqa=True)
except ImportError:
    pass

PACKED = "packager_packed"
"""The name that transformers knows it by."""


def has_flash(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether torch brings FlashAttention for rows of different lengths on this device."""
    if device.type != "cuda" or dtype == torch.float32 or _varlen is None:
        return False
    return torch.cuda.get_device_capability(device) >= (8, 0)


def register() -> None:
    """Make `PACKED` known to transformers. It registers no mask function, so no mask is made for it."""
    from transformers import AttentionInterface

    AttentionInterface.register(PACKED, packed)


def packed(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    *,
    cu_seq_lens_q: Tensor,
    max_length_q: int,
    **_: Any,
) -> tuple[Tensor, None]:
    """transformers' interface: query [1, heads, n, d], key and value [1, kv_heads, n, d] -> [1, n, heads, d].

    `cu_seq_lens_q` [rows + 1] int32 holds where each row begins, and n; no row is longer than `max_length_q`.
    """
    if softcap is not None or dropout:
        raise ValueError("neither capped logits nor dropout of attention is to be had here")
    q, k, v = (states[0].transpose(0, 1) for states in (query, key, value))
    window = (-1 if sliding_window is None else sliding_window - 1, 0)
    longest = max_length_q
    out = _varlen(q, k, v, cu_seq_lens_q, cu_seq_lens_q, longest, longest, scale=scaling, window_size=window)
    return out.unsqueeze(0), None


def row_mask(starts: Tensor, size: int) -> Tensor:
    """[1, 1, size, size] bool: true where a token may look, at its own row up to itself."""
    at = torch.arange(size, device=starts.device)
    row = torch.searchsorted(starts.to(at.dtype), at, right=True)
    return ((row[:, None] == row) & (at[:, None] >= at))[None, None]
