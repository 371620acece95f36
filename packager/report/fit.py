"""A choice -> a table for the terminal, and a plot of quality against size as SVG."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence

from packager.proof.fit import BANDWIDTH_SHARE, Candidate, FileChoice
from packager.report.fit_words import file_verdict
from packager.report.plots import axes, figures
from packager.report.plots.axes import Write
from packager.report.plots.figures import Dot, Picture
from packager.report.words import ENGLISH, Tongue

HEADROOM = 1.1
"""Of the plot above its highest point, for the point's name."""
COLUMNS = ("file", "MB", "bits", "KL", "same", "PPL ratio", "loss", "GB", "reads/s", "tokens/s", "fits")


def fit_table(choice: FileChoice, width: int | None = None) -> str:
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
    verdicts = [f"  {file.type}: {file_verdict(file, choice, ENGLISH)}" for file in choice.candidates]
    return "\n".join([*lines, "", *verdicts, "", *_legend(choice)])


def fit_advice(choice: FileChoice, command: Callable[[Sequence[str]], str]) -> str:
    """What was chosen, and what to type to have it as the package's default: `command` builds with settings."""
    best = choice.best
    if best is None:
        nearest = min(choice.candidates, key=lambda f: f.size, default=None)
        why = f": {nearest.type}, the smallest, {' and '.join(map(str, nearest.lacks))}" if nearest else ""
        return f"No file fits{why}.\n  -> add a smaller type to quantize.types, or lower serve.context"
    chosen = f"Best that fits: {best.name}."
    if best.name == choice.default:
        return f"{chosen} It is the package's default."
    return f"{chosen} To make it the package's default:\n  {command(_settings(choice, best))}"


def _settings(choice: FileChoice, best: Candidate) -> tuple[str, ...]:
    """What to set in the recipe so that `best` becomes the default."""
    machine = choice.machine
    if machine.bandwidth:  # the build knows the speed on its own machine only
        others = (f.type for f in choice.candidates if f is not best)
        return (f"quantize.types=[{','.join((best.type, *others))}]",)
    speed = f"device.min_tokens_per_second={machine.min_tokens_per_second:g}"
    return "device.prefer=quality", f"device.ram_gb={machine.ram_gb:g}", speed


def _row(file: Candidate, choice: FileChoice) -> Iterator[str]:
    yield file.type
    yield f"{file.size / 1e6:,.0f}"
    yield f"{file.bits_per_weight:.2f}"
    yield f"{file.kl:.4f}"
    yield f"{file.same_top:.1%}"
    yield f"{file.perplexity_ratio:.4f}"
    yield f"{file.heldout_loss:.4f}"
    yield f"{file.ram_gb:.2f}"
    reads = None if choice.machine.bandwidth else file.prompt_tokens_per_second
    yield "-" if reads is None else f"{reads:.0f}"
    speed = file.tokens_per_second
    yield "-" if speed is None else f"{'~' if choice.machine.bandwidth else ''}{speed:.0f}"
    yield "best" if file == choice.best else "no" if file.lacks else "yes"


def _legend(choice: FileChoice) -> Iterator[str]:
    machine = choice.machine
    yield (
        f"For {machine.ram_gb:g} GB and at least {machine.min_tokens_per_second:g} tokens/s. KL: mean divergence from "
        "F16 on held-out answers, nats per token; same: F16's likeliest token is this file's too; GB: memory at the "
        "recipe's context; reads/s: tokens of a prompt that it reads a second, before the first word."
    )
    if machine.bandwidth:
        yield (
            f"~ Speed is an estimate, not measured: {BANDWIDTH_SHARE} x {machine.bandwidth:g} GB/s over the file's "
            "size; models below 1B parameters stay behind it."
        )
    else:
        yield "Speed was measured on the machine that built the package."


def fit_plot(choice: FileChoice, title: str) -> str:
    """An SVG file: size on the x axis, divergence from F16 on the y axis; lower left is better."""
    picture = Picture(
        "fit", title, "; ".join(f"{f.type}: {file_verdict(f, choice, ENGLISH)}" for f in choice.candidates), True
    )
    return quality_of(choice, picture, "size, MB", "KL from F16, nats/token", [f.size / 1e6 for f in choice.candidates],
                   note="lower and further left is better; hollow: does not fit")  # fmt: skip


def _labelled(file: Candidate, choice: FileChoice, dominated: str, default: str) -> str:
    words = [default] * (file.name == choice.default) + [dominated] * bool(file.dominated_by)
    return f"{file.type} ({', '.join(words)})" if words else file.type


def quality_of(
    choice: FileChoice,
    picture: Picture,
    x: str,
    y: str,
    values: Sequence[float],
    note: str = "",
    say: Tongue | None = None,
) -> str:
    """Each file's divergence from F16 over its size, or over another of its `values`; in the language of `say`."""
    write: Write = say.short if say else axes.plain
    tongue = say or ENGLISH
    dominated, default = tongue("há melhor", "dominated"), tongue("padrão", "default")
    kls = [f.kl for f in choice.candidates]
    points = [
        Dot(
            _labelled(f, choice, dominated, default),
            value,
            f.kl,
            hollow=bool(f.lacks),
            strong=f == choice.best,
            says=file_verdict(f, choice, tongue),
        )
        for f, value in zip(choice.candidates, values, strict=True)
    ]
    across = axes.axis(values, x, zero=True, write=write)
    upward = axes.axis([max([*kls, 0.01]) * HEADROOM], y, zero=True, write=write)
    return figures.dots(picture, across, upward, points, note)
