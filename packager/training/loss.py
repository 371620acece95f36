"""Cross entropy over trained tokens, with what a person wants to see of it, and without all logits at once.

Logits are made only where a token is trained, and what all rows of a batch begin with (the system
message) is computed once; `compute.choose` proves both against the model's own forward. Sums are an
fp32 tensor [3]: cross entropy (nats; the only one with a gradient), tokens whose likeliest guess is
right, entropy of the predictions (nats).
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from packager.prompt.masking import Encoded
from packager.training import attention
from packager.training.batches import Batch, collate
from packager.training.model import Trainee
from packager.training.model_parts import Unfit, body_of, head_of, hidden_of

CHUNK = 128
"""Positions whose logits exist at once on a CPU: 25 MB in fp32 for a vocabulary of 49,152."""

Judge = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Shortcuts:
    """What may be left out of the computation without changing its result."""

    select: bool
    """Run the model's body, then its head on the trained positions only."""
    share_prefix: bool
    """Run what all rows begin with once, and let every row attend to it."""


def summed(trainee: Trainee, rows: Sequence[Encoded], shortcuts: Shortcuts) -> Tensor:
    """The cross entropy summed over the trained tokens of `rows`, side by side: an fp32 scalar."""
    return batch_sums(trainee, collate(rows, share_prefix=shortcuts.share_prefix), shortcuts)[0]


def own(trainee: Trainee, rows: Sequence[Encoded]) -> float:
    """What `summed` is by the model's own forward, one row after the other; where the model can do that, with logits
    only for what is trained, as those of a long row are gigabytes."""
    causal = trainee.peft.get_base_model()
    if "logits_to_keep" not in inspect.signature(type(causal).forward).parameters:
        plain = Shortcuts(select=False, share_prefix=False)
        return sum(summed(trainee, [row], plain).item() for row in rows)
    found = 0.0
    for row in rows:
        batch = collate([row], share_prefix=False).to(trainee.device)
        logits = causal(input_ids=batch.ids, use_cache=False, logits_to_keep=batch.positions).logits[0]
        found += logit_sums(logits, batch.targets)[0].item()
    return found


def batch_sums(trainee: Trainee, batch: Batch, shortcuts: Shortcuts) -> Tensor:
    """The sums of rows side by side."""
    batch = batch.to(trainee.device)
    causal = trainee.peft.get_base_model()
    if not shortcuts.select:
        logits = causal(input_ids=batch.ids, use_cache=False).logits.flatten(0, 1)[batch.positions]
        return logit_sums(logits, batch.targets)
    hidden = _hidden(causal, batch, shortcuts)[batch.positions]
    return head_sums(hidden, head_of(causal), batch.targets)


def _hidden(causal: Any, batch: Batch, shortcuts: Shortcuts) -> Tensor:
    """The body's last hidden states [prefix + rows * length, hidden]."""
    body = body_of(causal)
    if not shortcuts.share_prefix:
        return hidden_of(body(input_ids=batch.ids, use_cache=False)).flatten(0, 1)
    shared, (rows, width) = batch.prefix.shape[1], batch.ids.shape
    # One sequence, so that the weights are read once and no small product is made for the prefix alone.
    ids = torch.cat([batch.prefix, batch.ids.view(1, -1)], dim=1)
    places = torch.arange(shared + width, device=ids.device)
    places = torch.cat([places[:shared], places[shared:].repeat(rows)])[None]
    with attention.side_by_side(causal):
        return hidden_of(body(input_ids=ids, position_ids=places, use_cache=False, shared=shared, rows=rows))[0]


def head_sums(hidden: Tensor, head: Any, targets: Tensor, chunk: int = CHUNK, *, compiled: bool = False) -> Tensor:
    """Sums of head(hidden) against `targets`: hidden [n, h], targets [n] int64."""
    if type(head) is nn.Linear and head.bias is None and not head.weight.requires_grad:
        if head.in_features != hidden.shape[-1]:
            raise Unfit("there is more than one product between its body and its logits")
        loss, rest = HeadLoss.apply(hidden, head.weight, targets, chunk, _compiled_judge() if compiled else judge)
        return torch.cat([loss[None], rest])
    return logit_sums(head(hidden), targets)


def logit_sums(logits: Tensor, targets: Tensor) -> Tensor:
    """Sums of logits [n, vocabulary] against `targets` [n]."""
    loss = functional.cross_entropy(logits.float(), targets, reduction="sum")
    with torch.no_grad():
        log_p = logits.detach().float().log_softmax(-1)
        right = (log_p.argmax(-1) == targets).sum()
        entropy = -(log_p.exp() * log_p).sum()
    return torch.stack([loss, right.float(), entropy])


class HeadLoss(torch.autograd.Function):
    """Sum over rows i of -log softmax(h W')[i, target_i], W frozen, and the two other sums.

    h [n, hidden], W [vocabulary, hidden], targets [n] int64 -> fp32 scalar and fp32 [2]. The gradient
    is made on the way, chunk by chunk, so that the logits [n, vocabulary] never exist as a whole.
    """

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, chunk: int, judge: Judge
    ) -> tuple[Tensor, Tensor]:
        grad = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        sums = torch.zeros(3, dtype=torch.float32, device=hidden.device)
        for start in range(0, hidden.shape[0], chunk):
            part = slice(start, start + chunk)
            found, residual = judge(hidden[part] @ weight.t(), targets[part])
            sums += found
            if grad is not None:
                torch.mm(residual, weight, out=grad[part])
        ctx.save_for_backward(grad)
        loss, rest = sums[0].clone(), sums[1:].clone()
        ctx.mark_non_differentiable(rest)
        return loss, rest

    @staticmethod
    def backward(ctx: Any, grad_loss: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = ctx.saved_tensors
        return grad * grad_loss.to(grad.dtype), None, None, None, None


def judge(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Logits [n, vocabulary] -> their sums, and softmax minus one-hot targets in the type of the logits."""
    at = targets[:, None]
    chosen, best = logits.gather(1, at).float(), logits.amax(-1, keepdim=True)
    log_p = functional.log_softmax(logits.float(), dim=-1)
    loss = log_p.gather(1, at)
    p = log_p.exp()
    # Summing p log p costs one pass over what is in the cache; a second exponential would cost two.
    entropy = -torch.dot(p.flatten(), log_p.flatten())
    right = (chosen >= best).sum()
    p.scatter_add_(1, at, p.new_full(at.shape, -1.0))
    return torch.stack([-loss.sum(), right.float(), entropy]), p.to(logits.dtype)


@functools.cache
def _compiled_judge() -> Judge:
    """The same in two passes over the logits, for a GPU."""

    def judged(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        wide = logits.float()
        total = wide.logsumexp(-1, keepdim=True)
        log_p = wide - total
        p = log_p.exp()
        hit = torch.arange(logits.shape[1], device=logits.device) == targets[:, None]
        loss = -torch.where(hit, log_p, 0.0).sum()
        right = (wide.argmax(-1) == targets).sum()
        entropy = -(p * log_p).sum()
        return torch.stack([loss, right.float(), entropy]), (p - hit.float()).to(logits.dtype)

    return torch.compile(judged, dynamic=True)
