"""Rows -> the loss and its gradients, in the way that the device is good at.

`SideBySide` sets rows of like length side by side (a CPU), `EndToEnd` sets them end to end (a GPU).
Both train the same: the cross entropy summed over trained tokens. `choose` proves what they leave
out against the model's own forward, and falls back where a model does not fit.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from packager.process import progress
from packager.prompt.masking import Encoded
from packager.training import attention, batches, flat, graphs, lora_linear
from packager.training.batches import Batch
from packager.training.flat import Flat
from packager.training.loss import Shortcuts, batch_sums, head_sums, logit_sums, own
from packager.training.memory import MemoryPlan
from packager.training.model import Trainee
from packager.training.model_parts import Unfit, attend_by, body_of, head_of, hidden_of, while_it_ran

TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 3e-2, torch.float16: 1e-2}
"""How far a shortcut's loss may be from the model's own, relatively."""


class Compute(Protocol):
    """Makes batches of rows and runs them; sums are those of `loss`."""

    @property
    def window(self) -> int:
        """Steps whose rows are better sorted by length together (see `batches.steps`)."""
        ...

    def lay_out(self, rows: Sequence[Encoded]) -> list[Any]:
        """Rows as batches, on the CPU; may run ahead of the device."""
        ...

    def accumulate(self, batch: Any, scale: float) -> Tensor:
        """Add `scale` times the gradient of the summed loss to the parameters' gradients; returns the sums."""
        ...

    def score(self, batch: Any) -> Tensor:
        """The sums, without gradients."""
        ...

    def shrink(self) -> bool:
        """Need less memory from now on, more slowly; false if that is not to be had."""
        ...


Sample = tuple[Sequence[Encoded], float]
"""Rows, and the model's own loss on them (nats, summed over trained tokens)."""
PLAIN = Shortcuts(select=False, share_prefix=False)


@dataclass(frozen=True)
class SideBySide:
    """Rows of like length side by side, padded on the right."""

    trainee: Trainee
    shortcuts: Shortcuts
    rows: int
    """At most so many at once."""

    @property
    def window(self) -> int:
        return batches.WINDOW

    def lay_out(self, rows: Sequence[Encoded]) -> list[Batch]:
        return [
            batches.collate(piece, share_prefix=self.shortcuts.share_prefix)
            for piece in batches.pieces(rows, self.rows)
        ]

    def accumulate(self, batch: Batch, scale: float) -> Tensor:
        sums = batch_sums(self.trainee, batch, self.shortcuts)
        (sums[0] * scale).backward()  # type: ignore[no-untyped-call]
        return sums.detach()

    def score(self, batch: Batch) -> Tensor:
        with torch.no_grad():
            return batch_sums(self.trainee, batch, self.shortcuts)

    def shrink(self) -> bool:
        return False


