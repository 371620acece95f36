"""Base + adapter -> the merged checkpoint, proven to predict what base + adapter predict.

Whether the base is first rounded to NF4, as the adapter saw it in training, is decided by held-out
loss (`checkpoint/merge_base.py`). The arithmetic is in `checkpoint/merge.py`; fails as that does. What was
measured is judged at once, so that a build does not go on with a merge that diverged.
"""

from __future__ import annotations

from pathlib import Path

from packager.artifacts.kinds import Adapter, Checkpoint, Dataset, Merged
from packager.checkpoint import matrices, tied_head
from packager.checkpoint.merge import merge_adapter
from packager.checkpoint.merge_base import MergeBase, choose_base
from packager.checkpoint.merge_checks import compare_with_source, merge_checks, merge_figures
from packager.checkpoint.reproduction import reproduced
from packager.process import progress
from packager.prompt.long_texts import long_samples
from packager.recipe.sections import Section


class Merge(Section):
    """What the merged checkpoint is run for, beside its proof."""

    imatrix: bool
    """Whether to note which columns matter, for quantization."""
    context: int = 0
    """Tokens that the files are served with: predictions are compared that far."""


def merge(config: Merge | None, base: Checkpoint, data: Dataset, adapter: Adapter | None, out: Path) -> Merged:
    """Write the merged checkpoint into `out`, and some of its predictions (`reference.npz`, `answers.npz`); without
    an adapter, the base in FP16. With `imatrix`, also `imatrix.gguf`."""
    config = config or Merge(imatrix=False)
    with matrices.opened() as kept:
        choice = choose_base(base, data, adapter, kept) if adapter else MergeBase()
        merged = merge_adapter(base, data, adapter, out, nf4=choice.nf4, matrices=kept)
        far, too_far = long_samples(out, data.folder, config.context, base.parameters)
        for boundary in too_far:
            progress.note(
                f"not compared beyond {boundary} tokens, where this model computes otherwise: it is too large"
            )
        divergence = compare_with_source(base, data, adapter, out, far, kept, nf4=choice.nf4, imatrix=config.imatrix)
    merged = merged.model_copy(
        update={
            "rounded_to_nf4": choice.nf4,
            "heldout_tokens": choice.tokens,
            "choosing_tokens": choice.choosing_tokens,
            "heldout_loss": choice.loss,
            "heldout_loss_error": choice.error,
            "heldout_loss_base": choice.loss_base,
            "heldout_loss_16bit": choice.loss_16bit,
            "heldout_loss_nf4": choice.loss_nf4,
            "divergence": divergence,
        }
    )
    checks = [*merge_checks(merged, adapter), *tied_head.tied(base.folder)]
    if adapter:
        checks += reproduced(adapter, choice.seen_base, choice.seen_tuned)
    return merged.model_copy(update={"checks": tuple(checks), "figures": merge_figures(merged)})
