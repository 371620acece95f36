"""A folder that is made once a test run, however many workers (pytest-xdist) ask for it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
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
            make(folder)
            made.touch()
    return folder


def shared(base: Path) -> Path:
    """Where the workers of this test run share folders; `base` is pytest's own for one worker."""
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "once"
