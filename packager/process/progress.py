"""Progress of long work: stages report, the terminal or the log shows.

A stage calls `update` (how far) and `note` (what happened); it never prints. Where the events go is
decided by whoever runs the stage: a pipe in a child process, a live line on a terminal, plain
timestamped lines elsewhere.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TextIO

Event = dict[str, Any]
_sink: Callable[[Event], None] = lambda event: None  # noqa: E731  (replaced by `route`)


def update(done: float, total: float, unit: str, **figures: float | str) -> None:
    """Report `done` of `total` `unit`s; `figures` are shown beside it (loss=2.1, ...)."""
    _sink({"done": done, "total": total, "unit": unit, "figures": figures})


def begin(stage: str, why: str) -> None:
    """Report that something new begins, whose time left is to be reckoned anew."""
    _sink({"begin": stage, "note": why})


def note(text: str) -> None:
    """Report one line worth keeping in the log."""
    _sink({"note": text})


@contextlib.contextmanager
def route(sink: Callable[[Event], None]) -> Iterator[None]:
    """Send the events of this process to `sink` for the duration of the block."""
    global _sink
    before, _sink = _sink, sink
    try:
        yield
    finally:
        _sink = before
        if isinstance(sink, Display):
            sink.settle()


def forward(event: Event) -> None:
    """Hand on an event that came from a child process."""
    _sink(event)


def duration(seconds: float) -> str:
    """`75` -> `1m15s`, for people."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f}s" if seconds < 10 else f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


def _figure(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


@dataclass
class Display:
    """Shows the stages of a build: a live line on a terminal, otherwise a plain line now and then."""

    log: TextIO | None = None
    stream: TextIO = field(default_factory=lambda: sys.stderr)
    every_seconds: float = 15.0
    _stage: str = ""
    _began: float = 0.0
    _first: tuple[float, float] | None = None
    _last_line: float = field(default_factory=time.monotonic)
    _last_text: str = ""

    @property
    def live(self) -> bool:
        return self.stream.isatty()

    def begin(self, stage: str, why: str) -> None:
        self._stage, self._began, self._first, self._last_line = stage, time.monotonic(), None, time.monotonic()
        self._line(f"{stage:<9} {why}")

    def end(self, text: str) -> None:
        took = duration(time.monotonic() - self._began)
        self.settle()
        self._line(f"{self._stage:<9} done in {took}{': ' + text if text else ''}")

    def cached(self, stage: str) -> None:
        self._line(f"{stage:<9} unchanged")

    def __call__(self, event: Event) -> None:
        if "begin" in event:
            self.settle()
            self.begin(event["begin"], event["note"])
            return
        if "note" in event:
            self.settle()
            self._line(f"{self._stage:<9} {event['note']}")
            return
        now = time.monotonic()
        done, total = float(event["done"]), float(event["total"])
        if self._first is None or done < self._first[1]:
            self._first = (now, done)
        moved, spent = done - self._first[1], now - self._first[0]
        # Before a hundredth is done, what it took says nothing about the rest.
        known = moved > 0.01 * (total - self._first[1]) and spent > 1 and done < total
        left = f", {duration(spent / moved * (total - done))} left" if known else ""
        figures = "".join(f", {k.replace('_', ' ')} {_figure(v)}" for k, v in event["figures"].items())
        text = f"{self._stage:<9} {done:.0f}/{total:.0f} {event['unit']}{figures}{left}"
        if self.live:
            self.stream.write(f"\r\x1b[2K{text[: _width() - 1]}")
            self.stream.flush()
        elif now - self._last_line >= self.every_seconds or (
            self._stage and done >= total and text != self._last_text
        ):  # a command that is no build and short says nothing but its result
            self._last_line, self._last_text = now, text
            self._line(text)

    def settle(self) -> None:
        """Take the live line away: something else is printed next."""
        if self.live:
            self.stream.write("\r\x1b[2K")

    def _line(self, text: str) -> None:
        self.stream.write(text + "\n")
        self.stream.flush()
        if self.log is not None:
            self.log.write(f"{time.strftime('%Y-%m-%dT%H:%M:%S')} {text}\n")
            self.log.flush()


def _width() -> int:
    import shutil

    return shutil.get_terminal_size().columns
