"""A base model and a data set -> a LoRA adapter: `adapter_model.safetensors`, `adapter_config.json`, `metrics.jsonl`.

A plain loop over transformers, peft and bitsandbytes; the parts are in `training/`. Interrupted, it
leaves a checkpoint in `out` and continues from it, step for step as if it had not been. Fails with
`TrainingDiverged` on a loss that is no number or has run away, and with `Interrupted` on a stop.
"""

from __future__ import annotations

import os
from pathlib import Path

from packager.artifacts.kinds import Adapter, Checkpoint, Dataset
from packager.artifacts.knowledge import Lessons
from packager.knowledge.lessons import LESSONS
from packager.recipe.sections import Train


def adapter(config: Train, base: Checkpoint, data: Dataset, lessons: Lessons | None, out: Path) -> Adapter:
    """`train`, on the rows with passages too, where the recipe has any."""
    return train(config, base, data, out, lessons.folder / LESSONS if lessons else None)


def train(config: Train, base: Checkpoint, data: Dataset, out: Path, more: Path | None = None) -> Adapter:
    """Train an adapter for `base` on `data.folder` and the rows of the file `more`; resumes from `out/checkpoints`
    if there are any.

    The loss is the mean cross entropy per trained token over the rows of an optimizer step, however
    they are divided into micro-batches and among devices. The held-out loss (the same, over all
    held-out rows) is measured before the first step, on schedule, and after the last.
    """
    from packager.training.parallel import ALONE
    from packager.training.trainer import train_adapter

    if config.devices > 1 or "PET_NNODES" in os.environ:
        from packager.training import launch

        return launch.together(train_adapter, config.devices, config, base, data, more, out)
    return train_adapter(config, base, data, more, out, ALONE)
