"""How long a child process takes, and the most anonymous memory that it and its children hold at once."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from packager.process import child as process_child

EVERY_SECONDS = 0.02


@dataclass(frozen=True)
class Cost:
    """Of one side of a benchmark."""

    seconds: float
    cpu_seconds: float
    """Of all its threads and children, in user and kernel: what a busy machine changes little."""
    anonymous_gb: float
    """RssAnon, summed over the process and its children, in GB of 10^9 bytes: what swapping would be for.
    Pages of mapped files are not counted: the kernel drops them when it likes."""


def child(function: Callable[..., Any], *arguments: Any) -> Cost:
    """Run `function(*arguments)` in a fresh process."""
    return _watched(lambda: process_child.call(function, *arguments))


def command(words: list[str | Path]) -> Cost:
    """Run an external tool."""
    return _watched(lambda: process_child.run(words))


def on_disk(*folders: Path) -> None:
    """Wait until what was written is on the disk, so that one side does not pay for another's pages."""
    for folder in folders:
        subprocess.run(["sync", "-f", str(folder)], check=True)


def machine() -> dict[str, Any]:
    """What the figures hold for."""
    versions = {n: metadata.version(n) for n in ("torch", "transformers", "peft", "numpy", "llama_cpp_python")}
    found: dict[str, Any] = {"cpu": cpu(), "cores": process_child.physical_cores(), "python": platform.python_version()}
    return found | {"load_before": round(os.getloadavg()[0], 2)} | versions


def cpu() -> str:
    """As the processor names itself."""
    text = Path("/proc/cpuinfo").read_text() if sys.platform == "linux" else ""
    return next((row.split(":")[1].strip() for row in text.splitlines() if row.startswith("model name")), "")


def _watched(run: Callable[[], object]) -> Cost:
    most, done = 0, threading.Event()

    def watch() -> None:
        nonlocal most
        while not done.wait(EVERY_SECONDS):
            most = max(most, sum(_anonymous(pid) for pid in _descendants(os.getpid())))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    began, used = time.perf_counter(), _cpu_of_children()
    try:
        run()
    finally:
        seconds = time.perf_counter() - began
        done.set()
        watcher.join()
    return Cost(round(seconds, 2), round(_cpu_of_children() - used, 2), round(most / 1e9, 3))


def _cpu_of_children() -> float:
    """CPU seconds of all children that have ended."""
    times = os.times()
    return times.children_user + times.children_system


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = [int(word) for word in task.read_text().split()]
        except OSError:
            continue
        for one in children:
            found += [one, *_descendants(one)]
    return found


def _anonymous(pid: int) -> int:
    try:
        match = re.search(r"RssAnon:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0
    return int(match[1]) * 1024 if match else 0
