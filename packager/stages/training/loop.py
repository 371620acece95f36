"""The training loop: steps until the plan is done, with checkpoints, a stop on request, and a watch.

Fails with `Interrupted` when asked to stop (after a checkpoint) and with `TrainingDiverged` when
the loss or the gradient is no longer a number, or the loss has run away.
"""

from __future__ import annotations

import itertools
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from packager import progress
from packager.artifacts import write_atomically
from packager.chat import Encoded
from packager.errors import Interrupted, TrainingDiverged
from packager.recipe import Train
from packager.stages.training import batches, checkpoints
from packager.stages.training.loss import Shortcuts, summed
from packager.stages.training.model import Trainee

METRICS = "metrics.jsonl"
SMOOTHING, PATIENCE = 0.9, 20
"""Divergence is judged on the running mean of the loss, and after this many steps in a row."""

Metrics = list[dict[str, float]]
"""One dict a step; `heldout_loss` at step 0 and after the last."""


@dataclass(frozen=True)
class Run:
    """What a training run consists of; only `trainee`, `optimizer` and `metrics` change."""

    config: Train
    steps: int
    train: Sequence[Encoded]
    heldout: Sequence[Encoded]
    trainee: Trainee
    shortcuts: Shortcuts
    optimizer: torch.optim.Optimizer
    out: Path
    metrics: Metrics = field(default_factory=list)

    @property
    def micro_batch(self) -> int:
        batch = self.config.batch
        return batch.examples_per_micro_batch or batch.examples_per_step

    @property
    def losses(self) -> list[float]:
        """The training loss of every step done."""
        return [row["loss"] for row in self.metrics if "loss" in row]


def learning_rate(config: Train, step: int, steps: int) -> float:
    """The learning rate of step `step` (from 0) of `steps`: a ramp from 0, then the schedule."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / (config.warmup_steps + 1)
    done = (step - config.warmup_steps) / max(1, steps - config.warmup_steps)
    share = {"constant": 1.0, "linear": 1 - done, "cosine": (1 + math.cos(math.pi * done)) / 2}
    return config.learning_rate * share[config.schedule]


def resume(run: Run) -> int:
    """Restore the newest whole checkpoint into `run`, if there is one; returns the steps done."""
    state = checkpoints.newest(run.out / "checkpoints")
    run.metrics[:] = state["metrics"] if state else []
    write_atomically(run.out / METRICS, "".join(json.dumps(row) + "\n" for row in run.metrics))
    if state is None:
        return 0
    with torch.no_grad():
        for name, parameter in run.trainee.parameters.items():
            parameter.copy_(state["adapter"][name])
    run.optimizer.load_state_dict(state["optimizer"])
    torch.set_rng_state(state["cpu_rng"])
    if state["cuda_rng"] and run.trainee.device.type == "cuda":
        torch.cuda.set_rng_state_all(state["cuda_rng"])
    return int(state["step"])


def evaluate(run: Run, step: int) -> float:
    """The held-out loss per trained token, recorded as of `step`."""
    began, loss, tokens, done = time.monotonic(), 0.0, 0, 0
    run.trainee.peft.eval()
    with torch.no_grad():
        for rows in batches.pieces(run.heldout, run.micro_batch):
            loss += summed(run.trainee, rows, run.shortcuts).item()
            tokens += batches.trained_tokens(rows)
            done += len(rows)
            progress.update(done, len(run.heldout), "held-out rows", loss=loss / tokens)
    _record(run, {"step": step, "heldout_loss": loss / tokens, "seconds": round(time.monotonic() - began, 3)})
    return loss / tokens


def optimize(run: Run, done: int, stop: Callable[[], bool]) -> None:
    """Take the steps from `done` to the last; `stop` tells whether to save and leave.

    A checkpoint is written every `checkpoint_seconds`, on a stop, and after the last step.
    """
    lengths = [len(row.ids) for row in run.train]
    planned = batches.steps(lengths, run.config.batch.examples_per_step, run.config.seed)
    watch = Watch()
    for loss in run.losses:
        watch.diverges(loss)
    saved = time.monotonic()
    run.trainee.peft.train()
    for number, chosen in enumerate(itertools.islice(planned, done, run.steps), done + 1):
        row = _step(run, number, [run.train[i] for i in chosen])
        _record(run, row)
        progress.update(
            number, run.steps, "steps", loss=round(row["loss"], 3), tokens_per_s=round(row["tokens_per_second"])
        )
        if watch.diverges(row["loss"]):
            raise _diverged(run, number, f"the loss has run away (now {row['loss']:.2f}, at best {watch.best:.2f})")
        stopped = stop()
        if stopped or number == run.steps or time.monotonic() - saved >= run.config.checkpoint_seconds:
            _checkpoint(run, number)
            saved = time.monotonic()
        if stopped:
            raise Interrupted(
                f"Stopped after step {number} of {run.steps}; a checkpoint is written.",
                "run the same command again to resume",
            )


@dataclass
class Watch:
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


def _step(run: Run, number: int, rows: Sequence[Encoded]) -> dict[str, float]:
    """One optimizer step on the mean loss per trained token of `rows`; returns its metrics."""
    began, trained = time.monotonic(), batches.trained_tokens(rows)
    loss = torch.zeros((), device=run.trainee.device)
    for part in batches.pieces(rows, run.micro_batch):
        share = summed(run.trainee, part, run.shortcuts) / trained
        share.backward()  # type: ignore[no-untyped-call]
        loss += share.detach()
    norm = torch.nn.utils.clip_grad_norm_(run.trainee.parameters.values(), run.config.max_grad_norm)
    if not (math.isfinite(loss.item()) and math.isfinite(norm.item())):
        raise _diverged(run, number, f"the loss is {loss.item()} and the norm of the gradient {norm.item()}")
    rate = learning_rate(run.config, number - 1, run.steps)
    for group in run.optimizer.param_groups:
        group["lr"] = rate
    run.optimizer.step()
    run.optimizer.zero_grad()
    seconds = time.monotonic() - began
    tokens = sum(len(row.ids) for row in rows)
    return {
        "step": number,
        "loss": loss.item(),
        "learning_rate": rate,
        "grad_norm": norm.item(),
        "tokens": tokens,
        "tokens_per_second": round(tokens / seconds, 1),
        "seconds": round(seconds, 3),
    }


def _diverged(run: Run, step: int, what: str) -> TrainingDiverged:
    last = checkpoints.newest(run.out / "checkpoints")
    kept = f"the last good checkpoint is of step {last['step']}" if last else "there is no checkpoint before it"
    return TrainingDiverged(
        f"Training diverged at step {step} of {run.steps}: {what}; {kept}.",
        f"lower train.learning_rate (it is {run.config.learning_rate:g}), for example to"
        f" {run.config.learning_rate / 3:.1g}, or raise train.warmup_steps (it is {run.config.warmup_steps});"
        " resuming with the same settings would diverge again",
    )


def _record(run: Run, row: dict[str, float]) -> None:
    run.metrics.append(row)
    with (run.out / METRICS).open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def _checkpoint(run: Run, step: int) -> None:
    state = {
        "step": step,
        "adapter": {name: parameter.detach() for name, parameter in run.trainee.parameters.items()},
        "optimizer": run.optimizer.state_dict(),
        "cpu_rng": torch.get_rng_state(),
        "cuda_rng": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "metrics": run.metrics,
    }
    checkpoints.save(run.out / "checkpoints", step, state)
