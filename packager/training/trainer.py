"""A recipe's training, base and rows -> the adapter in its folder, from the first step to the last.

Interrupted, it leaves a checkpoint and continues from it, step for step as if it had not been. Fails with
`TrainingDiverged` on a loss that is no number or has run away, `MissingResource` when the GPU's memory is full,
and `Interrupted` on a stop.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch

from packager.artifacts.kinds import Adapter, Checkpoint, Dataset
from packager.data.conversations import CHOOSING, HELDOUT, TRAIN
from packager.errors import InputError, MissingResource
from packager.process import progress, stopping
from packager.recipe.idle import idle_steps
from packager.recipe.sections import Train
from packager.training import batches, checkpoints, compute, loftq, loop, memory, model, witness, writers
from packager.training.parallel import World
from packager.training.run import Run, evaluate, optimizer


def train_adapter(
    config: Train, base: Checkpoint, data: Dataset, more: Path | None, out: Path, world: World
) -> Adapter:
    """This process's part of training an adapter into `out`; resumes from `out/checkpoints` if there are any. `more` is
    a file of rows beside the data's."""
    try:
        run = _prepare(config, base, data, more, out, world)
        done = loop.resume(run)
        with writers.writer(config, out.parent if world.writes else None) as run.write:
            if not run.metrics:
                _check_base(evaluate(run, 0))
                progress.note(f"training will take about {progress.duration(_expected_seconds(run))}")
            with stopping.deferred_stop() as stop:
                loop.optimize(run, done, stop)
            before, after = run.metrics[0]["heldout_loss"], _finish(run)
        seen = witness.as_trained(run)
    except torch.OutOfMemoryError as error:
        raise MissingResource(
            f"The GPU's memory is full: {error}", "lower train.batch.examples_per_micro_batch or data.max_tokens"
        ) from error
    if world.writes:
        _save(run, out)
    rows = [row for row in run.metrics if "loss" in row]
    return Adapter(
        folder=out,
        method=config.method,
        trainable_parameters=sum(p.numel() for p in run.trainee.parameters.values()),
        total_parameters=base.parameters + sum(p.numel() for p in run.trainee.parameters.values()),
        steps=int(rows[-1]["step"]),
        tokens_per_second=round(sum(r["tokens"] for r in rows) / sum(r["seconds"] for r in rows), 1),
        heldout_loss_before=before,
        heldout_loss_after=after,
        final_train_loss=rows[-1]["loss"],
        as_trained=seen,
        on_nf4=config.method == "qlora" and not config.lora.loftq,
    )


def _prepare(config: Train, base: Checkpoint, data: Dataset, more: Path | None, out: Path, world: World) -> Run:
    rows, heldout = (batches.read(data.folder / name, data) for name in (TRAIN, HELDOUT))
    rows += batches.read(more, data) if more else []
    apart = config.evaluate_every and (data.folder / CHOOSING).is_file()
    choosing = batches.read(data.folder / CHOOSING, data) if apart else []
    trainee = model.load(config, base, sum(len(r.ids) for r in rows) / len(rows), world)
    if config.lora.loftq:
        loftq.start(trainee, base, out)
    steps, examples = config.steps(len(rows)), config.batch.examples_per_step
    for idle in idle_steps(config, steps):
        progress.note(f"no effect: {idle}")
    plan = memory.choose(trainee, config, [len(row.ids) for row in rows + heldout + choosing], steps, world)
    if world.size > 1:
        torch.manual_seed(config.seed + world.rank)  # not the same dropout everywhere
    ways = compute.choose(trainee, rows + heldout + choosing, plan, config.batch.examples_per_micro_batch or examples)
    return Run(
        config=config,
        steps=steps,
        train=rows,
        heldout=heldout,
        choosing=choosing,
        trainee=trainee,
        compute=ways,
        optimizer=optimizer(config, trainee, paged=plan.paged),
        out=out,
        world=world,
        loss_scale=2.0**16 if trainee.dtype == torch.float16 else 1.0,
    )


def _expected_seconds(run: Run) -> float:
    """How long the steps will take, by the pass over the held-out rows that was just made.

    A frozen matrix is multiplied once forward and once for the gradient of its input, so a trained
    token costs two of a scored one (measured: 2.2 on a CPU).
    """
    scored, rows = sum(len(row.ids) for row in run.heldout), run.train
    trained = run.steps * run.config.batch.examples_per_step * sum(len(row.ids) for row in rows) / len(rows)
    return 2 * run.metrics[0]["seconds"] * trained / scored


def _finish(run: Run) -> float:
    """The held-out loss of the adapter that is kept: the last, or on schedule the best, chosen by rows of its own
    where there are enough."""
    last, part = int(run.metrics[-1]["step"]), run.chooses_by
    known = run.metrics[-1].get(f"{part}_loss")
    loss = evaluate(run, last, part) if known is None else known
    best = checkpoints.best(run.out / "checkpoints") if run.config.evaluate_every else None
    if best is not None and not best["loss"] >= loss:  # one that is no number is worse
        progress.note(f"kept is the adapter of step {best['step']}, which had the least held-out loss")
        loop.restore(run, best["adapter"])
        loss = float(best["loss"])
    return evaluate(run, last) if part == "choosing" else loss


def _check_base(loss: float) -> None:
    if not math.isfinite(loss):
        raise InputError(
            f"The base model's loss is {loss} before any training.",
            "its weights are damaged or do not fit the type they are computed in: choose another base",
        )


def _save(run: Run, out: Path) -> None:
    run.trainee.peft.save_pretrained(out, safe_serialization=True, save_embedding_layers=False)
    (out / "README.md").unlink(missing_ok=True)  # peft's model card; ours describes the package
    if run.config.lora.loftq:
        loftq.rebase(out)
