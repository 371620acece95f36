"""The loss: cross entropy summed over the trained tokens of a batch, logits only where it needs them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

CHUNK = 128
"""Positions whose logits exist at once: at 150,000 tokens of vocabulary 75 MB in fp32."""


class HeadLoss(torch.autograd.Function):
    """Sum over rows i of -log softmax(h W')[i, target_i], W frozen.

    h [n, hidden], W [vocabulary, hidden], targets [n] int64 -> fp32 scalar. The gradient is made
    on the way, chunk by chunk, so that the logits [n, vocabulary] never exist as a whole.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        wanted = ctx.needs_input_grad[0]
        grad = torch.empty_like(hidden) if wanted else None
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
