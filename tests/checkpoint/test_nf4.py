"""Rounding to NF4 is bitsandbytes' own, and says the same whatever computes it."""

from __future__ import annotations

import pytest
import torch

from packager.checkpoint.nf4 import PIECE, _nearest, round_trip


def drawn(rows: int, columns: int) -> torch.Tensor:
    return torch.randn((rows, columns), generator=torch.Generator().manual_seed(rows)) * 0.02


def by_bitsandbytes(matrix: torch.Tensor) -> torch.Tensor:
    """As one row, which its CPU code reads right whatever the number of columns."""
    from bitsandbytes import functional

    packed, state = functional.quantize_4bit(matrix.reshape(-1), quant_type="nf4", compress_statistics=True)
    return functional.dequantize_4bit(packed, state).view(matrix.shape)


@pytest.mark.parametrize("shape", [(64, 64), (100, 96), (96, 160), (7, 576), (300, 640)])
def test_values_are_those_of_bitsandbytes(shape: tuple[int, int]) -> None:
    """A scale may fall into the next of its 256 steps, where the means differ in their last bit."""
    matrix = drawn(*shape)
    apart = (round_trip(matrix) - by_bitsandbytes(matrix)).abs()
    assert apart.max() < 2e-3
    assert (apart > 1e-6).float().mean() < 0.01


def test_a_matrix_that_is_no_whole_number_of_blocks() -> None:
    matrix = drawn(33, 50)
    assert round_trip(matrix).shape == (33, 50)
    assert (round_trip(matrix) - matrix).norm() < 0.1 * matrix.norm()


def test_the_nearest_value_is_that_of_torch_s_search() -> None:
    """Also in the middle between two, and beside it; over more weights than are compared at once."""
    middles = torch.linspace(-0.9, 0.9, 15)
    above, below = (torch.nextafter(middles, torch.full((15,), side)) for side in (9.0, -9.0))
    drawn_ones = torch.rand(PIECE + 100, generator=torch.Generator().manual_seed(0)) * 2 - 1
    scaled = torch.cat([middles, above, below, torch.tensor([-1.0, -0.0, 0.0, 1.0]), drawn_ones])
    assert torch.equal(_nearest(scaled, middles), torch.bucketize(scaled, middles, out_int32=True))


def test_bits_do_not_depend_on_threads() -> None:
    matrix, before = drawn(1024, 512), torch.get_num_threads()
    try:
        found = []
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            found.append(round_trip(matrix))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(found[0], other) for other in found[1:])


@pytest.mark.gpu
def test_a_gpu_gives_the_same_bits() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    for matrix in (drawn(1000, 640), drawn(33, 50)):
        assert torch.equal(round_trip(matrix.cuda()).cpu(), round_trip(matrix))
