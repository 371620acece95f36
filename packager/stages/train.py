"""A base model and a data set -> a LoRA adapter: `adapter_model.safetensors`, `adapter_config.json`, `metrics.jsonl`.

A plain loop over transformers, peft and bitsandbytes; the parts are in `training/`. Interrupted, it
leaves a checkpoint in `out` and continues from it, step for step as if it had not been. Fails with
`TrainingDiverged` on a loss that is no number or has run away, and with `Interrupted` on a stop.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from packager import proc
from packager.artifacts import Adapter, Checkpoint, Dataset
from packager.errors import InputError, MissingResource
from packager.recipe import Train

if TYPE_CHECKING:
    from packager.stages.training.loop import Run


def train(config: Train, base: Checkpoint, data: Dataset, out: Path) -> Adapter:
    """Train an adapter for `base` on `data.folder`; resumes from `out/checkpoints` if there are any.

    The loss is the mean cross entropy per trained token over the rows of an optimizer step, however
    they are divided into micro-batches. The held-out loss (the same, over all held-out rows) is
    measured before the first step and after the last.
    """
    import torch

    from packager.stages.training import loop

    try:
        run = _prepare(config, base, data, out)
        done = loop.resume(run)
        if not run.metrics:
            _check_base(loop.evaluate(run, 0))
        with proc.deferred_stop() as stop:
            loop.optimize(run, done, stop)
        after = loop.evaluate(run, run.steps)
    except torch.OutOfMemoryError as error:
        raise MissingResource(
            f"The GPU's memory is full: {error}", "lower train.batch.examples_per_micro_batch or data.max_tokens"
        ) from error
    _save(run, out)
    rows = [row for row in run.metrics if "loss" in row]
    return Adapter(
        folder=out,
        method=config.method,
        trainable_parameters=sum(p.numel() for p in run.trainee.parameters.values()),
        total_parameters=base.parameters + sum(p.numel() for p in run.trainee.parameters.values()),
        steps=run.steps,
        tokens_per_second=round(sum(r["tokens"] for r in rows) / sum(r["seconds"] for r in rows), 1),
        heldout_loss_before=run.metrics[0]["heldout_loss"],
        heldout_loss_after=after,
        final_train_loss=rows[-1]["loss"],
    )


def total_steps(config: Train, rows: int) -> int:
    """Optimizer steps of a run: whole steps an epoch, at most `max_steps`."""
    steps = math.ceil(config.epochs * math.ceil(rows / config.batch.examples_per_step))
    return min(steps, config.max_steps or steps)


def _prepare(config: Train, base: Checkpoint, data: Dataset, out: Path) -> Run:
    import torch

    from packager.stages.training import batches, loop, loss, model

    rows, heldout = (batches.read(data.folder / name, data) for name in ("train.jsonl", "heldout.jsonl"))
    trainee = model.load(config, base, mean_tokens=sum(len(r.ids) for r in rows) / len(rows))
    optimizer = torch.optim.AdamW(
        trainee.parameters.values(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
    )
    return loop.Run(
        config=config,
        steps=total_steps(config, len(rows)),
        train=rows,
        heldout=heldout,
        trainee=trainee,
        shortcuts=loss.choose(trainee, rows),
        optimizer=optimizer,
        out=out,
    )


def _check_base(loss: float) -> None:
    if not math.isfinite(loss):
        raise InputError(
            f"The base model's loss is {loss} before any training.",
            "its weights are damaged or do not fit the type they are computed in: choose another base",
        )


def _save(run: Run, out: Path) -> None:
    run.trainee.peft.save_pretrained(out, safe_serialization=True, save_embedding_layers=False)
    (out / "README.md").unlink(missing_ok=True)  # peft's model card; ours describes the package
