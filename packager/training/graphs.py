"""The body of a model on a GPU: compiled layer by layer, its launches recorded and replayed.

A small step is bound by what Python launches, not by what the GPU computes: 2,048 tokens of a 1.5B
model are 5,700 kernels. torch.compile makes few of the many small ones, a CUDA graph one launch of
all. What cannot be recorded runs as it is, and `progress.note` says why.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from packager.process import progress
from packager.training.flat import Flat
from packager.training.model_parts import Unfit

Backward = Callable[[Tensor], None]


def layers_of(body: nn.Module) -> nn.ModuleList:
    """The layers of a decoder: the longest list of modules in it."""
    lists = [m for m in body.modules() if isinstance(m, nn.ModuleList)]
    if not lists:
        raise Unfit("it has no list of layers")
    return max(lists, key=len)


def prepare(layers: nn.ModuleList, *, compiled: bool, recompute: bool) -> None:
    """Have each layer run compiled while gradients are wanted, and recompute itself instead of keeping results.

    Nothing in a layer draws random numbers (see `lora_linear.drop`).
    """
    for layer in layers:
        plain = type(layer).forward.__get__(layer)
        layer.forward = _forward(plain, torch.compile(plain, dynamic=True) if compiled else plain, recompute)


def _forward(plain: Any, fast: Any, recompute: bool) -> Any:
    def forward(*args: Any, **kwargs: Any) -> Any:
        if not torch.is_grad_enabled():
            return plain(*args, **kwargs)
        if recompute:
            return checkpoint(fast, *args, use_reentrant=False, preserve_rng_state=False, **kwargs)
        return fast(*args, **kwargs)

    return forward


@dataclass(frozen=True)
class _Recording:
    given: Flat
    hidden: Tensor
    grad: Tensor
    ahead: torch.cuda.CUDAGraph
    back: torch.cuda.CUDAGraph


class Recorder:
    """Runs `forward` on a batch; on the second batch of a shape it is recorded, from then on replayed.

    Returns the hidden states [size, hidden] and what adds to the gradients of `parameters`, given
    that of the hidden states. Only one batch may be under way.
    """

    def __init__(self, forward: Callable[[Flat], Tensor], parameters: Sequence[nn.Parameter], *, record: bool) -> None:
        self.forward, self.parameters, self.record = forward, list(parameters), record
        self.met: set[tuple[int, int, int]] = set()
        self.recordings: dict[tuple[int, int, int], _Recording] = {}
        self.pool: Any = None

    def __call__(self, batch: Flat, device: torch.device) -> tuple[Tensor, Backward]:
        if self.record and batch.shape in self.met and batch.shape not in self.recordings:
            self._record(batch.to(device))
        self.met.add(batch.shape)
        recording = self.recordings.get(batch.shape)
        if recording is None:
            hidden = self.forward(batch.to(device))
            return hidden, lambda grad: self._add(torch.autograd.grad(hidden, self.parameters, grad))
        for name in ("ids", "positions", "starts"):
            getattr(recording.given, name).copy_(getattr(batch, name), non_blocking=True)
        recording.ahead.replay()

        def backward(grad: Tensor) -> None:
            recording.grad.copy_(grad)
            recording.back.replay()

        return recording.hidden, backward

    def _add(self, grads: Sequence[Tensor]) -> None:
        torch._foreach_add_([p.grad for p in self.parameters if p.grad is not None], tuple(grads))

    def _record(self, batch: Flat) -> None:
        given = replace(batch, **{f.name: getattr(batch, f.name).clone() for f in fields(batch) if f.name != "longest"})
        try:
            torch.cuda.synchronize()
            torch.cuda.empty_cache()  # while recording, memory that is only cached cannot be had
            self.pool = self.pool or torch.cuda.graph_pool_handle()
            ahead, back = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph()
            with torch.cuda.graph(ahead, pool=self.pool):
                hidden = self.forward(given)
            grad = torch.zeros_like(hidden)
            with torch.cuda.graph(back, pool=self.pool):
                self._add(torch.autograd.grad(hidden, self.parameters, grad))
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            self.record = False
            progress.note(f"launches are not recorded for this model: {str(error).splitlines()[0]}")
            return
        self.recordings[batch.shape] = _Recording(given, hidden.detach(), grad, ahead, back)
