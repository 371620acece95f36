"""Two processes (gloo, on the CPU) train what one does, with the base whole or divided; they stop and resume."""

from __future__ import annotations

import json
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from packager.artifacts.kinds import Checkpoint, Dataset
from packager.errors import InputError
from packager.process import child, progress
from packager.recipe.sections import Train
from packager.stages.train import train

if TYPE_CHECKING:
    from packager.training.parallel import World


def settings(**changes: Any) -> Train:
    given = {"batch": {"examples_per_step": 5}, "learning_rate": 5e-3, "max_steps": 6, "epochs": 9}
    return Train.model_validate(given | changes)


def rows_of(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


@dataclass(frozen=True)
class Trained:
    """A finished training of six steps: what it reported as done, and its folder."""

    out: Path
    done: list[object]


def trained(config: Train, base: Checkpoint, data: Dataset, out: Path) -> Trained:
    seen: list[progress.Event] = []
    with progress.route(seen.append):
        assert train(config, base, data, out).steps == 6
    return Trained(out, [e["done"] for e in seen if e.get("unit") == "steps"])


@pytest.fixture(scope="module")
def by_two(tiny_base: Checkpoint, tiny_data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Trained by two processes that keep a checkpoint of every step. Copy it before changing it."""
    config = settings(devices=2, checkpoint_seconds=1e-6)
    return trained(config, tiny_base, tiny_data, tmp_path_factory.mktemp("by_two"))


@pytest.mark.slow
def test_two_processes_train_what_one_does(
    by_two: Trained, tiny_base: Checkpoint, tiny_data: Dataset, tmp_path: Path
) -> None:
    by_one = trained(settings(devices=1), tiny_base, tiny_data, tmp_path)
    assert by_one.done == by_two.done == [1, 2, 3, 4, 5, 6]
    for one, two in zip(rows_of(by_one.out), rows_of(by_two.out), strict=True):
        for figure in ("loss", "heldout_loss", "grad_norm", "entropy"):
            assert (figure in one) == (figure in two)
            if figure in one:
                assert two[figure] == pytest.approx(one[figure], rel=2e-3)
        if "token_accuracy" in one:  # of few tokens: in bf16, rounding makes another the likeliest now and then
            assert two["token_accuracy"] == pytest.approx(one["token_accuracy"], abs=0.03)


@pytest.mark.slow
def test_two_processes_resume_from_a_checkpoint(
    by_two: Trained, tiny_base: Checkpoint, tiny_data: Dataset, tmp_path: Path
) -> None:
    parts = tmp_path / "parts"
    shutil.copytree(by_two.out, parts)
    shutil.rmtree(parts / "checkpoints" / "step-0000006")
    (parts / "adapter_model.safetensors").unlink()
    resumed = trained(settings(devices=2, checkpoint_seconds=1e-6), tiny_base, tiny_data, parts)
    assert resumed.done == [6]
    for one, other in zip(rows_of(by_two.out), rows_of(parts), strict=True):
        assert other.get("loss", 0) == pytest.approx(one.get("loss", 0), rel=1e-5)


@pytest.mark.slow
def test_two_hosts_train_what_two_processes_do(
    by_two: Trained, tiny_base: Checkpoint, tiny_data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        monkeypatch.setenv("PET_RDZV_ENDPOINT", f"127.0.0.1:{free.getsockname()[1]}")
    monkeypatch.setenv("PET_NNODES", "2")
    hosts = [tmp_path / "first", tmp_path / "second"]

    def on(out: Path) -> None:
        out.mkdir()
        child.call(train, settings(), tiny_base, tiny_data, out, log=out.with_suffix(".log"), timeout=300)

    with ThreadPoolExecutor(len(hosts)) as pool:
        list(pool.map(on, hosts))
    for host in hosts:
        assert (host / "adapter_config.json").is_file()
        for one, other in zip(rows_of(by_two.out), rows_of(host), strict=True):
            assert other.get("loss", 0) == pytest.approx(one.get("loss", 0), rel=2e-3)
    one, other = ((host / "adapter_model.safetensors").read_bytes() for host in hosts)
    assert one == other


@pytest.mark.slow
def test_a_process_s_error_is_the_build_s(tiny_base: Checkpoint, tiny_data: Dataset, tmp_path: Path) -> None:
    config = settings(devices=2, lora={"targets": ["qkv_proj"]})
    with pytest.raises(InputError, match="no layer"):
        train(config, tiny_base, tiny_data, tmp_path)


def gradient_norm(
    divided: bool, count: int, base: Checkpoint, data: Dataset, world: World
) -> tuple[float, float, float, int]:
    """Loss and norm of the gradient of some rows, their held-out loss, and how many numbers of frozen weights this
    process holds."""
    import torch

    from packager.training import batches, model, step
    from packager.training.compute import PLAIN, SideBySide
    from packager.training.run import Run, evaluate, optimizer

    trainee = model.load(settings(), base, 50, world, sharded=divided)
    assert trainee.weights.grad is not None
    with torch.no_grad():
        torch.manual_seed(1)
        trainee.weights.add_(torch.randn_like(trainee.weights) * 0.1)
    rows = batches.read(data.folder / "train.jsonl", data)[:count]
    config = settings(learning_rate=1e-9)
    way, opt = SideBySide(trainee, PLAIN, 2), optimizer(config, trainee)
    run = Run(config, 1, rows, rows, [], trainee, way, opt, Path(tempfile.mkdtemp()), world)
    heldout = evaluate(run, 0)
    taken = step.take(run, step.Step(1, rows))
    held = sum(m.weight.numel() for n, m in trainee.peft.named_modules() if n.endswith("base_layer"))
    return taken["loss"], taken["grad_norm"], heldout, held


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 5])
def test_a_divided_base_gives_the_same_gradient(count: int, tiny_base: Checkpoint, tiny_data: Dataset) -> None:
    """Also where one process has fewer batches than the other, or none."""
    from packager.training.launch import together
    from packager.training.parallel import ALONE

    expected = gradient_norm(False, count, tiny_base, tiny_data, ALONE)
    loss, norm, heldout, held = together(gradient_norm, 2, True, count, tiny_base, tiny_data)
    assert (loss, norm) == (pytest.approx(expected[0], rel=1e-4), pytest.approx(expected[1], rel=1e-3))
    assert heldout == pytest.approx(expected[2], rel=1e-4)
    assert held == expected[3] // 2


@pytest.fixture(scope="module", autouse=True)
def found_by_the_processes() -> Iterator[None]:
    """One thread each, and this module importable in the processes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]))
        yield
