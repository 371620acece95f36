"""Bootstrap over rows: per-row numbers -> a mean, its 95 % interval and its distribution.

Rows are drawn with replacement, as many as there are; every measure of a set is resampled with the
same draws, so that differences between models are paired. A single row has no interval.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

from packager.artifacts.evaluation import Difference, Measure, Spread

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Float64 = npt.NDArray[np.float64]

Better = Literal["higher", "lower", ""]
LOW, HIGH = 2.5, 97.5


@functools.lru_cache(maxsize=4)
def draws(rows: int, resamples: int, seed: int) -> Float64:
    """How often each resample holds each row: [resamples, rows], every resample summing to `rows`."""
    import numpy as np

    generator = np.random.default_rng(seed)
    counts = np.empty((resamples, rows))
    for resample in range(resamples):
        counts[resample] = np.bincount(generator.integers(0, rows, rows), minlength=rows)
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
) -> Measure:
    """sum(numerators) / sum(denominators), bootstrapped over rows; `then` is applied to every value."""
    import numpy as np

    above, below = np.asarray(numerators, np.float64), np.asarray(denominators, np.float64)
    then = then or (lambda x: x)
    value = float(then(above.sum() / below.sum()))
    if len(above) < 2:
        return Measure(name=name, value=value, unit=unit, better=better, n=len(above))
    counts = draws(len(above), resamples, seed)
    samples = then((counts @ above) / (counts @ below))
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
        n=len(above),
    )


def mean(name: str, values: Sequence[float], unit: str, better: Better, resamples: int, seed: int) -> Measure:
    return ratio(name, values, [1.0] * len(values), unit, better, resamples, seed)


def difference(
    one: Measure,
    names: tuple[str, str, str],
    ours: Sequence[float],
    theirs: Sequence[float],
    weights: Sequence[float],
    resamples: int,
    seed: int,
) -> Difference:
    """sum(ours - theirs) / sum(weights) over the same rows; `names` are model, against and set, and
    `one` says which measure it is."""
    gaps = [a - b for a, b in zip(ours, theirs, strict=True)]
    found = ratio(one.name, gaps, weights, one.unit, one.better, resamples, seed)
    model, against, where = names
    return Difference(
        model=model,
        against=against,
        set=where,
        measure=one.name,
        value=found.value,
        low=found.value if found.low is None else found.low,
        high=found.value if found.high is None else found.high,
        unit=one.unit,
        better=one.better,
        n=found.n,
    )
