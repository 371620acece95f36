"""Weights before and after a merge, and the update that was meant -> how much of it is in the bytes.

W' as written in FP16, W as it was merged into (rounded to NF4 where that is the base), U = s B A with the scale s
that peft's own modules had in training. Nothing fails here; the merge stage judges the figures.

Rounding moves a large model further than a small update does: 8 billion weights of size 0.02 move by 0.35 in
FP16, four steps of training by 0.49, and both together by 0.60. So lengths are not compared, but what lies
*along* U. With T = W + U and e = W' - T, the rounding,

    <W' - W, U> / |U|^2 = 1 + <e, U> / |U|^2.

Where W lies anywhere between two FP16 numbers (a base in FP32, or rounded to NF4), e is uniform over the unit in
the last place u, and independent of U: the second term is zero on average with a standard error of
sqrt(sum u^2 U^2 / 12) / |U|^2. For the update above that is 1e-5 over the model and 1e-4 a matrix, a hundredth of
a scale that is off by 1 %. But where W is an FP16 number itself (a bfloat16 or FP16 base), e depends on U alone:
an update below u / 2 is lost, and for a U normal with deviation d the second term is
2 sum_k (-1)^k exp(-2 (pi k d / u)^2), by the Fourier series of a sawtooth: 0.00 for d = u, -0.09 for d = 0.4 u, and
-1 for d << u. This is no fault of the merge, and it is known exactly: R, the nearest FP16 number to T, says weight
by weight what rounding leaves. So what is judged is d = W' - R, both along U and in length:

    <W' - W, U> = <R - W, U> + <d, U>.

A right merge has d = 0 but where T lies so near the middle of two FP16 numbers that float32's own rounding (2^-13 u)
decides: there d is a unit of either sign, one weight in 2^12, and <d, U> is zero within sqrt(sum d^2 U^2). A scale
that is 1 % off has <d, U> of 1 % of what rounding leaves of U, or more, at any size of U and W.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from packager.artifacts.evidence import Moved
from packager.checkpoint.lora import Pair
from packager.process import progress

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from packager.checkpoint.weights import Float32

    Bits = npt.NDArray[np.uint16]

REPORT_SECONDS = 0.2
SURE = 4.0
"""Standard errors of what near ties may do that are forgiven."""
TIES = 0.06
"""Most that near ties may add to |R - T|: a unit in one weight of 2^12 is sqrt(12 / 2^12) of it."""
THERE = 0.25
"""An update of which at least this share is written was merged; whether by the right scale is judged apart."""


@dataclass(frozen=True)
class Change:
    """Sums over the weights of one matrix, or of some of its rows."""

    square: float = 0.0
    """|U|^2."""
    along: float = 0.0
    """<W' - W, U>."""
    left: float = 0.0
    """<R - W, U>: what rounding to FP16 leaves of |U|^2."""
    rounding: float = 0.0
    """|R - T|^2."""
    odd: float = 0.0
    """|W' - R|^2."""
    ties: float = 0.0
    """sum (W' - R)^2 U^2."""

    def __add__(self, other: Change) -> Change:
        return Change(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))

    @property
    def off(self) -> float:
        """How far the change along U is from what rounding leaves of it, relatively; near ties forgiven."""
        missed = max(0.0, abs(self.along - self.left) - SURE * math.sqrt(self.ties))
        return missed / self.left if self.left > 0 else math.inf if missed else 0.0

    @property
    def unexplained(self) -> float:
        """|W' - R| beyond near ties, in parts of |U|."""
        missed = max(0.0, math.sqrt(self.odd) - TIES * math.sqrt(self.rounding))
        return missed / math.sqrt(self.square) if self.square else math.inf if missed else 0.0


def update_of(pair: Pair, old: Float32, start: int, stop: int) -> Float32:
    """U for rows [start, stop) of the matrix W, of which `old` are those rows: s B A, and with DoRA what
    scaling the rows of W + s B A to their magnitudes makes of it. Computed apart from `Pair.merged`."""
    import numpy as np

    update: Float32 = np.asarray((pair.scale * pair.b[start:stop]) @ pair.a, np.float32)
    if pair.magnitude is not None:
        whole = old + update
        lengths: Float32 = np.sqrt(np.einsum("ij,ij->i", whole, whole))
        whole *= (pair.magnitude[start:stop] / lengths)[:, None]
        whole -= old
        return whole
    return update


