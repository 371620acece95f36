"""Attention over rows that lie in one sequence, each seeing itself only.

On a GPU they lie end to end. Where torch has FlashAttention for the card, it is told where the rows
begin; elsewhere a mask says which tokens are of one row. On a CPU they are of one width, after what
all of them begin with. Fails with `Unfit` for a model whose attention is of another kind, or with what
its own code says to it; `compute.choose` then falls back.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from packager.training.model_parts import Unfit, attend_by

_varlen: Any = None
try:  # torch 2.11 and later
    from torch.nn.attention.varlen import varlen_attn as _varlen

    if "enable_gqa" in inspect.signature(_varlen).parameters:  # it wants to be told that heads share keys
        _varlen = functools.partial(_varlen, enable_gqa=True)
except ImportError:
    pass

PACKED, BESIDE = "packager_packed", "packager_beside"
"""The names that transformers knows `packed` and `beside` by."""
EAGER_BELOW = 512
"""Tokens a row under which plain matrix products beat the fused attention of a CPU."""


def has_flash(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether torch brings FlashAttention for rows of different lengths on this device."""
    if device.type != "cuda" or dtype == torch.float32 or _varlen is None:
        return False
    return torch.cuda.get_device_capability(device) >= (8, 0)


def register() -> None:
    """Make both known to transformers. It registers no mask functions, so no masks are made for them."""
    from transformers import AttentionInterface

    AttentionInterface.register(PACKED, packed)
    AttentionInterface.register(BESIDE, beside)


@contextlib.contextmanager
def side_by_side(causal: Any) -> Iterator[None]:
    """`causal` attends with `beside` for so long, and then as before."""
    own = causal.config._attn_implementation
    register()
    attend_by(causal, BESIDE)
    try:
        yield
    finally:
        causal.set_attn_implementation(own)


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


def row_mask(starts: Tensor, size: int, window: int | None = None) -> Tensor:
    """[1, 1, size, size] bool: true where a token may look, at its own row up to itself, and with a `window` no
    further back than that many tokens, itself included."""
    at = torch.arange(size, device=starts.device)
    row = torch.searchsorted(starts.to(at.dtype), at, right=True)
    seen = (row[:, None] == row) & (at[:, None] >= at)
    if window is not None:
        seen &= at[:, None] - at < window
    return seen[None, None]


def window_of(causal: Any, longest: int) -> int | None:
    """The window of every layer that attends within one, where rows are longer; None where none of them notices.

    Raises `Unfit` for a model whose layers differ in it: one mask cannot serve them all.
    """
    config = causal.config.get_text_config()
    of_layers = {module.sliding_window for module in causal.modules() if hasattr(module, "sliding_window")}
    if not of_layers:  # Phi-3 and Mistral hand the configuration's on
        of_layers = {getattr(config, "sliding_window", None) if getattr(config, "use_sliding_window", True) else None}
    noticed = {window if window and window < longest else None for window in of_layers}
    if len(noticed) > 1:
        raise Unfit("its layers attend within different windows, and a row is longer")
    return noticed.pop()


def beside(
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
    shared: int,
    rows: int,
    **_: Any,
) -> tuple[Tensor, None]:
    """transformers' interface, for `rows` rows of one width after `shared` tokens that all of them begin with.

    query [1, heads, n, d], key and value [1, kv_heads, n, d] -> [1, n, heads, d], n = shared + rows * width.
    """
    if softcap is not None:
        raise ValueError("capped logits are not to be had here")
    n, heads, d = query.shape[2], query.shape[1], query.shape[3]
    width = (n - shared) // rows
    scale = d**-0.5 if scaling is None else scaling
    attend = functools.partial(_causal, scale=scale, dropout=dropout, window=sliding_window or n)
    q, k, v = (s[0, :, shared:].view(-1, rows, width, d).transpose(0, 1) for s in (query, key, value))
    if not shared:
        return attend(q, k, v).transpose(1, 2).reshape(1, n, heads, d), None
    q0, k0, v0 = (s[:, :, :shared] for s in (query, key, value))
    k = torch.cat([k0.expand(rows, -1, -1, -1), k], dim=2)
    v = torch.cat([v0.expand(rows, -1, -1, -1), v], dim=2)
    out = attend(q, k, v).transpose(1, 2).reshape(1, rows * width, heads, d)
    return torch.cat([attend(q0, k0, v0).transpose(1, 2), out], dim=1), None


def _causal(q: Tensor, k: Tensor, v: Tensor, scale: float, dropout: float, window: int) -> Tensor:
    """q [rows, heads, n, d] of the last n of m tokens, k and v [rows, kv_heads, m, d] -> [rows, heads, n, d].

    A token sees itself and the `window` - 1 before it.
    """
    rows, heads, n, d = q.shape
    kv_heads, m = k.shape[1], k.shape[2]
    seen = torch.ones((n, m), dtype=torch.bool).tril(m - n).triu(m - n - window + 1)
    if m >= EAGER_BELOW:
        return functional.scaled_dot_product_attention(q, k, v, seen, dropout, scale=scale, enable_gqa=True)
    hidden = torch.zeros((n, m), dtype=q.dtype).masked_fill(~seen, -torch.inf).repeat(heads // kv_heads, 1)
    q = q.reshape(rows * kv_heads, -1, d)  # heads that share keys are more queries of one head
    k, v = k.reshape(-1, m, d), v.reshape(-1, m, d)
    p = functional.dropout(torch.baddbmm(hidden, q, k.transpose(1, 2), alpha=scale).softmax(-1), dropout)
    return torch.bmm(p, v).view(rows, heads, n, d)
