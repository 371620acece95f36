"""Limits by type and size: what is known to be sound passes, what is broken does not."""

from __future__ import annotations

import pytest

from packager.proof.limits import OF_8B, OF_135M, USELESS, limits_of
from packager.recipe.sections import Thresholds

TABLE = Thresholds()
NAMES = {"Q8": "Q8_0", "Q6": "Q6_K", "Q5": "Q5_0", "Q4_K": "Q4_K_S"}


@pytest.mark.parametrize(("size", "table"), [(135_000_000, OF_135M), (8_000_000_000, OF_8B)])
@pytest.mark.parametrize("kind", list(NAMES))
def test_what_was_measured_passes(size: int, table: dict[str, object], kind: str) -> None:
    limit, cost = limits_of(NAMES[kind], size, TABLE), table[kind]
    assert limit.kl >= 2 * cost.kl  # type: ignore[attr-defined]
    assert limit.same_top < cost.same_top  # type: ignore[attr-defined]
    assert limit.ratio > cost.ratio  # type: ignore[attr-defined]


def test_a_broken_8b_file_fails() -> None:
    """It passed the limits that were made for 135M parameters: 0.3 nats, 60 %, 1.25."""
    limit = limits_of("Q4_K_M", 8_000_000_000, TABLE)
    assert limit.kl < 0.2
    assert limit.same_top > 0.8
    assert limit.ratio < 1.2
    eight = limits_of("Q8_0", 8_000_000_000, TABLE)
    assert eight.kl < 0.005
    assert eight.same_top > 0.95
    assert limits_of("BF16", 8_000_000_000, TABLE) == eight


@pytest.mark.parametrize("kind", ["Q4_K_M", "IQ4_XS", "Q3_K_M", "IQ2_XXS", "Q2_K", "TQ1_0", "NEW7_X", "F16"])
@pytest.mark.parametrize("size", [10**7, 135 * 10**6, 1_500_000_000, 8 * 10**9])
def test_none_is_beyond_what_is_useful(kind: str, size: int) -> None:
    limit = limits_of(kind, size, TABLE)
    assert (limit.kl <= USELESS[0], limit.same_top >= USELESS[1], limit.ratio <= USELESS[2]) == (True,) * 3


def test_larger_models_are_held_to_less() -> None:
    found = [limits_of("Q4_K_M", size, TABLE).kl for size in (10**8, 10**9, 8 * 10**9)]
    assert found == sorted(found, reverse=True)


def test_a_recipe_may_set_its_own() -> None:
    own = Thresholds(max_kl=0.9, min_same_top=0.1)
    limit = limits_of("Q2_K", 10**9, own)
    assert (limit.kl, limit.same_top, limit.ratio) == (0.9, 0.1, limits_of("Q2_K", 10**9, TABLE).ratio)
