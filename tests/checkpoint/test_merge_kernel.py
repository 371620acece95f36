"""vendor/merge-rows.c writes the bytes that numpy does, and measures the same but for the rounding of sums."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from packager.artifacts.files import fresh
from packager.artifacts.kinds import Adapter, Checkpoint, Dataset, Merged
from packager.checkpoint import merge_kernel, merge_writing, weights
from packager.checkpoint.change import change_of, update_of
from packager.checkpoint.lora import Pair
from packager.checkpoint.matrices import Matrices
from packager.checkpoint.merge import merge_adapter
from packager.checkpoint.merge_writing import LARGEST_BITS
from packager.llamacpp.half_precision import Float32, kernel_libraries, to_half
from tests.checkpoint.test_merge import train_like


@pytest.fixture(autouse=True)
def compiled() -> None:
    if not any(hasattr(library, merge_kernel.KERNEL) for library in kernel_libraries()):
        pytest.skip("this llama-cpp-python was not compiled by `make setup` of this version")
    assert merge_kernel._kernel() is not None, "it is there, and does not compute what numpy does"


def drawn(rows: int, columns: int, rank: int, *, size: float = 0.02) -> tuple[Float32, Pair]:
    random = np.random.default_rng(rows * columns + rank)
    old, a, b = (random.normal(0, size, shape) for shape in ((rows, columns), (rank, columns), (rows, rank)))
    return old.astype(np.float32), Pair(a.astype(np.float32), b.astype(np.float32), scale=1.5)


def assert_like_numpy(old: Float32, pair: Pair, meant: Pair, *, start: int = 0) -> None:
    stop = start + len(old)
    add = merge_kernel.adder(pair, meant, start, stop)
    assert add is not None
    bits, found = add(old, start)
    wanted = to_half(pair.merged(old, start, stop))
    np.testing.assert_array_equal(bits, wanted)
    change, moved = change_of(wanted, old, update_of(meant, old, start, stop))
    assert found.change is not None
    figures, others = ([change.square, change.along, change.left, change.rounding] for change in (found.change, change))
    np.testing.assert_allclose([found.delta_square, *figures], [moved, *others], rtol=2e-4, atol=1e-12)
    # The order in which an update is summed decides near ties: a few weights, each off by a unit in the last place.
    unit = float(np.spacing(np.abs(wanted.view(np.float16)).max())) ** 2
    assert found.change.odd == pytest.approx(change.odd, rel=0.01, abs=4 * unit)
    largest_update = float(np.square(update_of(meant, old, start, stop)).max())
    assert found.change.ties == pytest.approx(change.ties, rel=0.01, abs=4 * unit * largest_update)
    assert found.written == wanted.nbytes
    assert found.largest_bits == (wanted & 0x7FFF).max()


@pytest.mark.parametrize(
    ("rows", "columns", "rank"),
    [(1, 16, 1), (5, 16, 3), (6, 512, 16), (7, 528, 16), (13, 1040, 64), (200, 2048, 128), (64, 4864, 8)],
)
def test_bits_and_figures_are_those_of_numpy(rows: int, columns: int, rank: int) -> None:
    old, pair = drawn(rows, columns, rank)
    assert_like_numpy(old, pair, pair)


@pytest.mark.parametrize("scale", [0.99, 1.01, -1.0, 3.0])
def test_another_scale_than_was_meant_shows_in_the_same_figures(scale: float) -> None:
    old, pair = drawn(40, 1024, 16)
    assert_like_numpy(old, replace(pair, scale=pair.scale * scale), pair)


def test_numbers_that_fp16_holds_exactly_lose_small_updates_alike() -> None:
    old, pair = drawn(40, 1024, 16)
    halves, small = old.astype(np.float16).astype(np.float32), replace(pair, scale=0.001)
    assert_like_numpy(halves, small, small)
    add = merge_kernel.adder(small, small, 0, 40)
    assert add is not None
    change = add(halves, 0)[1].change
    assert change is not None
    assert 0 < change.left < 0.9 * change.square


def test_zeros_of_either_sign_stay_what_they_are() -> None:
    old, pair = drawn(8, 64, 4)
    old[::2] = np.float32(-0.0)
    for nothing in (replace(pair, b=pair.b * np.float32(0.0)), replace(pair, b=pair.b * np.float32(-0.0))):
        assert_like_numpy(old, nothing, nothing)


def test_rows_that_are_a_part_of_the_matrix() -> None:
    old, pair = drawn(100, 256, 16)
    add = merge_kernel.adder(pair, pair, 30, 90)
    assert add is not None
    np.testing.assert_array_equal(add(old[41:77], 41)[0], to_half(pair.merged(old[41:77], 41, 77)))
    assert_like_numpy(old[30:90], pair, pair, start=30)


def test_what_does_not_fit_fp16_is_seen() -> None:
    old, pair = drawn(8, 64, 4)
    add = merge_kernel.adder(pair, pair, 0, 8)
    assert add is not None
    for weight in (65519.0, -65520.0, float("inf"), float("nan")):
        old[3, 5] = weight
        assert add(old, 0)[1].largest_bits >= LARGEST_BITS


def test_numpy_computes_what_it_does_not() -> None:
    _, pair = drawn(8, 64, 4)
    assert merge_kernel.adder(replace(pair, magnitude=np.ones(8, np.float32)), pair, 0, 8) is None
    _, uneven = drawn(8, 40, 4)
    assert merge_kernel.adder(uneven, uneven, 0, 8) is None


@pytest.mark.parametrize("nf4", [False, True], ids=["", "nf4"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_checkpoint_is_the_same_bytes_with_it_and_without(
    tiny_base: Checkpoint,
    tiny_data: Dataset,
    tmp_path: Path,
    dtype: torch.dtype,
    nf4: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In blocks and jobs of a few rows, so that each matrix has several."""
    monkeypatch.setattr(merge_writing, "BLOCK", 5 * 64)
    monkeypatch.setattr(merge_writing, "JOB", 17 * 64)
    folder = shutil.copytree(tiny_base.folder, tmp_path / "base")
    kept = {name: tensor.to(dtype) for name, tensor in load_file(folder / "model.safetensors").items()}
    save_file(kept, folder / "model.safetensors", {"format": "pt"})
    base = tiny_base.model_copy(update={"folder": folder})
    adapter: Adapter = train_like(base, tmp_path / "adapter")
    outs = [fresh(tmp_path / name) for name in ("with", "without")]
    kernel, rows = merge_kernel._kernel(), list[int]()
    assert kernel is not None

    def counted(*arguments: Any) -> None:
        rows.append(arguments[1])
        kernel(*arguments)

    def merged(out: Path) -> Merged:
        with weights.Reader() as reader:  # also where there is a GPU, which would merge what is rounded
            matrices = Matrices(reader, torch.device("cpu"), room=0) if nf4 else None
            return merge_adapter(base, tiny_data, adapter, out, nf4=nf4, matrices=matrices)

    monkeypatch.setattr(merge_kernel, "_kernel", lambda: counted)
    compiled = merged(outs[0])
    assert len(rows) > 3 * compiled.pairs_total
    monkeypatch.setattr(merge_kernel, "_kernel", lambda: None)
    by_numpy = merged(outs[1])
    assert (outs[0] / "model.safetensors").read_bytes() == (outs[1] / "model.safetensors").read_bytes()
    assert compiled.moved is not None
    assert by_numpy.moved is not None
    assert compiled.moved.along == pytest.approx(by_numpy.moved.along, rel=1e-5)
    assert compiled.delta_norm == pytest.approx(by_numpy.delta_norm, rel=1e-5)
    assert compiled.pairs_used == by_numpy.pairs_used == compiled.pairs_total
