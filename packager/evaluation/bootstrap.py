"""Bootstrap over groups of rows: per-row numbers -> a mean, its 95 % interval and its distribution.

Rows that are near-duplicates of each other are one piece of evidence, so whole groups are drawn with
replacement, as many as there are; every measure of a set is resampled with the same draws, so that
differences between models are paired. Fewer than `FEWEST` groups have no interval.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

from packager.artifacts.evaluation import Difference, Measure, Spread
from packager.data.audit.report import FEWEST

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Float64 = npt.NDArray[np.float64]

Better = Literal["higher", "lower", ""]
LOW, HIGH = 2.5, 97.5


@functools.lru_cache(maxsize=4)
def draws(groups: int, resamples: int, seed: int) -> Float64:
    """How often each resample holds each group: [resamples, groups], every resample summing to `groups`."""
    import numpy as np

    generator = np.random.default_rng(seed)
    counts = np.empty((resamples, groups))
    for resample in range(resamples):
        counts[resample] = np.bincount(generator.integers(0, groups, groups), minlength=groups)
    return counts


def ratio(
    name: str,
    numerators: Sequence[float],
    denominators: Sequence[float],
    unit: str,
    better: Better,
    resamples: int,
    seed: int,
    then: Callable[[Float64], Float64] | None = None,
    groups: Sequence[int] | None = None,
) -> Measure:
    """sum(numerators) / sum(denominators), bootstrapped over `groups` (the number of each row's group; None: each
    row is one); `then` is applied to every value."""
    import numpy as np

    above, below = np.asarray(numerators, np.float64), np.asarray(denominators, np.float64)
    then = then or (lambda x: x)
    value = float(then(above.sum() / below.sum()))
    of, found = np.unique(groups if groups is not None else np.arange(len(above)), return_inverse=True)
    if len(of) < FEWEST:
        return Measure(name=name, value=value, unit=unit, better=better, n=len(above))
    counts = draws(len(of), resamples, seed)
    samples = then((counts @ np.bincount(found, weights=above)) / (counts @ np.bincount(found, weights=below)))
    low, high = np.percentile(samples, (LOW, HIGH))
    corners = np.percentile(samples, (0, 25, 50, 75, 100))
    return Measure(
        name=name,
        value=value,
        low=float(low),
        high=float(high),
        spread=Spread(**dict(zip(Spread.model_fields, map(float, corners), strict=True))),
        unit=unit,
        better=better,
        n=len(numerators),
    )


def mean(
    name: str,
    values: Sequence[float],
    unit: str,
    better: Better,
    resamples: int,
    seed: int,
    groups: Sequence[int] | None = None,
) -> Measure:
    return ratio(name, values, [1.0] * len(values), unit, better, resamples, seed, groups=groups)


def difference(
    one: Measure,
    names: tuple[str, str, str],
    ours: Sequence[float],
    theirs: Sequence[float],
    weights: Sequence[float],
    resamples: int,
    seed: int,
    groups: Sequence[int] | None = None,
) -> Difference | None:
    """sum(ours - theirs) / sum(weights) over the same rows; `names` are model, against and set, and
    `one` says which measure it is. None where there are too few groups to show any, or what was measured is no
    number."""
    gaps = [a - b for a, b in zip(ours, theirs, strict=True)]
    found = ratio(one.name, gaps, weights, one.unit, one.better, resamples, seed, groups=groups)
    if found.low is None or found.high is None or not math.isfinite(found.value + found.low + found.high):
        return None
    model, against, where = names
    return Difference(
        model=model,
        against=against,
        set=where,
        measure=one.name,
        value=found.value,
        low=found.low,
        high=found.high,
        unit=one.unit,
        better=one.better,
        n=found.n,
    )
