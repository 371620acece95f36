"""The figures of a training in other programs' forms: off by default, by their own libraries where installed."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from packager.__main__ import main
from packager.llamacpp.vendored import VENDOR
from packager.recipe.sections import Train
from packager.training.writers import figures, silent, writer

ROWS = [
    {"step": 0, "steps": 2, "heldout_loss": 4.5},
    {"step": 1, "steps": 2, "loss": 4.0, "tokens_per_second": 300.0},
    {"step": 2, "steps": 2, "loss": 3.5, "tokens_per_second": 310.0},
]


def written(log: str, folder: Path) -> None:
    with writer(Train.model_validate({"log": log}), folder) as write:
        for row in ROWS:
            write(row)


def test_by_default_nothing_is_written(tmp_path: Path) -> None:
    with writer(Train(), tmp_path) as write:
        assert write is silent
    with writer(Train(log="tensorboard"), None) as write:  # a process that does not write
        assert write is silent
    assert not list(tmp_path.iterdir())
    assert figures(ROWS[1]) == {"loss": 4.0, "tokens_per_second": 300.0}


def test_the_log_is_no_part_of_what_the_result_depends_on() -> None:
    assert Train(log="wandb").model_dump() == Train().model_dump()


def test_tensorboard_reads_back_what_was_written(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is not installed: pip install tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    written("tensorboard", tmp_path)
    board = EventAccumulator(str(tmp_path / "tensorboard"))
    board.Reload()
    assert [(e.step, e.value) for e in board.Scalars("loss")] == [(1, 4.0), (2, 3.5)]


def test_mlflow_reads_back_what_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed: pip install mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    written("mlflow", tmp_path)
    (run,) = mlflow.search_runs(search_all_experiments=True, output_format="list")
    assert run.data.metrics["loss"] == 3.5


def test_wandb_writes_here_when_told_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason="wandb is not installed: pip install wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    written("wandb", tmp_path)
    assert list((tmp_path / "wandb").glob("offline-run-*"))


@pytest.mark.skipif(not VENDOR.joinpath("llama.cpp").is_dir(), reason="vendor is not fetched: make setup")
def test_a_library_that_is_not_there_is_said_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    recipe = tmp_path / "r.yaml"
    recipe.write_text("name: r\nbase: {model: nowhere}\ndata: {source: nowhere.jsonl}\ntrain: {log: mlflow}\n")
    done = CliRunner().invoke(main, ["check", str(recipe)])
    assert done.exit_code == 2
    assert "train.log is mlflow, which is not installed" in done.output
    assert "pip install mlflow" in done.output
