"""An adapter's losses -> the train.* checks and figures of the proof."""

from __future__ import annotations

from packager.artifacts.checks import Check, Figure, verdict
from packager.artifacts.kinds import Adapter
from packager.recipe.sections import Thresholds


def training_checks(adapter: Adapter, thresholds: Thresholds) -> list[Check]:
    """Whether the held-out loss fell as far as the recipe asks."""
    before, after = adapter.heldout_loss_before, adapter.heldout_loss_after
    limit = before * (1 - thresholds.min_loss_drop)
    drop = (before - after) / before if before else 0.0
    on = " (the base rounded to NF4, which nobody runs)" if adapter.method == "qlora" else ""
    return [
        verdict("train.heldout_loss", round(after, 4), round(limit, 4), "nats/token", after < limit,
               f"In training, loss on held-out answers went from {before:.3f}{on} to {after:.3f} ({drop:.0%} lower)."),
    ]  # fmt: skip


def training_figures(adapter: Adapter) -> list[Figure]:
    """What training would not have come through without."""
    return [
        Figure(id="train.final_loss", measured=round(adapter.final_train_loss, 4), unit="nats/token",
               says="Loss of the last step; a loss that is not finite ends the training."),
    ]  # fmt: skip
