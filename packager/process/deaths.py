"""A process that failed -> the error that says of what: a signal, memory, a full disk; with its last lines."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path
from typing import IO

from packager.errors import MissingResource, PackagerError, StageCrash

TAIL_LINES = 15


def death(name: str, code: int, tail: str, killed_for_memory: bool) -> PackagerError:
    """The error for `name`, which ended with exit code `code` (minus the signal) and said `tail` last."""
    if code < 0:
        name_of = signal.Signals(-code).name
        if killed_for_memory or code == -signal.SIGKILL:
            certain = "" if killed_for_memory else " (the usual cause of a SIGKILL from outside)"
            return MissingResource(
                f"{name} was killed: the machine ran out of memory{certain}.{tail}",
                "close other programs, or lower train.batch.examples_per_micro_batch, "
                "data.max_tokens or the model's size; finished stages are kept",
            )
        return StageCrash(f"{name} died of {name_of}.{tail}", "see build.log")
    if "No space left on device" in tail:
        return MissingResource(f"{name}: the disk is full.{tail}", "free some space and run again")
    return StageCrash(f"{name} failed with exit code {code}.{tail}", "see build.log")


def last_lines(output: IO[bytes], start: int) -> str:
    """The last lines printed since `start`, to follow a sentence: each begins a line of its own."""
    output.flush()
    end = output.seek(0, os.SEEK_END)
    output.seek(max(start, end - 8192))
    lines = output.read().decode(errors="replace").replace("\r", "\n").splitlines()
    return "".join(f"\n  | {line}" for line in lines[-TAIL_LINES:])


def oom_kills() -> int:
    """Processes that the kernel has killed for memory since boot (0 where it does not say)."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0
