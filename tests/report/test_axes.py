"""Numbers on the axes of a plot lie beside each other, and beside the axis' name."""

from __future__ import annotations

import itertools
import re

import pytest

from packager.report.plots import axes, figures
from packager.report.plots.figures import DIGIT, Line, Picture


@pytest.mark.parametrize("high", [0.00023, 5.0, 123_456_789.0])
def test_numbers_do_not_overlap(high: float) -> None:
    x = axes.axis([0, high], "x", write=lambda value: f"{value:,.6f}")
    y = axes.axis([0, high], "perda, nats/token", write=lambda value: f"{value:,.6f}")
    svg = figures.lines(Picture("p", "t", "s"), x, y, [Line("a", [(0, 0), (high, high)])])
    across = re.findall(r'<text x="([\d.]+)" y="271" text-anchor="middle">([^<]+)<', svg)
    ends = [(float(at) - DIGIT * len(n) / 2, float(at) + DIGIT * len(n) / 2) for at, n in across]
    assert len(ends) >= 2
    assert all(before[1] < after[0] for before, after in itertools.pairwise(ends))
    upward = re.findall(r'<text x="([\d.]+)" y="[\d.]+" text-anchor="end">([^<]+)<', svg)
    assert all(float(at) - DIGIT * len(number) >= 22 for at, number in upward), "the axis' name ends at 20"
