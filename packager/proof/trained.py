"""An adapter's losses -> the train.* checks of the proof."""

from __future__ import annotations

import math

from packager.artifacts.kinds import Adapter, Check, verdict
from packager.recipe.sections import Thresholds


def training_checks(adapter: Adapter, thresholds: Thresholds) -> list[Check]:
    """Whether training stayed finite, and whether the held-out loss fell as far as the recipe asks."""
    before, after = adapter.heldout_loss_before, adapter.heldout_loss_after
    finite = all(math.isfinite(x) for x in (before, after, adapter.final_train_loss))
    limit = before * (1 - thresholds.min_loss_drop)
    drop = (before - after) / before if before else 0.0
    return [
        verdict("train.finite", round(adapter.final_train_loss, 4), "finite", "nats/token", finite,
               "Training stayed finite."),
        verdict("train.heldout_loss", round(after, 4), round(limit, 4), "nats/token", after < limit,
               f"Loss on held-out answers went from {before:.3f} to {after:.3f} ({drop:.0%} lower)."),
    ]  # fmt: skip