class EndToEnd:
    """Rows end to end, each seeing itself only: no padding, and few sizes of batch."""

    def __init__(self, trainee: Trainee, plan: MemoryPlan, *, longest: int, select: bool, masked: bool) -> None:
        """`select` as in `Shortcuts`; `masked`: rows are kept apart by a mask, not by FlashAttention."""
        self.trainee, self.longest = trainee, longest
        self.select, self.masked = select, masked
        self.causal = trainee.peft.get_base_model()
        self.sliding = attention.window_of(self.causal, longest) if masked else None
        attention.register()
        attend_by(self.causal, "sdpa" if masked else attention.PACKED)
        self.body, self.head = body_of(self.causal), head_of(self.causal)
        self.causal.enable_input_require_grads()  # so that the first layer is compiled like the others
        self.parameters = list(trainee.parameters.values())
        self._follow(plan)

    def _follow(self, plan: MemoryPlan) -> None:
        self.plan = plan
        try:
            lora_linear.keep_expanded(self.causal, self.trainee.dtype, expanded=plan.expanded)
        except torch.OutOfMemoryError:
            lora_linear.keep_expanded(self.causal, self.trainee.dtype, expanded=False)
            self.plan = plan = replace(plan, expanded=False)
            progress.note("the GPU's memory is too full to keep expanded weights")
        self.recorder = graphs.Recorder(self._body, self.parameters, record=plan.record and self.select)
        graphs.prepare(graphs.layers_of(self.body), compiled=plan.compiled, recompute=plan.recompute)

    def shrink(self) -> bool:
        smaller = self.plan.smaller(self.longest)
        if smaller is None:
            return False
        progress.note(f"the GPU's memory was full: {self.plan} becomes {smaller}")
        self._follow(smaller)
        torch.cuda.empty_cache()
        return True

    @property
    def window(self) -> int:
        return 1

    def lay_out(self, rows: Sequence[Encoded]) -> list[Flat]:
        pin = self.trainee.device.type == "cuda"
        return [flat.lay_out(lot, self.longest, pin=pin) for lot in flat.split(rows, self.plan.tokens)]

    def accumulate(self, batch: Flat, scale: float) -> Tensor:
        where, targets = (t.to(self.trainee.device, non_blocking=True) for t in (batch.where, batch.targets))
        if not self.select:
            sums = logit_sums(self._logits(batch.to(self.trainee.device)), targets)
            (sums[0] * scale).backward()  # type: ignore[no-untyped-call]
            return sums.detach()
        if self.trainee.seed is not None:
            self.trainee.seed.fill_(int(torch.randint(2**31, ())))
        hidden, backward = self.recorder(batch, self.trainee.device)
        chosen = hidden.detach()[where].requires_grad_()
        sums = self._head(chosen, targets)
        (chosen_grad,) = torch.autograd.grad(sums[0] * scale, chosen)
        backward(torch.zeros_like(hidden).index_copy_(0, where, chosen_grad))
        return sums.detach()

    def score(self, batch: Flat) -> Tensor:
        here = batch.to(self.trainee.device)
        with torch.no_grad():
            if not self.select:
                return logit_sums(self._logits(here), here.targets)
            return self._head(self._body(here)[here.where], here.targets)

    def _head(self, hidden: Tensor, targets: Tensor) -> Tensor:
        return head_sums(hidden, self.head, targets, self.plan.chunk, compiled=self.plan.compiled)

    def _body(self, batch: Flat) -> Tensor:
        """Hidden states [size, hidden]."""
        return hidden_of(self.body(**self._given(batch)))[0]

    def _logits(self, batch: Flat) -> Tensor:
        """The model's own logits, at the trained positions only [n, vocabulary]."""
        logits: Tensor = self.causal(**self._given(batch), logits_to_keep=batch.where).logits[0]
        if len(logits) != len(batch.where):
            raise Unfit("it makes logits at other positions than those asked for")
        return logits

    def _given(self, batch: Flat) -> dict[str, Any]:
        given: dict[str, Any] = {"input_ids": batch.ids, "position_ids": batch.positions, "use_cache": False}
        if self.masked:
            return given | {"attention_mask": attention.row_mask(batch.starts, batch.ids.shape[1], self.sliding)}
        rows = {"cu_seq_lens_q": batch.starts, "cu_seq_lens_k": batch.starts}
        return given | rows | {"max_length_q": batch.longest, "max_length_k": batch.longest}


def choose(trainee: Trainee, rows: Sequence[Encoded], plan: MemoryPlan, rows_at_once: int) -> Compute:
    """The fastest way that gives the model's own loss on the two shortest rows, and on the longest: some of what a
    model does differently shows beyond some length only.

    A model that does more around its head than one product (Gemma 2 caps its logits, Granite
    scales them) or whose attention is of its own kind gets a slower one.
    """
    trainee.peft.eval()
    ordered = sorted(rows, key=lambda row: len(row.ids))
    with torch.no_grad():
        samples = [(lot, own(trainee, lot)) for lot in (ordered[:2], ordered[2:][-1:]) if lot]
    beside = functools.partial(SideBySide, trainee, rows=rows_at_once)
    end_to_end = functools.partial(EndToEnd, trainee, longest=max(len(row.ids) for row in rows))
    if not plan.tokens:
        lora_linear.keep_expanded(trainee.peft, trainee.dtype, expanded=plan.expanded)
        for shortcuts in (Shortcuts(True, True), Shortcuts(True, False)):
            if _fits(functools.partial(beside, shortcuts=shortcuts), samples, trainee.dtype):
                return beside(shortcuts=shortcuts)
        return beside(shortcuts=PLAIN)
    flash = attention.has_flash(trainee.device, trainee.dtype)
    for select, masked in itertools.product((True, False), (False, True) if flash else (True,)):
        way = functools.partial(end_to_end, select=select, masked=masked)
        if _fits(functools.partial(way, plan=plan.without_speedups()), samples, trainee.dtype):
            return way(plan=plan)
    trainee.peft.get_base_model().set_attn_implementation("sdpa")
    return beside(shortcuts=PLAIN)


def _fits(way: Callable[[], Compute], samples: Sequence[Sample], dtype: torch.dtype) -> bool:
    try:
        compute = way()
        found = [sum(compute.score(batch)[0].item() for batch in compute.lay_out(rows)) for rows, _ in samples]
    except torch.OutOfMemoryError:
        raise
    except Unfit as error:
        progress.note(f"a faster way does not fit this model: {error}")
        return False
    except Exception as error:
        # The model's own code may refuse what it is given with any error. Only speed is lost: `choose` ends with the
        # model's own way, which is not tried here, and whose errors stop the run. An error of ours stops it too.
        if not while_it_ran(error):
            raise
        progress.note(f"a faster way does not fit this model: {type(error).__name__}: {error}")
        return False
    pairs = zip(found, (expected for _, expected in samples), strict=True)
    return all(abs(ours - expected) <= TOLERANCE[dtype] * abs(expected) for ours, expected in pairs)
