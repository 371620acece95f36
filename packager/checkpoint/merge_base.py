"""An adapter -> the base to merge it into: the 16-bit one, or the one rounded to NF4, as training saw it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from packager.artifacts.kinds import Adapter, Checkpoint, Dataset
from packager.checkpoint import lora
from packager.checkpoint.matrices import Matrices
from packager.process import progress
from packager.prompt.corpus import answer_samples

HELDOUT_TOKENS = 512
"""Held-out answer tokens on which the base to merge into is chosen."""


@dataclass(frozen=True)
class MergeBase:
    """Which base the adapter is merged into, and the held-out losses that decided it."""

    nf4: bool = False
    tokens: int = 0
    loss: float | None = None
    """On the base that is taken."""
    loss_base: float | None = None
    """On the 16-bit base without the adapter."""
    loss_16bit: float | None = None
    loss_nf4: float | None = None
    seen_base: float | None = None
    """On the rows that training's own process scored, and on the base that it trained on, without the adapter."""
    seen_tuned: float | None = None
    """The same with it."""


def choose_base(base: Checkpoint, data: Dataset, adapter: Adapter, matrices: Matrices) -> MergeBase:
    """The 16-bit base, or the one rounded to NF4: whichever predicts held-out answers better.

    QLoRA trains the adapter on rounded weights: it may have learned to make up for the rounding.
    """
    from packager.checkpoint import reference

    samples = answer_samples(data.folder / "heldout.jsonl", data.end_of_turn, HELDOUT_TOKENS)
    seen = adapter.as_trained
    rows = seen.rows if seen else 0
    fixed = sum(len(s.at) for s in samples[:rows])
    base_losses, losses = reference.base_and_tuned(base.folder, adapter.folder, samples, len(samples), matrices)
    found = MergeBase(
        tokens=len(losses),
        loss=float(losses.mean()),
        loss_base=float(base_losses.mean()),
        loss_16bit=float(losses.mean()),
        seen_base=float(base_losses[:fixed].mean()) if fixed else None,
        seen_tuned=float(losses[:fixed].mean()) if fixed else None,
    )
    if adapter.method != "qlora" or lora.unusual(adapter.folder, base.folder):
        return found
    if not adapter.on_nf4:  # LoftQ's: trained on NF4, made to stand on the 16-bit base
        with reference.opened(base.folder, nf4=True, matrices=matrices) as rounded:
            return replace(found, seen_base=float(rounded.losses(samples[:rows]).mean()) if rows else None)
    nf4_base, losses_nf4 = reference.base_and_tuned(base.folder, adapter.folder, samples, rows, matrices, nf4=True)
    nf4 = bool(losses_nf4.mean() < losses.mean())
    progress.note(
        f"held-out loss on the 16-bit base {losses.mean():.4f}, rounded to NF4 {losses_nf4.mean():.4f}: "
        f"merging into the {'rounded' if nf4 else '16-bit'} one"
    )
    return replace(
        found,
        nf4=nf4,
        loss=float((losses_nf4 if nf4 else losses).mean()),
        loss_nf4=float(losses_nf4.mean()),
        seen_base=float(nf4_base.mean()) if fixed else None,
        seen_tuned=float(losses_nf4[:fixed].mean()) if fixed else None,
    )