def change_of(bits: Bits, old: Float32, update: Float32) -> tuple[Change, float]:
    """The change of weights that were written as FP16 `bits`, and |W' - W|^2; all three of one shape."""
    import numpy as np

    from packager.llamacpp.half_precision import from_half, to_half

    meant = (old + update).ravel()
    update, bits = update.ravel(), bits.ravel()
    nearest = to_half(meant)
    rounding = from_half(nearest)
    rounding -= meant
    square, lost, rounded = (
        float(np.dot(*two)) for two in ((update, update), (rounding, update), (rounding, rounding))
    )
    where = np.flatnonzero(bits != nearest)
    odd, there = from_half(bits[where]) - from_half(nearest[where]), update[where]
    pairs = ((odd, there), (odd, odd), (odd * odd, there * there), (odd, rounding[where]))
    return from_sums(square, lost, rounded, *(float(np.dot(*two)) for two in pairs))


def from_sums(
    square: float, lost: float, rounding: float, along: float, odd: float, ties: float, odd_rounding: float
) -> tuple[Change, float]:
    """Of U^2, (R - T) U, (R - T)^2, d U, d^2, d^2 U^2 and d (R - T), each summed over the weights, with d = W' - R: the
    change, and |W' - W|^2."""
    # W' - W = U + (R - T) + d
    moved = square + 2 * lost + rounding + 2 * (along + odd_rounding) + odd
    change = Change(square, square + lost + along, square + lost, rounding, odd, ties)
    return change, max(0.0, moved)


def moved(changes: Mapping[str, Change]) -> Moved:
    """The figures over all matrices, and those of the worst."""
    total = sum(changes.values(), Change())
    worst = max(changes, key=lambda name: (max(changes[name].off, changes[name].unexplained), name))
    return Moved(
        along=total.along / total.square if total.square else 0.0,
        left=total.left / total.square if total.square else 0.0,
        rounding=math.sqrt(total.rounding),
        worst=worst,
        off=min(1e9, max(one.off for one in changes.values())),  # JSON knows no infinity
        unexplained=min(1e9, max(one.unexplained for one in changes.values())),
    )


@dataclass(frozen=True)
class Block:
    """What was found in some rows of a tensor."""

    written: int
    """Bytes."""
    largest_bits: int = 0
    """Largest |weight| as FP16 bits."""
    delta_square: float = 0.0
    """||change||^2 as written."""
    change: Change | None = None
    """None where nothing was to change."""

    def __add__(self, other: Block) -> Block:
        changes = [one.change for one in (self, other) if one.change is not None]
        return Block(
            self.written + other.written,
            max(self.largest_bits, other.largest_bits),
            self.delta_square + other.delta_square,
            sum(changes, Change()) if changes else None,
        )


@dataclass
class Tally:
    """What the blocks found; threads add to it."""

    total: int
    written: int = 0
    delta_square: float = 0.0
    largest_bits: int = 0
    changes: dict[str, Change] = field(default_factory=dict)
    """By the name of the weight."""
    _reported: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, name: str, found: Block) -> None:
        with self._lock:
            if found.change is not None:
                self.changes[name] = self.changes.get(name, Change()) + found.change
            self.written += found.written
            self.delta_square += found.delta_square
            self.largest_bits = max(self.largest_bits, found.largest_bits)
            now = time.monotonic()
            if now - self._reported > REPORT_SECONDS or self.written == self.total:
                self._reported = now
                progress.update(self.written / 1e6, self.total / 1e6, "MB")

    @property
    def largest_weight(self) -> float:
        import numpy as np

        return float(np.uint16(self.largest_bits).view(np.float16))

    def expected_square(self, besides: Collection[str]) -> float:
        """||U||^2 over all matrices but some."""
        return sum(change.square for name, change in self.changes.items() if name not in besides)

    def used(self, named: Collection[str]) -> int:
        """Of the weights `named`, those that hold their update."""
        found = [self.changes[name] for name in named if name in self.changes]
        return sum(change.along >= THERE * change.left for change in found)
