"""A folder that is made once a test run, however many workers (pytest-xdist) ask for it, on all cores: the others
wait for it."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock


def once(folder: Path, make: Callable[[Path], object]) -> Path:
    """`folder`, made by the first who asks; the others wait. What was half made is made anew."""
    made = folder.with_name(f"{folder.name}.made")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f"{folder.name}.lock")):
        if not made.is_file():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            with on_all_cores():
                make(folder)
            made.touch()
    return folder


@contextlib.contextmanager
def on_all_cores() -> Iterator[None]:
    """What this thread computes and starts may use all cores, not only a worker's share (`conftest.py`)."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    share = os.sched_getaffinity(0)
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    try:
        yield
    finally:
        os.sched_setaffinity(0, share)


def shared(base: Path) -> Path:
    """Where the workers of this test run share folders; `base` is pytest's own for one worker."""
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "once"
