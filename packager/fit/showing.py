"""A choice -> a table for the terminal, and a plot of quality against size as SVG."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator, Sequence
from xml.sax.saxutils import escape

from packager.fit.choosing import BANDWIDTH_SHARE, Candidate, Choice

WIDTH, HEIGHT = 640, 400
LEFT, RIGHT, TOP, BOTTOM = 70, 90, 50, 50
"""Margins of the plot, in its units."""
COLUMNS = ("file", "MB", "bits", "KL", "same", "PPL ratio", "loss", "GB", "tokens/s", "fits")
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1a1a1a } .axis, .grid { stroke: #777 } .grid { opacity: .25 }
.fits { fill: #1565c0 } .best { fill: #2e7d32 } .not { fill: none; stroke: #888; stroke-width: 2 }
.note { font-size: 11px; fill: #555 } .page { fill: #fff }
@media (prefers-color-scheme: dark) { text { fill: #eee } .note { fill: #aaa } .page { fill: #181818 }
.fits { fill: #64b5f6 } .best { fill: #81c784 } .axis, .grid { stroke: #999 } }
"""


def table(choice: Choice, width: int | None = None) -> str:
    """Every file with its figures and its verdict; `width` in characters (default: the terminal's)."""
    from rich.console import Console
    from rich.table import Table

    made = Table(box=None, pad_edge=False)
    for number, name in enumerate(COLUMNS):
        made.add_column(name, justify="left" if number in (0, len(COLUMNS) - 1) else "right", no_wrap=number == 0)
    for file in choice.candidates:
        made.add_row(*_row(file, choice), style="bold" if file == choice.best else None)
    text = io.StringIO()
    Console(file=text, width=width, highlight=False).print(made)
    lines = [line.rstrip() for line in text.getvalue().rstrip().splitlines()]
    verdicts = [f"  {file.type}: {_verdict(file, choice)}" for file in choice.candidates]
    return "\n".join([*lines, "", *verdicts, "", *_legend(choice)])


def advice(choice: Choice, command: Callable[[Sequence[str]], str]) -> str:
    """What was chosen, and what to type to have it as the package's default: `command` builds with settings."""
    best = choice.best
    if best is None:
        nearest = min(choice.candidates, key=lambda f: f.size, default=None)
        why = f": {nearest.type}, the smallest, {' and '.join(nearest.lacks)}" if nearest else ""
        return f"No file fits{why}.\n  -> add a smaller type to quantize.types, or lower serve.context"
    chosen = f"Best that fits: {best.name}."
    if best.name == choice.default:
        return f"{chosen} It is the package's default."
    return f"{chosen} To make it the package's default:\n  {command(_settings(choice, best))}"


def _settings(choice: Choice, best: Candidate) -> tuple[str, ...]:
    """What to set in the recipe so that `best` becomes the default."""
    machine = choice.machine
    if machine.bandwidth:  # the build knows the speed on its own machine only
        others = (f.type for f in choice.candidates if f is not best)
        return (f"quantize.types=[{','.join((best.type, *others))}]",)
    speed = f"device.min_tokens_per_second={machine.min_tokens_per_second:g}"
    return "device.prefer=quality", f"device.ram_gb={machine.ram_gb:g}", speed


def _row(file: Candidate, choice: Choice) -> Iterator[str]:
    yield file.type
    yield f"{file.size / 1e6:,.0f}"
    yield f"{file.bits_per_weight:.2f}"
    yield f"{file.kl:.4f}"
    yield f"{file.same_top:.1%}"
    yield f"{file.perplexity_ratio:.4f}"
    yield f"{file.heldout_loss:.4f}"
    yield f"{file.ram_gb:.2f}"
    speed = file.tokens_per_second
    yield "-" if speed is None else f"{'~' if choice.machine.bandwidth else ''}{speed:.0f}"
    yield "best" if file == choice.best else "no" if file.lacks else "yes"


def _verdict(file: Candidate, choice: Choice) -> str:
    words = ["best that fits"] if file == choice.best else list(file.lacks) or ["fits"]
    if file.dominated_by:
        words.append(f"dominated by {file.dominated_by}")
    if file.name == choice.default:
        words.append("the package's default")
    return ", ".join(words)


def _legend(choice: Choice) -> Iterator[str]:
    machine = choice.machine
    yield (
        f"For {machine.ram_gb:g} GB and at least {machine.min_tokens_per_second:g} tokens/s. KL: mean divergence from "
        "F16 on held-out answers, nats per token; same: F16's likeliest token is this file's too; GB: memory at the "
        "recipe's context."
    )
    if machine.bandwidth:
        yield (
            f"~ Speed is an estimate, not measured: {BANDWIDTH_SHARE} x {machine.bandwidth:g} GB/s over the file's "
            "size; models below 1B parameters stay behind it."
        )
    else:
        yield "Speed was measured on the machine that built the package."


def plot(choice: Choice, title: str) -> str:
    """SVG: size on the x axis, divergence from F16 on the y axis, a dot a file; lower left is better."""
    sizes, kls = [f.size / 1e6 for f in choice.candidates], [f.kl for f in choice.candidates]
    right, top = _ceiling(max(sizes, default=1.0)), _ceiling(max(kls, default=0.0) or 0.01)

    def x(value: float) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * value / right, 1)

    def y(value: float) -> float:
        return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / top, 1)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(title, {chr(34): "&quot;"})}">',
        f"<style>{STYLE}</style>",
        f'<rect class="page" width="{WIDTH}" height="{HEIGHT}"/>',
        f'<text x="{LEFT}" y="24">{escape(title)}</text>',
        f'<text class="note" x="{LEFT}" y="40">lower and further left is better; hollow: does not fit</text>',
    ]
    for step in range(6):
        size, kl = right * step / 5, top * step / 5
        parts += [
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(kl)}" y2="{y(kl)}"/>',
            f'<text x="{LEFT - 8}" y="{y(kl) + 4}" text-anchor="end">{kl:.3g}</text>',
            f'<text x="{x(size)}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{size:.4g}</text>',
        ]
    parts += [
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 10}" text-anchor="middle">size, MB</text>',
        f'<text transform="translate(16 {HEIGHT / 2}) rotate(-90)" text-anchor="middle">KL from F16, nats/token</text>',
    ]
    for file in choice.candidates:
        kind = "best" if file == choice.best else "not" if file.lacks else "fits"
        at_x, at_y = x(file.size / 1e6), y(file.kl)
        parts += [
            f'<circle class="{kind}" cx="{at_x}" cy="{at_y}" r="6"><title>{escape(_verdict(file, choice))}</title>'
            "</circle>",
            f'<text x="{at_x + 10}" y="{at_y - 6}">{escape(file.type)}{" (dominated)" if file.dominated_by else ""}'
            "</text>",
        ]
    return "\n".join([*parts, "</svg>", ""])


def _ceiling(value: float) -> float:
    """The next number above that is 1, 2, 2.5 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= value)
