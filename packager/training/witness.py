"""A finished run -> what its own process saw of it: losses on fixed rows, and peft's own adapters.

The merge is held against this. Nothing here is shared with what merges or with the reference that checks
the merge: the model is the one that was trained, loaded by transformers and adapted by peft, and the loss
is that of training's own batches.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from peft.tuners.lora import LoraLayer

from packager.artifacts.evidence import AsTrained
from packager.errors import ProofFailed
from packager.prompt.corpus import spread
from packager.training import batches

if TYPE_CHECKING:
    from packager.prompt.masking import Encoded
    from packager.training.model import Trainee
    from packager.training.run import Run

FIXED_TOKENS = 128
"""Answer tokens that are scored. Enough: the same rows are scored again, so chance has no part in it."""


def as_trained(run: Run) -> AsTrained:
    """Score the fixed rows with and without the adapter that `run` holds now, and count its adapters."""
    run.trainee.peft.eval()
    rows = fixed(run.heldout)
    with without_adapter(run.trainee, dora=run.config.lora.dora):
        base = _loss(run, rows)
    layers = [m for m in run.trainee.peft.modules() if isinstance(m, LoraLayer)]
    scales = {float(scale) for layer in layers for scale in layer.scaling.values()}
    if len(scales) != 1:
        raise ProofFailed(
            f"train.scale: the adapters have {len(scales)} different scales, not one.", "report this model"
        )
    return AsTrained(
        pairs=len(layers),
        scale=scales.pop(),
        computed_in=str(run.trainee.dtype).removeprefix("torch."),
        rows=len(rows),
        loss_base=base,
        loss_tuned=None if run.config.lora.loftq else _loss(run, rows),
    )


def fixed(rows: Sequence[Encoded]) -> list[Encoded]:
    """The first rows, in the order that is spread over all, with at least `FIXED_TOKENS` trained tokens."""
    found: list[Encoded] = []
    for row in spread(rows):
        found.append(row)
        if batches.trained_tokens(found) >= FIXED_TOKENS:
            break
    return found


@contextlib.contextmanager
def without_adapter(trainee: Trainee, *, dora: bool) -> Iterator[None]:
    """The model as it was before the first step: every B is zero meanwhile. DoRA's magnitudes move too, and
    peft's own forward leaves them out."""
    if dora:
        with trainee.peft.disable_adapter():
            yield
        return
    kept = {name: p.detach().clone() for name, p in trainee.parameters.items() if "lora_B" in name}
    with torch.no_grad():
        for name in kept:
            trainee.parameters[name].zero_()
    try:
        yield
    finally:
        with torch.no_grad():
            for name, values in kept.items():
                trainee.parameters[name].copy_(values)


def _loss(run: Run, rows: Sequence[Encoded]) -> float:
    """Per trained token. Every process of a parallel run scores all rows: a divided base needs them all."""
    sums = [run.compute.score(batch)[0] for batch in run.compute.lay_out(rows)]
    return float(torch.stack(sums).sum()) / batches.trained_tokens(rows)
