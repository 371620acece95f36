"""The loss: cross entropy summed over the trained tokens of a batch, with less work than the model's own.

Logits are made only where a token is trained, and the tokens that all rows of a batch begin with
(the system message) are computed once. `choose` proves both against the model's own forward.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from packager import progress
from packager.chat import Encoded
from packager.stages.training.batches import Batch, collate
from packager.stages.training.model import Trainee

CHUNK = 128
"""Positions whose logits exist at once: 25 MB in fp32 for a vocabulary of 49,152."""
TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 3e-2}
"""How far a shortcut's loss may be from the model's own, relatively."""


@dataclass(frozen=True)
class Shortcuts:
    """What may be left out of the computation without changing its result."""

    select: bool
    """Run the model's body, then its head on the trained positions only."""
    share_prefix: bool
    """Run what all rows begin with once, and let every row attend to it."""


def choose(trainee: Trainee, rows: Sequence[Encoded]) -> Shortcuts:
    """The most shortcuts that give the model's own loss on two short rows.

    A model that does more around its head than one product (Gemma 2 caps its logits, Granite
    scales them), or whose cache works differently, gets fewer or none.
    """
    pair = sorted(rows, key=lambda row: len(row.ids))[:2]
    plain = Shortcuts(select=False, share_prefix=False)
    on_cpu = trainee.device.type == "cpu"
    trainee.peft.eval()
    with torch.no_grad():
        expected = summed(trainee, pair, plain)
        for candidate in (Shortcuts(True, True), Shortcuts(True, False)):
            if candidate.share_prefix and not on_cpu:  # a GPU has units to spare, and its cache costs launches
                continue
            try:
                found = summed(trainee, pair, candidate)
            except (AttributeError, TypeError, ValueError, IndexError, RuntimeError) as error:
                progress.note(f"{candidate} does not fit this model: {error}")
                continue
            if torch.allclose(found, expected, rtol=TOLERANCE[trainee.dtype]):
                return candidate
    return plain


def summed(trainee: Trainee, rows: Sequence[Encoded], shortcuts: Shortcuts) -> Tensor:
    """The cross entropy summed over the trained tokens of `rows`, an fp32 scalar."""
    batch = collate(rows, trainee.device, share_prefix=shortcuts.share_prefix)
    causal = trainee.peft.get_base_model()
    if not shortcuts.select:
        logits = causal(input_ids=batch.ids, use_cache=False).logits.flatten(0, 1)[batch.positions]
        return functional.cross_entropy(logits.float(), batch.targets, reduction="sum")
    hidden = _hidden(causal, batch).flatten(0, 1)[batch.positions]
    head = causal.get_output_embeddings()
    if type(head) is nn.Linear and head.bias is None and not head.weight.requires_grad:
        total: Tensor = HeadLoss.apply(hidden, head.weight, batch.targets)
        return total
    return functional.cross_entropy(head(hidden).float(), batch.targets, reduction="sum")


def _hidden(causal: Any, batch: Batch) -> Tensor:
    """The body's last hidden states [rows, length, hidden] of `batch.ids`."""
    from transformers import DynamicCache

    body = getattr(causal, causal.base_model_prefix)
    cache = None
    if batch.prefix.shape[1]:
        # The cached keys and values keep their history for autograd, so the prefix is trained as well.
        cache = DynamicCache(config=causal.config)
        body(input_ids=batch.prefix, past_key_values=cache, use_cache=True)
        cache.batch_repeat_interleave(batch.ids.shape[0])
    states: Tensor = body(input_ids=batch.ids, past_key_values=cache, use_cache=cache is not None).last_hidden_state
    return states


class HeadLoss(torch.autograd.Function):
    """Sum over rows i of -log softmax(h W')[i, target_i], W frozen.

    h [n, hidden], W [vocabulary, hidden], targets [n] int64 -> fp32 scalar. The gradient is made
    on the way, chunk by chunk, so that the logits [n, vocabulary] never exist as a whole.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        grad = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        for start in range(0, hidden.shape[0], CHUNK):
            part = slice(start, start + CHUNK)
            at = targets[part, None]
            log_p = functional.log_softmax((hidden[part] @ weight.t()).float(), dim=-1)
            total -= log_p.gather(1, at).sum()
            if grad is not None:
                p = log_p.exp_()
                p.scatter_add_(1, at, p.new_full(at.shape, -1.0))
                torch.mm(p.to(hidden.dtype), weight, out=grad[part])
        ctx.save_for_backward(grad)
        return total

    @staticmethod
    def backward(ctx: Any, grad_total: Tensor) -> tuple[Tensor, None, None]:
        (grad,) = ctx.saved_tensors
        return grad * grad_total.to(grad.dtype), None, None
