"""Memory of this process: how glibc keeps what was given back, and the gigabyte that figures are in."""

from __future__ import annotations

import contextlib
import ctypes

GIGABYTE = 10**9
"""Of memory and of disk, as recipes and reports count them."""
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""mallopt's parameters, from <malloc.h>."""


def keep_freed_memory(largest: int, kept: int) -> None:
    """Have glibc reuse what arrays of up to `largest` bytes give back, until `kept` bytes lie unused.

    By default it returns a large block's pages to the system, and the next block faults them in again,
    4 KB at a time. Other C libraries are left as they are.
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_THRESHOLD, largest)
        mallopt(_TRIM_THRESHOLD, kept)
