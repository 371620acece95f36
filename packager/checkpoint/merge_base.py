"""An adapter -> the base to merge it into: the 16-bit one, or the one rounded to NF4, as training saw it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from packager.artifacts.kinds import Adapter, Checkpoint, Dataset
from packager.checkpoint import lora
from packager.checkpoint.matrices import Matrices
from packager.data.conversations import CHOOSING, HELDOUT
from packager.process import progress
from packager.prompt.corpus import answer_samples
from packager.prompt.masking import Encoded
from packager.proof.divergence import standard_error

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

HELDOUT_TOKENS = 512
"""Held-out answer tokens that are scored on either base."""
CHOOSING_TOKENS = 192
"""Of these, those that choose the base, where the data stage has set rows apart for that; the others report."""


@dataclass(frozen=True)
class MergeBase:
    """Which base the adapter is merged into, and the held-out losses that decided it."""

    nf4: bool = False
    tokens: int = 0
    choosing_tokens: int = 0
    """On which the base was chosen, where they are others than the `tokens` that the losses are of."""
    loss: float | None = None
    """On the base that is taken."""
    loss_base: float | None = None
    """On the 16-bit base without the adapter."""
    error: float = 0.0
    """Standard error of how far `loss` is below `loss_base`: the rows are a sample."""
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

    either = adapter.method == "qlora" and not lora.unusual(adapter.folder, base.folder)
    chooses = either and adapter.on_nf4 and (data.folder / CHOOSING).is_file()
    apart = answer_samples(data.folder / CHOOSING, data.end_of_turn, CHOOSING_TOKENS) if chooses else []
    seen = adapter.as_trained
    rows = seen.rows if seen else 0
    tokens = HELDOUT_TOKENS - sum(len(s.at) for s in apart)
    reporting = answer_samples(data.folder / HELDOUT, data.end_of_turn, tokens, least=rows)
    samples, end = [*reporting, *apart], sum(len(s.at) for s in reporting)
    fixed = sum(len(s.at) for s in reporting[:rows])
    base_losses, losses = reference.base_and_tuned(base.folder, adapter.folder, samples, len(reporting), matrices)
    found = MergeBase(
        tokens=end,
        choosing_tokens=len(losses) - end,
        loss=float(losses[:end].mean()),
        loss_base=float(base_losses.mean()),
        loss_16bit=float(losses[:end].mean()),
        error=_error(base_losses - losses[:end], reporting),
        seen_base=float(base_losses[:fixed].mean()) if fixed else None,
        seen_tuned=float(losses[:fixed].mean()) if fixed else None,
    )
    if not either:
        return found
    if not adapter.on_nf4:  # LoftQ's: trained on NF4, made to stand on the 16-bit base
        with reference.opened(base.folder, nf4=True, matrices=matrices) as rounded:
            return replace(found, seen_base=float(rounded.losses(reporting[:rows]).mean()) if rows else None)
    nf4_base, losses_nf4 = reference.base_and_tuned(base.folder, adapter.folder, samples, rows, matrices, nf4=True)
    chosen, chosen_nf4 = (each[end:] if apart else each for each in (losses, losses_nf4))
    nf4 = bool(chosen_nf4.mean() < chosen.mean())
    on = f" on the {len(chosen)} tokens that choose" if apart else ""
    progress.note(
        f"held-out loss{on} on the 16-bit base {chosen.mean():.4f}, rounded to NF4 {chosen_nf4.mean():.4f}: "
        f"merging into the {'rounded' if nf4 else '16-bit'} one"
    )
    taken = (losses_nf4 if nf4 else losses)[:end]
    return replace(
        found,
        nf4=nf4,
        loss=float(taken.mean()),
        error=_error(base_losses - taken, reporting),
        loss_nf4=float(losses_nf4[:end].mean()),
        seen_base=float(nf4_base.mean()) if fixed else None,
        seen_tuned=float(losses_nf4[:fixed].mean()) if fixed else None,
    )


def _error(gains: npt.NDArray[np.float64], samples: Sequence[Encoded]) -> float:
    """Of the mean of `gains`, one a target of `samples`: tokens of one answer are not independent."""
    return standard_error(gains, list(itertools.accumulate(len(s.at) for s in samples)))
