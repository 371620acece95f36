"""Bounds on what a GGUF may take: in a stage's own process to be read or quantized, in a child's to be run.

A damaged count in a header asks for any amount of memory, a damaged table for any amount of time.
Inside `bounded` the first fails as an allocation does, and the second ends the process with SIGXCPU,
which `process/child.py` names. Both are relative to what the process has taken before.
"""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Iterator
from pathlib import Path

RUN_SECONDS, SECONDS_PER_BYTE = 600.0, 1e-6
"""Time to run files over a few hundred tokens: beside a constant, with their size, as every layer is read."""
ROOM = 8 << 30
"""Address space beside the files, in bytes: contexts, logits, the interpreter."""


@contextlib.contextmanager
def bounded(memory: int, seconds: int) -> Iterator[None]:
    """At most `memory` more bytes of address space and `seconds` more of CPU time, inside the block.

    Only on Linux: elsewhere the block runs unbounded.
    """
    held = _address_space()
    if held is None:
        yield
        return
    usage = resource.getrusage(resource.RUSAGE_SELF)
    wanted = {
        resource.RLIMIT_AS: held + memory,
        resource.RLIMIT_CPU: int(usage.ru_utime + usage.ru_stime) + seconds,
    }
    before = {kind: resource.getrlimit(kind) for kind in wanted}
    for kind, limit in wanted.items():
        resource.setrlimit(kind, (_least(limit, *before[kind]), before[kind][1]))
    try:
        yield
    finally:
        for kind, limits in before.items():
            resource.setrlimit(kind, limits)


def _least(*limits: int) -> int:
    return min(limit for limit in limits if limit != resource.RLIM_INFINITY)


def _address_space() -> int | None:
    """Bytes of address space that this process has now."""
    try:
        pages = Path("/proc/self/statm").read_text().split()[0]
    except OSError:
        return None
    return int(pages) * resource.getpagesize()


def running(size: int) -> tuple[float, int]:
    """The time (seconds) and the address space (bytes) in which GGUF files of `size` bytes must have run."""
    return RUN_SECONDS + size * SECONDS_PER_BYTE, memory_for(size)


def memory_for(size: int) -> int:
    """Address space (bytes) that a process may take in which GGUF files of `size` bytes run."""
    return 2 * size + ROOM
