"""A figure -> the same with fewer decimals, halves always away from zero: 87.5 -> 88, 12.5 -> 13.

Python's own formatting takes a half to the even neighbour, so two shares of one table could be rounded unlike. Fails
(`ArithmeticError`) for what is not finite.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal


def half_up(value: float, digits: int = 0) -> Decimal:
    """`value` with `digits` decimals, rounded as it is written: 0.145 with two is 0.15."""
    return _rounded(Decimal(repr(float(value))), digits)


def per_cent(share: float, digits: int = 0) -> Decimal:
    """A share (0 to 1) in per cent."""
    return _rounded(Decimal(repr(float(share))) * 100, digits)


def _rounded(value: Decimal, digits: int) -> Decimal:
    return value.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)
