"""The kinds of plots. Each takes a `Picture` (how it is called and told), axes and marks, and returns SVG text.

Every image has a title and a description for those who do not see it, and no colour alone carries a meaning:
series differ in their form too, and marks are labelled.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from packager.report.plots.axes import Axis

WIDTH, HEIGHT = 480, 300
LEFT, RIGHT, TOP, BOTTOM = 58, 18, 34, 46
"""Margins, in the units of the picture."""
ROW = 24
"""Height of a row of boxes or of shares."""
DIGIT = 7.5
"""About how wide a digit is."""
LETTER = 8.4
"""About how wide a letter is, where letters are largest: a page may enlarge them for a phone."""
STYLE = """
:root { --ink: #1b1f24; --quiet: #59636e; --page: #fff; --rule: #8b949e; --a: #0b5cad; --b: #b3261e; --c: #1b7f3b;
  --d: #8250df; --e: #9a6700; --f: #57606a }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ed; --quiet: #a2abb5; --page: #15181c; --rule: #7d8590;
  --a: #6cb2ff; --b: #ff8f85; --c: #6fd58c; --d: #c4a0ff; --e: #e5b84c; --f: #b1bac4 } }
.plot text { font: 13px system-ui, "Noto Sans", sans-serif; fill: var(--ink) } .plot .note { fill: var(--quiet) }
.plot .grid { stroke: var(--rule); opacity: .3 } .plot .axis, .plot .limit { stroke: var(--rule) }
.plot .limit { stroke-dasharray: 5 4 } .plot path { fill: none; stroke-width: 2 }
.plot .back { fill: var(--page) } .plot .hollow { fill: var(--page); stroke-width: 2 }
""" + "".join(f".plot .{s} {{ stroke: var(--{s}); fill: var(--{s}) }} " for s in "abcdef")
SERIES = "abcdef"


@dataclass(frozen=True)
class Picture:
    """What every plot has."""

    name: str
    """Unique on its page: prefix of its ids."""
    title: str
    says: str
    """The description, for those who do not see it: what is to be seen."""
    alone: bool = False
    """A file of its own, with its style and background in it."""


@dataclass(frozen=True)
class Line:
    """A series over x. `marked`: a dot at every point, and a broken line between: there nothing was measured."""

    label: str
    points: Sequence[tuple[float, float]]
    marked: bool = False


@dataclass(frozen=True)
class Dot:
    label: str
    x: float
    y: float
    hollow: bool = False
    strong: bool = False
    says: str = ""


@dataclass(frozen=True)
class Box:
    """A row of a box plot; without `group` it belongs to the one before it."""

    label: str
    low: float
    quartile_1: float
    median: float
    quartile_3: float
    high: float
    series: int = 0
    group: str = ""


def lines(picture: Picture, x: Axis, y: Axis, series: Sequence[Line]) -> str:
    """Series over a common x, with a legend above."""
    left = _left(y)
    marks = [*_frame(x, y), *_legend([line.label for line in series])]
    for kind, line in zip(SERIES, series, strict=False):
        places = [(_x(x, at, left), _y(y, value)) for at, value in line.points]
        dash = ";stroke-dasharray:6 4" if line.marked else ""
        way = " L".join(f"{a} {b}" for a, b in places)
        marks.append(f'<path class="{kind}" style="fill:none{dash}" d="M{way}"/>')
        if line.marked:
            marks += [
                f'<circle class="{kind}" cx="{a}" cy="{b}" r="5"><title>{escape(y.write(value))}</title></circle>'
                for (a, b), (_, value) in zip(places, line.points, strict=True)
            ]
    return _svg(picture, HEIGHT, marks)


def bars(
    picture: Picture, x: Axis, y: Axis, columns: Iterable[tuple[float, float, float]], limit: tuple[float, str] | None
) -> str:
    """A histogram: columns of (from, to, height). `limit` is a value on x and what to call it."""
    margin = _left(y)
    marks = list(_frame(x, y))
    for low, high, height in columns:
        left, right, top = _x(x, low, margin), _x(x, high, margin), _y(y, height)
        shape = f'x="{left + 1}" y="{top}" width="{max(1.0, right - left - 2):.1f}" height="{_y(y, 0) - top:.1f}"'
        marks.append(f'<rect class="a" {shape}><title>{x.write(low)}–{x.write(high)}: {y.write(height)}</title></rect>')
    if limit and x.ticks[0] <= limit[0] <= x.ticks[-1]:
        at = _x(x, limit[0], margin)
        marks += [
            f'<line class="limit" x1="{at}" x2="{at}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>',
            f'<text class="note" x="{at - 5}" y="{TOP + 12}" text-anchor="end">{escape(limit[1])}</text>',
        ]
    return _svg(picture, HEIGHT, marks)


def dots(picture: Picture, x: Axis, y: Axis, points: Sequence[Dot], note: str = "") -> str:
    """Single labelled points; `strong` ones stand out, `hollow` ones stand back."""
    margin = _left(y)
    marks = [f'<text class="note" x="{margin}" y="18">{escape(note)}</text>', *_frame(x, y)]
    taken: list[tuple[float, float, float]] = []
    for dot in sorted(points, key=lambda d: d.x):
        at_x, at_y = _x(x, dot.x, margin), _y(y, dot.y)
        kind = "f hollow" if dot.hollow else "c" if dot.strong else "a"
        fill = ' style="fill:var(--page)"' if dot.hollow else ""
        wide = LETTER * len(dot.label)
        last = at_x + 10 + wide > WIDTH
        label_x, label_y = (at_x - 10 if last else at_x + 10), at_y - 7
        left = label_x - wide if last else label_x
        while any(abs(label_y - b) < 15 and left < end and begin < left + wide for begin, end, b in taken):
            label_y -= 15
        taken.append((left, left + wide, label_y))
        marks += [
            f'<circle class="{kind}"{fill} cx="{at_x}" cy="{at_y}" r="{7 if dot.strong else 5}">'
            f"<title>{escape(dot.says or dot.label)}</title></circle>",
            f'<text x="{label_x}" y="{label_y}" text-anchor="{"end" if last else "start"}">{escape(dot.label)}</text>',
        ]
    return _svg(picture, HEIGHT, marks)


def boxes(picture: Picture, x: Axis, rows: Sequence[Box]) -> str:
    """Horizontal box plots below one another: whiskers, quartiles, median."""
    left = _label_width([row.label for row in rows])
    marks: list[str] = []
    height = 8.0
    for row in rows:
        if row.group:
            marks.append(f'<text class="note" x="2" y="{height + 16}">{escape(row.group)}</text>')
            height += ROW
        middle = height + ROW / 2
        low, first, median, third, high = (
            _x(x, v, left) for v in (row.low, row.quartile_1, row.median, row.quartile_3, row.high)
        )
        kind = SERIES[row.series % len(SERIES)]
        marks += [
            f'<text x="{left - 8}" y="{middle + 4}" text-anchor="end">{escape(row.label)}</text>',
            f'<g class="{kind}"><title>{escape(row.label)}: {x.write(row.median)}</title>'
            f'<line x1="{low}" x2="{high}" y1="{middle}" y2="{middle}"/>'
            f'<line x1="{low}" x2="{low}" y1="{middle - 5}" y2="{middle + 5}"/>'
            f'<line x1="{high}" x2="{high}" y1="{middle - 5}" y2="{middle + 5}"/>'
            f'<rect x="{first}" y="{middle - 8}" width="{max(1.0, third - first):.1f}" height="16" '
            'style="fill:var(--page);stroke-width:2"/>'
            f'<line x1="{median}" x2="{median}" y1="{middle - 8}" y2="{middle + 8}" style="stroke-width:3"/></g>',
        ]
        height += ROW
    total = height + BOTTOM
    return _svg(picture, total, [*_x_axis(x, left, 4, height + 2, total), *marks])


def shares(picture: Picture, names: Sequence[str], rows: Sequence[tuple[str, Sequence[float], str]]) -> str:
    """Stacked bars of parts of a whole: rows of (label, shares that add up to 1, what to write at the end)."""
    left, end = _label_width([label for label, _, _ in rows]), WIDTH - 76.0
    marks = list(_legend(names, 2))
    height = float(TOP)
    for label, parts, after in rows:
        marks.append(f'<text x="{left - 8}" y="{height + 16}" text-anchor="end">{escape(label)}</text>')
        at = left
        for kind, name, part in zip(SERIES[1::-1] + SERIES[2:], names, parts, strict=False):
            wide = (end - left) * part
            marks.append(
                f'<rect class="{kind}" x="{at:.1f}" y="{height + 2}" width="{wide:.1f}" height="{ROW - 6}" '
                f'style="stroke:var(--page)"><title>{escape(name)}: {part:.0%}</title></rect>'
            )
            if wide > 34:
                marks.append(
                    f'<text x="{at + wide / 2:.1f}" y="{height + 16}" text-anchor="middle" '
                    f'style="fill:var(--page)">{part:.0%}</text>'
                )
            at += wide
        marks.append(f'<text x="{end + 8}" y="{height + 16}">{escape(after)}</text>')
        height += ROW
    return _svg(picture, height + 8, marks)


def _svg(picture: Picture, height: float, marks: Iterable[str]) -> str:
    ids = f"{picture.name}-title {picture.name}-desc"
    outside = f' xmlns="http://www.w3.org/2000/svg"><style>{STYLE}</style' if picture.alone else ""
    back = [f'<rect class="back" width="{WIDTH}" height="{height:g}"/>'] if picture.alone else []
    head = f'<svg class="plot" viewBox="0 0 {WIDTH} {height:g}" role="img" aria-labelledby="{ids}"{outside}>'
    named = [
        f'<title id="{picture.name}-title">{escape(picture.title)}</title>',
        f'<desc id="{picture.name}-desc">{escape(picture.says)}</desc>',
    ]
    return "\n".join([head, *named, *back, *marks, "</svg>", ""])


def _left(y: Axis) -> float:
    """The margin that the y axis needs: its name, turned, and beside it its longest number."""
    return round(max(LEFT, 30 + DIGIT * max(len(y.write(tick)) for tick in y.ticks)), 1)


def _frame(x: Axis, y: Axis) -> Iterator[str]:
    bottom, left = HEIGHT - BOTTOM, _left(y)
    for tick in y.ticks:
        at = _y(y, tick)
        yield f'<line class="grid" x1="{left}" x2="{WIDTH - RIGHT}" y1="{at}" y2="{at}"/>'
        yield f'<text x="{left - 7}" y="{at + 4}" text-anchor="end">{escape(y.write(tick))}</text>'
    middle = (TOP + bottom) / 2
    turned = f'transform="translate(16 {middle}) rotate(-90)" text-anchor="middle"'
    yield f'<text class="note" {turned}>{escape(y.label)}</text>'
    yield from _x_axis(x, left, TOP, bottom, HEIGHT)


def _x_axis(x: Axis, left: float, top: float, bottom: float, height: float) -> Iterator[str]:
    written = float("-inf")  # where the last number ends
    for tick in x.ticks:
        at, number = _x(x, tick, left), x.write(tick)
        yield f'<line class="grid" x1="{at}" x2="{at}" y1="{top}" y2="{bottom}"/>'
        half = DIGIT * len(number) / 2
        if at - half > written:
            written = at + half + DIGIT / 2
            yield f'<text x="{at}" y="{bottom + 17}" text-anchor="middle">{escape(number)}</text>'
    yield f'<line class="axis" x1="{left}" x2="{WIDTH - RIGHT}" y1="{bottom}" y2="{bottom}"/>'
    middle = (left + WIDTH - RIGHT) / 2
    yield f'<text class="note" x="{middle}" y="{height - 8}" text-anchor="middle">{escape(x.label)}</text>'


def _legend(labels: Sequence[str], first: int = 0) -> Iterator[str]:
    """Squares and names above the plot; two `first` series swap colours where red is to mean bad."""
    at = float(LEFT) if not first else 8.0
    kinds = SERIES if not first else SERIES[1::-1] + SERIES[2:]
    for kind, label in zip(kinds, labels, strict=False):
        yield f'<rect class="{kind}" x="{at:.1f}" y="9" width="11" height="11"/>'
        yield f'<text x="{at + 16:.1f}" y="19">{escape(label)}</text>'
        at += 34 + LETTER * len(label)


def _label_width(labels: Sequence[str]) -> float:
    return round(min(190.0, 16 + LETTER * max((len(label) for label in labels), default=0)), 1)


def _x(axis: Axis, value: float, left: float = LEFT) -> float:
    return axis.at(value, left, WIDTH - RIGHT)


def _y(axis: Axis, value: float) -> float:
    return axis.at(value, HEIGHT - BOTTOM, TOP)
