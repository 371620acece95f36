"""A merge by torch, as on a GPU, writes the bytes that the CPU writes, and measures the same change."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from packager.artifacts.kinds import Adapter, Checkpoint, Dataset
from packager.checkpoint.change import Change, change_of, update_of
from packager.checkpoint.lora import Pair
from packager.checkpoint.matrices import opened
from packager.checkpoint.merge import merge_adapter
from packager.checkpoint.merge_on_device import merged_on_device
from packager.checkpoint.merge_writing import LARGEST_BITS
from packager.llamacpp.half_precision import to_half

ROWS, COLUMNS = 300, 257


def drawn(*shape: int, seed: int, deviation: float = 0.02) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(shape) * deviation).astype(np.float32)


def pair_of(rank: int, seed: int = 1) -> Pair:
    return Pair(a=drawn(rank, COLUMNS, seed=seed), b=drawn(ROWS, rank, seed=seed + 1), scale=1.7)


def on_cpu(old: np.ndarray, pair: Pair, meant: Pair) -> tuple[np.ndarray, Change]:
    bits = to_half(pair.merged(old, 0, ROWS))
    return bits, change_of(bits, old, update_of(meant, old, 0, ROWS))[0]


@pytest.mark.parametrize("rank", [1, 16, 65])
def test_the_same_bits_and_the_same_change(monkeypatch: pytest.MonkeyPatch, rank: int) -> None:
    monkeypatch.setattr("packager.checkpoint.merge_on_device.ROWS_ELEMENTS", 64 * COLUMNS)  # several blocks
    old, pair = drawn(ROWS, COLUMNS, seed=0), pair_of(rank)
    for meant in (pair, replace(pair, scale=1.01 * pair.scale)):
        bits, wanted = on_cpu(old, pair, meant)
        halves, found = merged_on_device(torch.from_numpy(old), pair, meant)
        assert (halves.numpy().view(np.uint16) == bits).all()
        assert found.written == bits.nbytes
        assert found.largest_bits == int((bits & 0x7FFF).max())
        assert found.change is not None
        for name in Change.__dataclass_fields__:
            least = 1e-13 if name == "ties" else 1e-9
            assert getattr(found.change, name) == pytest.approx(getattr(wanted, name), rel=1e-4, abs=least), name


@pytest.mark.parametrize("rank", [1, 2, 16, 33, 300])
def test_no_sum_of_products_is_rounded(rank: int) -> None:
    """So no library's order of summing matters; and what was left out of the factors is little."""
    pair = pair_of(rank)
    uneven = replace(pair, b=pair.b * np.exp2(np.arange(ROWS) % 40 - 20).astype(np.float32)[:, None])
    full = np.random.default_rng(3)
    most = Pair(
        full.uniform(0.5, 1, pair.a.shape).astype(np.float32), full.uniform(0.5, 1, pair.b.shape).astype(np.float32), 1
    )
    for one in (pair, uneven, most, replace(pair, b=np.zeros_like(pair.b))):
        b, a = one.factors(0, ROWS)
        for row, column in ((0, 0), (7, 100), (ROWS - 1, COLUMNS - 1)):
            exact = sum((Fraction(x) * Fraction(y) for x, y in zip(b[row], a[:, column], strict=True)), Fraction())
            assert Fraction((b @ a)[row, column]) == exact
        order = np.random.default_rng(5).permutation(rank + 1)
        assert (b[:, order] @ a[order] == b @ a).all()
        assert (one.factors(100, 200)[0] == b[100:200]).all()
        wanted = one.scale * (one.b.astype(np.float64) @ one.a.astype(np.float64))
        lengths = np.linalg.norm(wanted, axis=1, keepdims=True) / COLUMNS**0.5
        assert (np.abs(b @ a - wanted) <= 1e-5 * lengths).all()  # FP16 rounds by 2e-4


def test_rows_of_a_may_be_of_any_size() -> None:
    pair = pair_of(16)
    uneven = replace(pair, a=pair.a * np.exp2(np.arange(16) - 8).astype(np.float32)[:, None])
    wanted = uneven.scale * (uneven.b.astype(np.float64) @ uneven.a.astype(np.float64))
    b, a = uneven.factors(0, ROWS)
    lengths = np.linalg.norm(wanted, axis=1, keepdims=True) / COLUMNS**0.5
    assert (np.abs(b @ a - wanted) <= 1e-6 * lengths).all()


@pytest.mark.parametrize("rank", [1, 2, 16])
def test_a_zero_has_the_sign_of_the_base_on_every_device(rank: int) -> None:
    pair = Pair(a=np.full((rank, COLUMNS), -1, np.float32), b=np.zeros((ROWS, rank), np.float32), scale=1)
    old = np.full((ROWS, COLUMNS), -0.0, np.float32)
    halves, _ = merged_on_device(torch.from_numpy(old), pair, None)
    assert (halves.numpy().view(np.uint16) == to_half(pair.merged(old, 0, ROWS))).all()


def test_nothing_meant_and_nothing_added() -> None:
    old = drawn(ROWS, COLUMNS, seed=0)
    halves, found = merged_on_device(torch.from_numpy(old), None, None)
    assert (halves.numpy().view(np.uint16) == to_half(old)).all()
    assert found.change is None
    assert found.delta_square == 0


def test_what_was_lost_is_seen() -> None:
    """The update was meant, and is not in the bytes."""
    old, pair = to_half(drawn(ROWS, COLUMNS, seed=0)).view(np.float16).astype(np.float32), pair_of(8)
    _, found = merged_on_device(torch.from_numpy(old), None, pair)
    assert found.change is not None
    assert found.change.along == pytest.approx(0, abs=1e-6 * found.change.square)


def test_overflow_is_seen() -> None:
    _, found = merged_on_device(torch.full((2, 64), 70000.0), None, None)
    assert found.largest_bits >= LARGEST_BITS


def adapter_of(base: Checkpoint, folder: Path) -> Adapter:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base.folder, dtype=torch.float32)
    config = LoraConfig(r=8, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False)
    get_peft_model(model, config).save_pretrained(folder)
    return Adapter.model_construct(folder=folder, method="qlora", as_trained=None)


@pytest.mark.gpu
@pytest.mark.parametrize("nf4", [False, True])
def test_a_gpu_writes_the_same_files(
    tiny_base: Checkpoint, tiny_data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nf4: bool
) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    adapter = adapter_of(tiny_base, tmp_path / "adapter")
    for name in ("gpu", "cpu"):
        (tmp_path / name).mkdir()
    with opened() as matrices:
        on_gpu = merge_adapter(tiny_base, tiny_data, adapter, tmp_path / "gpu", nf4=nf4, matrices=matrices)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with opened() as matrices:
        on_cpu = merge_adapter(tiny_base, tiny_data, adapter, tmp_path / "cpu", nf4=nf4, matrices=matrices)
    for path in sorted((tmp_path / "cpu").glob("*.safetensors")):
        assert path.read_bytes() == (tmp_path / "gpu" / path.name).read_bytes()
    assert on_gpu.pairs_used == on_cpu.pairs_used
    assert on_gpu.delta_norm == pytest.approx(on_cpu.delta_norm, rel=1e-5)
