"""An adapter -> the base to merge it into: the 16-bit one, or the one rounded to NF4, as training saw it."""

from __future__ import annotations

from dataclasses import dataclass

from packager.artifacts.kinds import Adapter, Checkpoint, Dataset
from packager.checkpoint import lora
from packager.process import progress
from packager.prompt.corpus import answer_samples

HELDOUT_TOKENS = 512
"""Held-out answer tokens on which the base to merge into is chosen."""


@dataclass(frozen=True)
class MergeBase:
    """Which base the adapter is merged into, and the held-out losses that decided it."""

    nf4: bool = False
    loss_base: float | None = None
    """Without the adapter."""
    loss_16bit: float | None = None
    loss_nf4: float | None = None


def choose_base(base: Checkpoint, data: Dataset, adapter: Adapter) -> MergeBase:
    """The 16-bit base, or the one rounded to NF4: whichever predicts held-out answers better.

    QLoRA trains the adapter on rounded weights: it may have learned to make up for the rounding.
    """
    from packager.checkpoint import reference

    samples = answer_samples(data.folder / "heldout.jsonl", data.end_of_turn, HELDOUT_TOKENS)
    with reference.opened(base.folder) as untrained:
        before = float(untrained.losses(samples).mean())
    with reference.opened(base.folder, adapter.folder) as clean:
        losses = clean.losses(samples)
    if not adapter.on_nf4 or lora.unusual(adapter.folder, base.folder):
        return MergeBase(loss_base=before, loss_16bit=float(losses.mean()))
    with reference.opened(base.folder, adapter.folder, nf4=True) as rounded:
        losses_nf4 = rounded.losses(samples)
    nf4 = bool(losses_nf4.mean() < losses.mean())
    progress.note(
        f"held-out loss on the 16-bit base {losses.mean():.4f}, rounded to NF4 {losses_nf4.mean():.4f}: "
        f"merging into the {'rounded' if nf4 else '16-bit'} one"
    )
    return MergeBase(nf4, before, float(losses.mean()), float(losses_nf4.mean()))
