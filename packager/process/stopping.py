"""Ctrl-C and SIGTERM: raised as an error where they come, or remembered until a loop can stop."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator

from packager.errors import Interrupted


@contextlib.contextmanager
def deferred_stop() -> Iterator[Callable[[], bool]]:
    """Turn Ctrl-C and SIGTERM into a flag, so that a loop can finish its step and save.

    Yields a function that tells whether a stop was asked for.
    """
    asked = False

    def remember(signum: int, frame: object) -> None:
        nonlocal asked
        asked = True

    before = {s: signal.signal(s, remember) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Make Ctrl-C and SIGTERM raise `Interrupted` in this process, from wherever it is."""

    def interrupt(signum: int, frame: object) -> None:
        raise Interrupted(
            f"Stopped by {signal.Signals(signum).name}. What was finished is kept.",
            "run the same command again to resume",
        )

    before = {s: signal.signal(s, interrupt) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
