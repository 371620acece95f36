"""The training loop: steps until the plan is done, with checkpoints, a stop on request, and a watch.

Fails with `Interrupted` when asked to stop (after a checkpoint) and with `TrainingDiverged` when
the loss or the gradient is no longer a number, or the loss has run away.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from packager.artifacts.files import write_atomically
from packager.errors import Interrupted
from packager.process import progress
from packager.training import checkpoints
from packager.training.run import METRICS, Run, evaluate, record
from packager.training.step import diverged, steps_ahead, take

SMOOTHING, PATIENCE = 0.9, 20
"""Divergence is judged on the running mean of the loss, and after this many steps in a row."""


def resume(run: Run) -> int:
    """Restore the newest whole checkpoint into `run`, if there is one; returns the steps done."""
    state = run.world.from_first(checkpoints.newest(run.out / "checkpoints") if run.world.rank == 0 else None)
    run.metrics[:] = state["metrics"] if state else []
    if run.world.writes:
        write_atomically(run.out / METRICS, "".join(json.dumps(row) + "\n" for row in run.metrics))
    if state is None:
        return 0
    restore(run, state["adapter"])
    run.optimizer.load_state_dict(state["optimizer"])
    run.loss_scale = state["loss_scale"]
    if run.world.size > 1:
        torch.manual_seed(run.config.seed + state["step"] * run.world.size + run.world.rank)
        return int(state["step"])
    torch.set_rng_state(state["cpu_rng"])
    if state["cuda_rng"] and run.trainee.device.type == "cuda":
        torch.cuda.set_rng_state_all(state["cuda_rng"])
    return int(state["step"])


def restore(run: Run, adapter: dict[str, Tensor]) -> None:
    """Set the adapter's matrices to these."""
    with torch.no_grad():
        for name, parameter in run.trainee.parameters.items():
            parameter.copy_(adapter[name])


def optimize(run: Run, done: int, stop: Callable[[], bool]) -> None:
    """Take the steps from `done` to the last; `stop` tells whether to save and leave.

    A checkpoint is written every `checkpoint_seconds`, on a stop, and after the last step. With
    `evaluate_every`, the adapter with the least held-out loss is kept aside, and the run ends early
    when `patience` is lost.
    """
    if run.patience_lost:
        return
    watch = LossWatch()
    for loss in run.losses:
        watch.diverges(loss)
    saved = time.monotonic()
    run.trainee.peft.train()
    for step in steps_ahead(run, done):
        number, row = step.number, take(run, step)
        record(run, row)
        figures = {"loss": round(row["loss"], 3), "tokens_per_s": round(row["tokens_per_second"])}
        progress.update(number, run.steps, "steps", **figures)
        if watch.diverges(row["loss"]):
            raise diverged(run, number, f"the loss has run away (now {row['loss']:.2f}, at best {watch.best:.2f})")
        every = run.config.evaluate_every
        if every and number % every == 0 and number < run.steps:
            keep_if_best(run, evaluate(run, number, run.chooses_by), number)
        late = time.monotonic() - saved >= run.config.checkpoint_seconds
        stopped, late = run.world.agree(run.trainee.device, stop(), late)
        if stopped or late or number == run.steps or run.patience_lost:
            _checkpoint(run, number)
            saved = time.monotonic()
        if stopped:
            raise Interrupted(
                f"Stopped after step {number} of {run.steps}; a checkpoint is written.",
                "run the same command again to resume",
            )
        if run.patience_lost:
            progress.note(f"step {number}: the held-out loss has not fallen for {run.config.patience} evaluations")
            return


def keep_if_best(run: Run, loss: float, step: int) -> None:
    """Set the adapter aside if no evaluation has found a lower held-out loss."""
    if math.isfinite(loss) and (loss, step) == min(run.choosing_losses) and run.world.writes:
        checkpoints.save_best(run.out / "checkpoints", {"step": step, "loss": loss, "adapter": _adapter(run)})


@dataclass
class LossWatch:
    """Follows the running mean of the loss and tells when it has run away."""

    mean: float = math.nan
    best: float = math.inf
    over: int = 0

    def diverges(self, loss: float) -> bool:
        """Take in the loss of one more step; true once the mean was over the limit for `PATIENCE` steps."""
        self.mean = loss if math.isnan(self.mean) else SMOOTHING * self.mean + (1 - SMOOTHING) * loss
        self.best = min(self.best, self.mean)
        self.over = self.over + 1 if self.mean > 2 * self.best + 1 else 0
        return self.over >= PATIENCE


def _adapter(run: Run) -> dict[str, Tensor]:
    return {name: parameter.detach() for name, parameter in run.trainee.parameters.items()}


def _checkpoint(run: Run, step: int) -> None:
    if not run.world.writes:
        return
    state = {
        "step": step,
        "adapter": _adapter(run),
        "optimizer": run.optimizer.state_dict(),
        "loss_scale": run.loss_scale,
        "cpu_rng": torch.get_rng_state(),
        "cuda_rng": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "metrics": run.metrics,
    }
    checkpoints.save(run.out / "checkpoints", step, state)
