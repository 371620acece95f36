"""A training run: what it consists of, what it has measured, and its held-out loss."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from packager.process import progress
from packager.prompt.masking import Encoded
from packager.recipe.sections import Train
from packager.training import batches
from packager.training.compute import Compute
from packager.training.model import Trainee
from packager.training.parallel import ALONE, World
from packager.training.writers import Writer, silent

METRICS = "metrics.jsonl"

Metrics = list[dict[str, float]]
"""One dict a step; `heldout_loss` at step 0, on schedule and after the last."""


@dataclass
class Run:
    """What a training run consists of; `trainee`, `optimizer`, `metrics` and `loss_scale` change on the way."""

    config: Train
    steps: int
    train: Sequence[Encoded]
    heldout: Sequence[Encoded]
    """What is reported."""
    choosing: Sequence[Encoded]
    """Other held-out rows, by which the step to keep is chosen; empty: `heldout` chooses too."""
    trainee: Trainee
    compute: Compute
    optimizer: torch.optim.Optimizer
    out: Path
    world: World = ALONE
    metrics: Metrics = field(default_factory=list)
    write: Writer = silent
    """What else takes each row of the metrics (`train.log`)."""
    loss_scale: float = 1.0
    """What the loss is multiplied by while gradients are in fp16, which knows no numbers below 6e-8."""

    @property
    def losses(self) -> list[float]:
        """The training loss of every step done."""
        return [row["loss"] for row in self.metrics if "loss" in row]

    @property
    def chooses_by(self) -> str:
        """The rows that choose the step to keep, as the metrics name them."""
        return "choosing" if self.choosing else "heldout"

    @property
    def choosing_losses(self) -> list[tuple[float, int]]:
        """Loss and step of every evaluation on what chooses but the first, which is the base model's."""
        name = f"{self.chooses_by}_loss"
        found = [(row[name], int(row["step"])) for row in self.metrics if row.get(name) is not None and row["step"]]
        return [(loss if math.isfinite(loss) else math.inf, step) for loss, step in found]

    @property
    def patience_lost(self) -> bool:
        """Whether the last `train.patience` evaluations were all worse than the best before them."""
        patience, found = self.config.patience, self.choosing_losses
        return bool(patience) and bool(found) and len(found) - 1 - found.index(min(found)) >= (patience or 0)


def optimizer(config: Train, trainee: Trainee, *, paged: bool = False) -> torch.optim.Optimizer:
    """AdamW over the adapter in one fused kernel; `paged`: in 8 bits, its state moved to the host when it must."""
    settings: dict[str, Any] = {"lr": config.learning_rate, "weight_decay": config.weight_decay}
    if paged:
        import bitsandbytes as bnb

        paged_adamw: torch.optim.Optimizer = bnb.optim.PagedAdamW8bit([trainee.weights], **settings)
        return paged_adamw
    return torch.optim.AdamW([trainee.weights], fused=True, **settings)


def laid_out(run: Run, rows: Sequence[Encoded]) -> tuple[list[Any], int]:
    """This process's batches of `rows`, and how many of them count.

    Where the base is divided, each product needs every process: one with fewer batches repeats its last,
    which then counts for nothing.
    """
    found = run.compute.lay_out(run.world.share(rows))
    count = len(found)
    if run.trainee.sharded:
        spare = found[-1:] or run.compute.lay_out(rows[:1])[:1]
        found += spare * (run.world.most(count, run.trainee.device) - count)
    return found, count


def evaluate(run: Run, step: int, part: str = "heldout") -> float:
    """The loss per trained token of a held-out part (`heldout`, or `choosing`), recorded as of `step`."""
    rows = run.choosing if part == "choosing" else run.heldout
    began, sums = time.monotonic(), torch.zeros(3, device=run.trainee.device)
    was_training = run.trainee.peft.training
    run.trainee.peft.eval()
    mine, count = laid_out(run, rows)
    for done, batch in enumerate(mine, 1):
        found = run.compute.score(batch)
        sums += found if done <= count else 0
        progress.update(done, len(mine), "held-out batches")
    run.world.add_up(sums)
    run.trainee.peft.train(was_training)
    loss: float
    loss, right, entropy = (sums / batches.trained_tokens(rows)).tolist()
    seconds = round(time.monotonic() - began, 3)
    figures = {f"{part}_loss": loss, f"{part}_token_accuracy": right, f"{part}_entropy": entropy}
    record(run, {"step": step, **figures, "seconds": seconds})
    return loss


def record(run: Run, row: dict[str, float]) -> None:
    """Add a row to the metrics, in memory and on disk."""
    row = {"step": row["step"], "steps": run.steps} | row
    run.metrics.append(row)
    if run.world.writes:
        with (run.out / METRICS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        run.write(row)
