"""One optimizer step: the gradient of its rows, however they are divided, clipped, and AdamW.

Fails with `TrainingDiverged` when the loss or the gradient is no longer a number.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from packager.errors import TrainingDiverged
from packager.process import worker
from packager.prompt.masking import Encoded
from packager.recipe.sections import Train
from packager.training import batches, checkpoints
from packager.training.run import Run, laid_out

GIB = 2**30


@dataclass
class Step:
    """The rows of a step, and their batches as soon as somebody has laid them out."""

    number: int
    rows: Sequence[Encoded]
    following: Step | None = None
    batches: tuple[list[Any], int] | None = None

    def lay_out(self, run: Run) -> tuple[list[Any], int]:
        """This process's batches, and how many of them count."""
        if self.batches is None:
            self.batches = laid_out(run, self.rows)
        return self.batches


def steps_ahead(run: Run, done: int) -> Iterator[Step]:
    """The steps to come, each knowing the one after it."""
    lengths = [len(row.ids) for row in run.train]
    examples, seed = run.config.batch.examples_per_step, run.config.seed
    planned = batches.steps(lengths, examples, seed, run.compute.window)
    step = None
    for number, chosen in enumerate(itertools.islice(planned, done, run.steps), done + 1):
        following = Step(number, [run.train[i] for i in chosen])
        if step is not None:
            step.following = following
            yield step
        step = following
    if step is not None:
        yield step


def learning_rate(config: Train, step: int, steps: int) -> float:
    """The learning rate of step `step` (from 0) of `steps`: a ramp from 0, then the schedule."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / (config.warmup_steps + 1)
    done = (step - config.warmup_steps) / max(1, steps - config.warmup_steps)
    share = {"constant": 1.0, "linear": 1 - done, "cosine": (1 + math.cos(math.pi * done)) / 2}
    return config.learning_rate * share[config.schedule]


def take(run: Run, step: Step) -> dict[str, float]:
    """One optimizer step on the mean loss per trained token of its rows; returns its metrics."""
    began = time.monotonic()
    loss, right, entropy, norm = _gradients(run, step)
    while not math.isfinite(norm) and run.loss_scale > 1:  # fp16 knows no numbers above 65,504 either
        run.loss_scale /= 4
        loss, right, entropy, norm = _gradients(run, step)
    if not (math.isfinite(loss) and math.isfinite(norm)):
        raise diverged(run, step.number, f"the loss is {loss} and the norm of the gradient {norm}")
    rate = learning_rate(run.config, step.number - 1, run.steps)
    for group in run.optimizer.param_groups:
        group["lr"] = rate
    run.optimizer.step()
    seconds = time.monotonic() - began
    tokens = sum(len(row.ids) for row in step.rows)
    return {
        "step": step.number,
        "loss": loss,
        "token_accuracy": right,
        "entropy": entropy,
        "learning_rate": rate,
        "grad_norm": norm,
        "tokens": tokens,
        "tokens_per_second": round(tokens / seconds, 1),
        "seconds": round(seconds, 4),
        "peak_memory_gib": round(_peak_memory(run.trainee.device) / GIB, 3),
    }


def _gradients(run: Run, step: Step) -> tuple[float, float, float, float]:
    """Add up the step's gradient, clipped; returns loss, token accuracy and entropy per token, and its norm."""
    weights, trained = run.trainee.weights, batches.trained_tokens(step.rows)
    assert weights.grad is not None
    while True:
        weights.grad.zero_()
        sums = torch.zeros(3, device=run.trainee.device)
        try:
            mine, count = step.lay_out(run)
            for number, batch in enumerate(mine):
                found = run.compute.accumulate(batch, run.loss_scale / trained if number < count else 0.0)
                sums += found if number < count else 0
            break
        except torch.OutOfMemoryError:
            # Where the base is divided the others wait for this process's slices: none can begin again alone.
            if run.trainee.sharded or not run.compute.shrink():
                raise
            step.batches = None
    run.world.add_up(sums, weights.grad)
    if run.loss_scale != 1:
        weights.grad.div_(run.loss_scale)
    norm = torch.nn.utils.clip_grad_norm_([weights], run.config.max_grad_norm)
    if step.following is not None:
        step.following.lay_out(run)  # while the device is at work
    loss, right, entropy, found = torch.cat([sums / trained, norm[None]]).tolist()
    return loss, right, entropy, found


def _peak_memory(device: torch.device) -> int:
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else worker.peak_ram()


def diverged(run: Run, step: int, what: str) -> TrainingDiverged:
    """The error that says so, and which checkpoint is good."""
    last = checkpoints.newest(run.out / "checkpoints")
    kept = f"the last good checkpoint is of step {last['step']}" if last else "there is no checkpoint before it"
    return TrainingDiverged(
        f"Training diverged at step {step} of {run.steps}: {what}; {kept}.",
        f"lower train.learning_rate (it is {run.config.learning_rate:g}), for example to"
        f" {run.config.learning_rate / 3:.1g}, or raise train.warmup_steps (it is {run.config.warmup_steps});"
        " resuming with the same settings would diverge again",
    )
