"""What reading a vocabulary may take: memory runs out as an allocation does, time ends the process by name."""

from __future__ import annotations

import mmap
import resource

import pytest

from packager.errors import StageCrash
from packager.llamacpp.limits import bounded
from packager.process import child

LIMITS = (resource.RLIMIT_AS, resource.RLIMIT_CPU)


def spin() -> None:
    with bounded(1 << 30, 1):
        while True:
            pass


def test_memory_is_bounded_inside_the_block_only() -> None:
    before = [resource.getrlimit(kind) for kind in LIMITS]
    with bounded(64 << 20, 60):
        assert [resource.getrlimit(kind) for kind in LIMITS] != before
        with pytest.raises(OSError, match="Cannot allocate memory"):
            mmap.mmap(-1, 256 << 20)  # rather than memory that this process has freed and kept
    assert [resource.getrlimit(kind) for kind in LIMITS] == before
    with mmap.mmap(-1, 256 << 20) as there:
        assert len(there) == 256 << 20


def test_time_is_bounded_and_the_signal_named() -> None:
    with pytest.raises(StageCrash, match="spin died of SIGXCPU"):
        child.call(spin)
