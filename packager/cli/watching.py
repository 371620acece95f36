"""The course of a training in the terminal, from its `metrics.jsonl`: loss curve, speed, time left.

A recipe, a run folder or a file (also copied from, or mounted of, another machine; `-` reads standard input) -> text.
Raises `InputError` where there are no metrics.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from packager.errors import InputError
from packager.process.progress import duration
from packager.recipe import loading

FILE = "metrics.jsonl"
HEIGHT, WIDEST, LABEL = 12, 100, 9
EVERY_SECONDS = 2.0
LATEST = 20
"""Steps whose speed tells the time left."""
Row = Mapping[str, float]


@dataclass(frozen=True)
class Course:
    """What a training has done so far."""

    losses: tuple[tuple[int, float], ...]
    """Step and loss."""
    heldout: tuple[tuple[int, float], ...]
    steps: int
    """In all; 0 where the file does not say."""
    tokens_per_second: float
    seconds_a_step: float

    @property
    def done(self) -> int:
        return self.losses[-1][0] if self.losses else 0

    @property
    def ended(self) -> bool:
        """All steps are done, and the last held-out loss measured."""
        return bool(self.steps and self.done >= self.steps and self.heldout and self.heldout[-1][0] >= self.steps)


def watch(source: str, build_dir: Path, *, once: bool) -> None:
    """Show the course until the training ends, or `once`; Ctrl-C leaves it (the training goes on)."""
    if source == "-":
        click.echo(drawn(course_of(sys.stdin.read())))
        return
    try:
        while True:
            path = metrics_of(source, build_dir)
            course = course_of(path.read_text(encoding="utf-8"))
            live = sys.stdout.isatty() and not once
            click.echo(
                ("\x1b[2J\x1b[H" if live else "") + f"{path}\n{drawn(course, shutil.get_terminal_size().columns)}"
            )
            if not live or course.ended or path.parent.name == "adapter":  # a finished stage's
                return
            time.sleep(EVERY_SECONDS)
    except KeyboardInterrupt:
        click.echo("No longer watched; the training goes on.")
        raise click.exceptions.Exit(130) from None


def metrics_of(source: str, build_dir: Path) -> Path:
    """The file of a recipe, a run folder, a folder with the file in it, or the file itself."""
    given = loading.located(source)
    if given.is_file() and given.suffix == ".jsonl":
        return given
    folder = given if given.is_dir() else build_dir / loading.load(source).name
    places = [folder / "adapter.partial" / FILE, folder / "adapter" / FILE, folder / FILE]
    found = next((path for path in places if path.is_file()), None)
    if found is None:
        raise InputError(
            f"There is no training in {folder} yet.", "start the build, or give the path of a metrics.jsonl"
        )
    return found


def course_of(text: str) -> Course:
    """The course in the lines of a metrics.jsonl; a last line that is only half written is passed over."""
    rows: list[Row] = []
    for line in text.splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and "step" in row:
            rows.append(row)
    if not rows:
        raise InputError("These are no metrics of a training.", "give a metrics.jsonl, or its folder")
    trained = [row for row in rows if "loss" in row]
    latest = trained[-LATEST:]
    seconds = sum(row.get("seconds", 0.0) for row in latest)
    return Course(
        losses=tuple((int(row["step"]), float(row["loss"])) for row in trained),
        heldout=tuple((int(row["step"]), float(row["heldout_loss"])) for row in rows if "heldout_loss" in row),
        steps=int(rows[-1].get("steps", 0)),
        tokens_per_second=sum(row.get("tokens", 0.0) for row in latest) / seconds if seconds else 0.0,
        seconds_a_step=seconds / len(latest) if latest else 0.0,
    )


def drawn(course: Course, columns: int = 80) -> str:
    """The curve, and a line of figures below it."""
    return "\n".join([*_curve(course, min(columns, WIDEST)), _figures(course)])


def _figures(course: Course) -> str:
    of = f"/{course.steps}" if course.steps else ""
    parts = [f"step {course.done}{of}"]
    if course.losses:
        parts += [f"loss {course.losses[-1][1]:.3f}", f"{course.tokens_per_second:,.0f} tokens/s"]
    if course.heldout:
        parts.append(f"held-out loss {' -> '.join(f'{loss:.3f}' for _, loss in _ends(course.heldout))}")
    if course.ended:
        parts.append("done")
    elif course.steps and course.seconds_a_step:
        parts.append(f"{duration((course.steps - course.done) * course.seconds_a_step)} left")
    return ", ".join(parts)


def _ends(points: Sequence[tuple[int, float]]) -> Sequence[tuple[int, float]]:
    return points if len(points) == 1 else (points[0], points[-1])


def _curve(course: Course, columns: int) -> list[str]:
    """Rows of text: `*` the loss (the mean of the steps in a column), `o` the held-out loss."""
    points = [*course.losses, *course.heldout]
    if not points:
        return []
    wide = max(10, columns - LABEL - 2)
    last = max(course.steps, max(step for step, _ in points), 1)
    low, high = min(loss for _, loss in points), max(loss for _, loss in points)
    span = (high - low) or 1.0
    grid = [[" "] * wide for _ in range(HEIGHT)]

    def place(step: int) -> int:
        return min(wide - 1, step * wide // (last + 1))

    def level(loss: float) -> int:
        return HEIGHT - 1 - round((loss - low) / span * (HEIGHT - 1))

    by_column: dict[int, list[float]] = {}
    for step, loss in course.losses:
        by_column.setdefault(place(step), []).append(loss)
    for column, losses in by_column.items():
        grid[level(sum(losses) / len(losses))][column] = "*"
    for step, loss in course.heldout:
        grid[level(loss)][place(step)] = "o"
    labels = {0: f"{high:.2f}", HEIGHT - 1: f"{low:.2f}", HEIGHT // 2: "loss"}
    lines = [f"{labels.get(i, ''):>{LABEL}} |{''.join(row).rstrip()}" for i, row in enumerate(grid)]
    end = f"step {last}"
    return [*lines, f"{'':>{LABEL}} +{'-' * wide}", f"{'':>{LABEL}}  0{end:>{wide - 1}}", "* training   o held out"]
