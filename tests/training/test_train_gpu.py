"""The train stage on a CUDA device: `pytest -m gpu` where there is one."""

from __future__ import annotations

import json
import math
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from packager.artifacts.kinds import Checkpoint, Dataset
from packager.errors import Interrupted, MissingResource
from packager.process import progress
from packager.recipe.sections import Train
from packager.stages.train import train

pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True)
def _device() -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")


def settings(**changes: Any) -> Train:
    given = {"batch": {"examples_per_step": 4}, "learning_rate": 5e-3, "max_steps": 40, "epochs": 99}
    return Train.model_validate(given | changes)


def losses(out: Path) -> list[float]:
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [row["loss"] for row in rows if "loss" in row]


@pytest.mark.parametrize("method", ["qlora", "lora"])
def test_it_learns(method: str, tiny_base: Checkpoint, tiny_data: Dataset, tmp_path: Path) -> None:
    adapter = train(settings(method=method), tiny_base, tiny_data, tmp_path)
    assert adapter.heldout_loss_after < adapter.heldout_loss_before - 0.5
    assert abs(adapter.heldout_loss_before - math.log(486)) < 0.2  # a random model guesses


def test_as_on_a_card_without_bf16_and_flash_attention(
    tiny_base: Checkpoint, tiny_data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from packager.training import attention, model

    for name in ("bf16", "fp16"):
        (tmp_path / name).mkdir()
    flash = train(settings(), tiny_base, tiny_data, tmp_path / "bf16")
    monkeypatch.setattr(attention, "has_flash", lambda *_: False)
    monkeypatch.setattr(model, "compute_dtype", lambda _: torch.float16)
    masked = train(settings(), tiny_base, tiny_data, tmp_path / "fp16")
    assert masked.heldout_loss_after == pytest.approx(flash.heldout_loss_after, rel=0.02)
    assert losses(tmp_path / "fp16")[0] == pytest.approx(losses(tmp_path / "bf16")[0], rel=0.01)


def test_stopped_and_resumed_equals_uninterrupted(tiny_base: Checkpoint, tiny_data: Dataset, tmp_path: Path) -> None:
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    config = settings(lora={"dropout": 0.1}, max_steps=8)
    train(config, tiny_base, tiny_data, tmp_path / "whole")

    def stop(event: progress.Event) -> None:
        if event.get("unit") == "steps" and event["done"] == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    with progress.route(stop), pytest.raises(Interrupted):
        train(config, tiny_base, tiny_data, tmp_path / "parts")
    train(config, tiny_base, tiny_data, tmp_path / "parts")
    assert losses(tmp_path / "parts") == pytest.approx(losses(tmp_path / "whole"), rel=1e-3)


def test_a_card_that_is_too_small_is_refused_before_the_first_step(
    tiny_base: Checkpoint, tiny_data: Dataset, tmp_path: Path
) -> None:
    import torch

    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(2**28 / total)
    try:
        with pytest.raises(MissingResource, match="memory is too small"):
            train(settings(), tiny_base, tiny_data, tmp_path)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert not (tmp_path / "metrics.jsonl").exists()


def test_two_cards_train_what_one_does(tiny_base: Checkpoint, tiny_data: Dataset, tmp_path: Path) -> None:
    import torch

    if torch.cuda.device_count() < 2:
        pytest.skip("needs two CUDA devices")
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    one = train(settings(devices=1, max_steps=6), tiny_base, tiny_data, tmp_path / "one")
    two = train(settings(devices=2, max_steps=6), tiny_base, tiny_data, tmp_path / "two")
    assert two.heldout_loss_after == pytest.approx(one.heldout_loss_after, rel=5e-3)
