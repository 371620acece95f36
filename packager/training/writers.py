"""The figures of a training -> TensorBoard, MLflow or Weights & Biases, by their own libraries.

Only where `train.log` names one; then it has to be installed (`check` says so). TensorBoard and MLflow write into the
run folder; Weights & Biases sends them where its own settings say (`WANDB_MODE=offline` keeps them here). Nothing of
the data is handed on: figures, and the settings of the training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from packager.recipe.sections import Train

Row = Mapping[str, float]
Writer = Callable[[Row], None]


def silent(row: Row) -> None:
    """For a training that is logged nowhere but in its own metrics."""


@contextmanager
def writer(config: Train, run_folder: Path | None) -> Iterator[Writer]:
    """What takes each row of the metrics, for the duration of the block; logs go below `run_folder` (None: a process
    that does not write)."""
    if config.log == "none" or run_folder is None:
        yield silent
        return
    settings = config.model_dump(mode="json")
    ways = {"tensorboard": _tensorboard, "mlflow": _mlflow, "wandb": _wandb}
    with ways[config.log](settings, run_folder) as write:
        yield write


@contextmanager
def _tensorboard(settings: dict[str, Any], run_folder: Path) -> Iterator[Writer]:
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(run_folder / "tensorboard") as board:
        board.add_text("train", f"`{settings}`")

        def write(row: Row) -> None:
            for name, value in figures(row).items():
                board.add_scalar(name, value, int(row["step"]))
            board.flush()

        yield write


@contextmanager
def _mlflow(settings: dict[str, Any], run_folder: Path) -> Iterator[Writer]:
    import os

    import mlflow

    if "MLFLOW_TRACKING_URI" not in os.environ:
        mlflow.set_tracking_uri(f"sqlite:///{run_folder.resolve() / 'mlflow.db'}")
    mlflow.set_experiment(run_folder.name)
    with mlflow.start_run():
        mlflow.log_params(settings)
        yield lambda row: mlflow.log_metrics(dict(figures(row)), step=int(row["step"]))


@contextmanager
def _wandb(settings: dict[str, Any], run_folder: Path) -> Iterator[Writer]:
    import wandb

    with wandb.init(project="packager", name=run_folder.name, dir=str(run_folder), config=settings) as run:
        yield lambda row: run.log(dict(figures(row)), step=int(row["step"]))


def figures(row: Row) -> dict[str, float]:
    """A row of the metrics without its step."""
    return {name: float(value) for name, value in row.items() if name not in ("step", "steps")}
