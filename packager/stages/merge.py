"""Base + adapter -> the merged checkpoint, proven to predict what base + adapter predict.

Whether the base is first rounded to NF4, as the adapter saw it in training, is decided by held-out
loss. The arithmetic is in `packager/merging.py`; fails as that does.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from packager import chat, lora, merging, progress
from packager.artifacts import Adapter, Checkpoint, Dataset, Divergence, Merged
from packager.recipe import Section

HELDOUT_TOKENS = 512
"""Held-out answer tokens on which the base to merge into is chosen."""
POSITIONS = 256
"""Predictions that are compared, and kept for the F16 file to be compared with."""


class Merge(Section):
    """What the merged checkpoint is run for, beside its proof."""

    imatrix: bool
    """Whether to note which columns matter, for quantization."""


def merge(config: Merge | None, base: Checkpoint, data: Dataset, adapter: Adapter | None, out: Path) -> Merged:
    """Write the merged checkpoint and `reference.npz`, some of its predictions, into `out`; without an
    adapter, the base in FP16. With `imatrix`, also `imatrix.gguf`."""
    choice = _choose_base(base, data, adapter) if adapter else Choice()
    merged = merging.merge(base, data, adapter, out, nf4=choice.nf4)
    found = _compare(base, data, adapter, out, nf4=choice.nf4, imatrix=bool(config and config.imatrix))
    return merged.model_copy(
        update={
            "rounded_to_nf4": choice.nf4,
            "heldout_loss_base": choice.loss_base,
            "heldout_loss_16bit": choice.loss_16bit,
            "heldout_loss_nf4": choice.loss_nf4,
            "divergence": found,
        }
    )


@dataclass(frozen=True)
class Choice:
    """Which base the adapter is merged into, and the held-out losses that decided it."""

    nf4: bool = False
    loss_base: float | None = None
    """Without the adapter."""
    loss_16bit: float | None = None
    loss_nf4: float | None = None


def _choose_base(base: Checkpoint, data: Dataset, adapter: Adapter) -> Choice:
    """The 16-bit base, or the one rounded to NF4: whichever predicts held-out answers better.

    QLoRA trains the adapter on rounded weights: it may have learned to make up for the rounding.
    """
    from packager import reference

    samples = chat.answer_samples(data.folder / "heldout.jsonl", data.end_of_turn, HELDOUT_TOKENS)
    with reference.opened(base.folder) as untrained:
        before = float(untrained.losses(samples).mean())
    with reference.opened(base.folder, adapter.folder) as clean:
        losses = clean.losses(samples)
    if not adapter.on_nf4 or lora.unusual(adapter.folder):
        return Choice(loss_base=before, loss_16bit=float(losses.mean()))
    with reference.opened(base.folder, adapter.folder, nf4=True) as rounded:
        losses_nf4 = rounded.losses(samples)
    nf4 = bool(losses_nf4.mean() < losses.mean())
    progress.note(
        f"held-out loss on the 16-bit base {losses.mean():.4f}, rounded to NF4 {losses_nf4.mean():.4f}: "
        f"merging into the {'rounded' if nf4 else '16-bit'} one"
    )
    return Choice(nf4, before, float(losses.mean()), float(losses_nf4.mean()))


def _compare(
    base: Checkpoint, data: Dataset, adapter: Adapter | None, out: Path, *, nf4: bool, imatrix: bool
) -> Divergence:
    """What the merged checkpoint predicts against base + adapter, unmerged; its predictions are kept,
    and with `imatrix` which of its columns matter."""
    from packager import divergence, importance, reference

    samples = chat.corpus_samples(data.folder, POSITIONS)
    with (
        reference.opened(base.folder, adapter.folder if adapter else None, nf4=nf4) as source,
        reference.opened(out) as made,
    ):
        compared, kept = divergence.Comparison(), []
        for (log_p, targets), (log_q, _) in zip(source.predictions(samples), made.predictions(samples), strict=True):
            compared.add(log_p, log_q, targets)
            kept.append(log_q.astype("float16"))
        if imatrix:
            importance.collect(made, base, data, out)
    divergence.save_reference(out / divergence.REFERENCE, samples, kept)
    return compared.result()
