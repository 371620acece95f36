"""A merge is judged along the adapter's update: small updates on large bases pass, wrong ones never do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from packager.checkpoint import change, lora, nf4
from packager.checkpoint.change import Change
from packager.llamacpp.half_precision import to_half

OFF, UNEXPLAINED = 2e-3, 0.02
"""The limits of `merge.delta`."""


def base_of(kind: str, rows: int, columns: int, size: float = 0.02) -> change.Float32:
    """Weights of a base in FP32, in bfloat16 (so FP16 numbers all), or rounded to NF4."""
    drawn = np.random.default_rng(0).standard_normal((rows, columns), np.float32) * np.float32(size)
    if kind == "bfloat16":
        return (drawn.view(np.uint32) & 0xFFFF0000).view(np.float32)
    return nf4.round_trip(torch.from_numpy(drawn)).numpy() if kind == "nf4" else drawn


def pair_of(rows: int, columns: int, update: float, rank: int = 8, *, dora: bool = False) -> lora.Pair:
    """A pair whose update has this standard deviation."""
    random = np.random.default_rng(1)
    a, b = (random.standard_normal(shape, np.float32) for shape in ((rank, columns), (rows, rank)))
    magnitude = np.full(rows, 0.02 * columns**0.5 * 1.001, np.float32) if dora else None
    return lora.Pair(a, b * np.float32(update / 2 / rank**0.5), 2.0, magnitude)


def measured(base: change.Float32, meant: lora.Pair, written: change.Float32) -> Change:
    """In blocks, as the merge does it."""
    total, step = Change(), 100
    for start in range(0, len(base), step):
        stop = min(start + step, len(base))
        old, bits = base[start:stop], to_half(written[start:stop])
        found, moved = change.change_of(bits, old, change.update_of(meant, old, start, stop))
        wanted = np.square(bits.view(np.float16).astype(np.float64) - old).sum()
        assert moved == pytest.approx(wanted, rel=1e-4, abs=1e-5 * found.square)
        total += found
    return total


def passes(found: Change) -> bool:
    return found.off <= OFF and found.unexplained <= UNEXPLAINED


@pytest.mark.parametrize("kind", ["float32", "bfloat16", "nf4"])
@pytest.mark.parametrize("update", [1e-2, 1e-4, 6e-6, 3e-6])
class TestAtAnySize:
    """An update of 6e-6 is that of four steps on an 8B model: less than half of FP16's last place at 0.02."""

    def test_a_right_merge_passes(self, kind: str, update: float) -> None:
        base, pair = base_of(kind, 600, 2048), pair_of(600, 2048, update)
        found = measured(base, pair, pair.merged(base, 0, 600))
        assert passes(found)
        assert (found.off, found.unexplained) == (0, 0)

    @pytest.mark.parametrize("fault", [1.01, 0.99, -1.0, 0.5])
    def test_another_scale_fails(self, kind: str, update: float, fault: float) -> None:
        base, pair = base_of(kind, 600, 2048), pair_of(600, 2048, update)
        wrong = replace(pair, scale=pair.scale * fault)
        assert not passes(measured(base, pair, wrong.merged(base, 0, 600)))

    def test_another_matrix_fails(self, kind: str, update: float) -> None:
        """Rows of B rolled: as long as the right update, and another."""
        base, pair = base_of(kind, 600, 2048), pair_of(600, 2048, update)
        wrong = replace(pair, b=np.roll(pair.b, 1, 0))
        assert not passes(measured(base, pair, wrong.merged(base, 0, 600)))

    def test_nothing_merged_fails(self, kind: str, update: float) -> None:
        base, pair = base_of(kind, 600, 2048), pair_of(600, 2048, update)
        found = measured(base, pair, base)
        assert found.off == pytest.approx(1, abs=0.1)
        assert not passes(found)

    def test_another_order_of_sums_passes(self, kind: str, update: float) -> None:
        """As a merge elsewhere would round: float64, then FP16."""
        base, pair = base_of(kind, 600, 2048), pair_of(600, 2048, update)
        exact = base.astype(np.float64) + pair.scale * pair.b.astype(np.float64) @ pair.a.astype(np.float64)
        assert passes(measured(base, pair, exact.astype(np.float32)))


@pytest.mark.parametrize(("kind", "longer", "left"), [("nf4", 1.24, 1.0), ("bfloat16", 1.02, 0.86)])
def test_four_steps_on_a_matrix_of_8b(kind: str, longer: float, left: float) -> None:
    """The lengths alone differ by a fifth, as they did in a real build of Llama-3.1-8B's shape."""
    base, pair = base_of(kind, 2048, 4096), pair_of(2048, 4096, 5.8e-6, rank=16)
    merged = pair.merged(base, 0, 2048)
    found = measured(base, pair, merged)
    moved = to_half(merged).view(np.float16).astype(np.float32) - base
    assert np.linalg.norm(moved) / found.square**0.5 == pytest.approx(longer, abs=0.03)
    assert found.left / found.square == pytest.approx(left, abs=0.01)
    assert passes(found)
    wrong = replace(pair, scale=1.01 * pair.scale)
    assert measured(base, pair, wrong.merged(base, 0, 2048)).off == pytest.approx(0.01, rel=0.6)


@pytest.mark.parametrize(("deviation", "term"), [(1.0, 0.0), (0.4, -0.085), (0.3, -0.338)])
def test_what_rounding_leaves_is_as_derived(deviation: float, term: float) -> None:
    """All weights in one binade, so that the last place is one number: 2^-16."""
    base = np.full((500, 2000), 0.02 + 2**-17, np.float32)
    base = to_half(base).view(np.float16).astype(np.float32)
    update = np.random.default_rng(2).standard_normal(base.shape, np.float32) * np.float32(deviation * 2**-16)
    found, _ = change.change_of(to_half(base + update), base, update)
    assert found.left / found.square - 1 == pytest.approx(term, abs=0.005)
    assert passes(found)


def test_dora() -> None:
    base, pair = base_of("float32", 300, 512), pair_of(300, 512, 1e-3, dora=True)
    assert passes(measured(base, pair, pair.merged(base, 0, 300)))
    wrong = replace(pair, scale=1.2 * pair.scale)
    assert not passes(measured(base, pair, wrong.merged(base, 0, 300)))


def test_the_worst_matrix_is_named() -> None:
    good, bad = Change(1, 1, 1), Change(1e-6, 0.9e-6, 1e-6)
    found = change.moved({"q": good, "v": bad, "k": good})
    assert (found.worst, found.off) == ("v", pytest.approx(0.1))
    assert found.along == pytest.approx(1, abs=1e-6)
