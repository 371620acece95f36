"""Values -> an axis with round ticks, and where on it a value lies."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

Write = Callable[[float], str]
"""How a number is written, in the reader's language."""
TICKS = 5


@dataclass(frozen=True)
class Axis:
    """From the first to the last of its ticks."""

    label: str
    """With the unit."""
    ticks: tuple[float, ...]
    write: Write

    def at(self, value: float, start: float, end: float) -> float:
        """Where `value` lies between the coordinates of the axis' two ends; what is outside lies at the end."""
        low, high = self.ticks[0], self.ticks[-1]
        share = min(1.0, max(0.0, (value - low) / (high - low)))
        return round(start + (end - start) * share, 1)


def plain(value: float) -> str:
    """As a program writes it: no more digits than it takes, no separators."""
    return f"{value:.10g}"


def axis(values: Iterable[float], label: str, *, zero: bool = False, write: Write = plain) -> Axis:
    """An axis that holds every finite value, in steps of 1, 2, 2.5 or 5 times a power of ten.

    With `zero` it begins at 0, as bars and distances need it.
    """
    finite = [value for value in values if math.isfinite(value)]
    low, high = min(finite, default=0.0), max(finite, default=1.0)
    low = min(0.0, low) if zero else low
    if high <= low:
        high = low + (abs(low) or 1.0)
    step = _step((high - low) / TICKS)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return Axis(label, tuple(round(i * step, 12) for i in range(first, last + 1)), write)


def _step(least: float) -> float:
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= least * (1 - 1e-9))
