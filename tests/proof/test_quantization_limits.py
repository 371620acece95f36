"""Limits by type and size: what is known to be sound passes, what is broken does not."""

from __future__ import annotations

import numpy as np
import pytest

from packager.artifacts.evidence import Divergence
from packager.artifacts.kinds import GgufFile
from packager.proof.divergence import RunningDivergence, log_softmax
from packager.proof.limits import OF_8B, OF_135M, SPREAD, USELESS, limits_of
from packager.proof.quantized import kv_checks, kv_figures, quantized_checks, quantized_figures
from packager.recipe.sections import Thresholds

TABLE = Thresholds()
NAMES = {"Q8": "Q8_0", "Q6": "Q6_K", "Q5": "Q5_0", "Q4_K": "Q4_K_S"}


@pytest.mark.parametrize(("size", "table"), [(135_000_000, OF_135M), (8_000_000_000, OF_8B)])
@pytest.mark.parametrize("kind", list(NAMES))
def test_what_was_measured_passes(size: int, table: dict[str, object], kind: str) -> None:
    limit, cost = limits_of(NAMES[kind], size, TABLE), table[kind]
    assert limit.kl is not None
    assert limit.same_top is not None
    assert limit.kl >= 2 * cost.kl  # type: ignore[attr-defined]
    assert limit.same_top < cost.same_top  # type: ignore[attr-defined]
    assert limit.ratio > cost.ratio  # type: ignore[attr-defined]


def test_a_broken_8b_file_fails() -> None:
    """It passed the limits that were made for 135M parameters: 0.3 nats, 60 %, 1.25."""
    limit = limits_of("Q4_K_M", 8_000_000_000, TABLE)
    assert limit.kl is not None
    assert limit.same_top is not None
    assert limit.kl < 0.2
    assert limit.same_top > 0.8
    assert limit.ratio < 1.2
    eight = limits_of("Q8_0", 8_000_000_000, TABLE)
    assert eight.kl is not None
    assert eight.same_top is not None
    assert eight.kl < 0.005
    assert eight.same_top > 0.95
    assert limits_of("BF16", 8_000_000_000, TABLE) == eight


@pytest.mark.parametrize("kind", ["Q4_K_M", "IQ4_XS", "Q3_K_M", "IQ2_XXS", "Q2_K", "TQ1_0", "NEW7_X", "F16"])
@pytest.mark.parametrize("size", [10**7, 135 * 10**6, 1_500_000_000, 8 * 10**9])
def test_none_is_beyond_what_is_useful(kind: str, size: int) -> None:
    limit = limits_of(kind, size, TABLE)
    assert limit.kl is not None
    assert limit.same_top is not None
    assert (limit.kl <= USELESS[0], limit.same_top >= USELESS[1], limit.ratio <= USELESS[2]) == (True,) * 3


def test_larger_models_are_held_to_less() -> None:
    found = [limits_of("Q4_K_M", size, TABLE).kl or 0.0 for size in (10**8, 10**9, 8 * 10**9)]
    assert found == sorted(found, reverse=True)


def test_a_recipe_may_set_its_own() -> None:
    own = Thresholds(max_kl=0.9, min_same_top=0.1)
    limit = limits_of("Q2_K", 10**9, own)
    assert (limit.kl, limit.same_top, limit.ratio) == (0.9, 0.1, limits_of("Q2_K", 10**9, TABLE).ratio)


def test_noise_costs_half_its_variance_times_the_spread() -> None:
    """The rule by which the limit grows, on models that are sure, and on one that knows nothing."""
    random = np.random.default_rng(0)
    for sharpness in (0.1, 1.0, 3.0):
        logits = sharpness * random.standard_normal((400, 2000)).astype("f4")
        noise = 0.2 * random.standard_normal(logits.shape).astype("f4")
        compared = RunningDivergence()
        compared.add(log_softmax(logits), log_softmax(logits + noise), [0] * len(logits))
        found = compared.result()
        assert found.spread is not None
        assert found.kl_mean == pytest.approx(0.2**2 * found.spread / 2, rel=0.05)


@pytest.mark.parametrize("kind", ["Q4_K_M", "Q8_0"])
def test_a_model_that_is_unsure_may_diverge_further(kind: str) -> None:
    usual, unsure = (limits_of(kind, 3_800_000_000, TABLE, spread) for spread in (SPREAD, 0.9))
    assert usual == limits_of(kind, 3_800_000_000, TABLE) == limits_of(kind, 3_800_000_000, TABLE, 0.2)
    assert usual.kl is not None
    assert unsure.kl == pytest.approx(min(USELESS[0], usual.kl * 0.9 / SPREAD))
    assert (unsure.same_top, unsure.ratio) == (usual.same_top, usual.ratio)


def test_a_model_that_knows_nothing_is_held_to_its_perplexity() -> None:
    usual, nothing = (limits_of("Q8_0", 8_000_000_000, TABLE, spread) for spread in (SPREAD, 0.99))
    assert (nothing.kl, nothing.same_top, nothing.ratio) == (None, None, usual.ratio)
    own = limits_of("Q8_0", 8_000_000_000, Thresholds(max_kl=0.9, min_same_top=0.1), 0.99)
    assert (own.kl, own.same_top) == (0.9, 0.1)


def _file(kl: float, spread: float) -> GgufFile:
    apart = Divergence(positions=9, kl_mean=kl, kl_median=kl, kl_99=3 * kl, same_top=0.54, spread=spread, loss=8.0,
                       perplexity_ratio=1.0, perplexity_ratio_error=0.0)  # fmt: skip
    return GgufFile(name="m.gguf", type="Q4_K_M", size=1, sha256="0", bits_per_weight=5.0, tensor_types={},
                    file_type="Q4_K_M", divergence=apart, kv_divergence=apart)  # fmt: skip


@pytest.mark.parametrize(
    ("spread", "own", "judged"),
    [
        (0.99, TABLE, set()),
        (0.99, Thresholds(max_kl=1), {"quantize.kl"}),
        (0.5, TABLE, {"quantize.kl", "quantize.top", "quantize.kv"}),
    ],
)
def test_what_is_not_judged_is_a_figure_and_no_check(spread: float, own: Thresholds, judged: set[str]) -> None:
    file = _file(0.4, spread)
    limits, of_kv = (limits_of("Q4_K_M", 3_800_000_000, one, spread) for one in (own, TABLE))
    checks = {c.id for c in (*quantized_checks(file, limits), *kv_checks(file, "q8_0", of_kv))}
    assert checks == judged | {"quantize.type", "quantize.perplexity"}
    figures = [*quantized_figures(file, limits), *kv_figures(file, "q8_0", of_kv)]
    said = {f.id for f in figures if "not judged" in f.says}
    assert said == {"quantize.kl", "quantize.top", "quantize.kv"} - judged
    assert {f.id for f in figures} == said | {"quantize.bits"}


def test_a_file_that_does_not_run_fails_whatever_its_source_knows() -> None:
    file = _file(0.4, 0.99).model_copy(update={"divergence": None, "fault": "aborted"})
    (_, check) = quantized_checks(file, limits_of("Q4_K_M", 10**9, TABLE, 0.99))
    assert (check.id, check.passed) == ("quantize.kl", False)
