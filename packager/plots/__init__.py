"""Small plots as SVG text, for a page or for a file of their own: values -> an accessible image with axes and units.

`axes` chooses round ticks and places values, `figures` draws. Colours are variables of `STYLE`, so that a
page, a printer and a dark screen can change them; a page includes `STYLE` once.
"""

from packager.plots.axes import Axis, Write, axis, plain
from packager.plots.figures import STYLE, Box, Dot, Line, Picture, bars, boxes, dots, lines, shares

__all__ = [
    "STYLE",
    "Axis",
    "Box",
    "Dot",
    "Line",
    "Picture",
    "Write",
    "axis",
    "bars",
    "boxes",
    "dots",
    "lines",
    "plain",
    "shares",
]
