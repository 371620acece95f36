"""This machine: memory, processors and GPUs that this process may use, and folders that it may write to.

Files of the system -> figures. Raises `MissingResource`, with the variable to set, for a folder that cannot be used.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packager.errors import MissingResource, PackagerError
from packager.process import cgroup, child

TEMPORARY_ROOM = 100 * 10**6
"""Bytes that the folder for temporary files should have free: logs, a system's texts, a predicted distribution."""


@dataclass(frozen=True)
class Gpu:
    """A graphics card that training can use."""

    name: str
    memory: int
    """Bytes."""


def available_ram() -> int:
    """Memory that can be had without swapping, in bytes, within what a container allows (0 where nobody says)."""
    free = 0
    try:
        for row in Path("/proc/meminfo").read_text().splitlines():
            if row.startswith("MemAvailable:"):
                free = int(row.split()[1]) * 1024
    except OSError:
        pass
    left = cgroup.memory_left()
    return free if left is None else min(free or left, left)


def free_disk(folder: Path) -> int:
    """Free bytes on the disk that holds, or would hold, `folder`."""
    existing = folder.absolute()
    while not existing.exists():
        existing = existing.parent
    return shutil.disk_usage(existing).free


@functools.cache
def gpus() -> tuple[Gpu, ...]:
    """The cards that torch as it is installed can train on; none where CUDA_VISIBLE_DEVICES hides them."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1") or not _for_cuda():
        return ()
    try:
        out = child.run(["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"], timeout=20)
    except PackagerError:
        return ()
    cells = [row.rsplit(",", 1) for row in out.splitlines() if re.search(r",\s*\d+\s*$", row)]
    return tuple(Gpu(name.strip(), int(memory) << 20) for name, memory in cells)


def _for_cuda() -> bool:
    try:
        return "+cpu" not in metadata.version("torch")
    except metadata.PackageNotFoundError:
        return False


def processor_flags() -> frozenset[str]:
    """What the processor can do, by the kernel's names; empty where it does not say (ARM says otherwise)."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return frozenset()
    return next((frozenset(row.split(":")[1].split()) for row in text.splitlines() if row.startswith("flags")),
                frozenset())  # fmt: skip


def computes_in_16_bits() -> bool:
    """Whether training on this processor computes in bf16, as torch sees it (`training/model.py`); else in fp32."""
    return bool({"avx512_bf16", "amx_bf16"} & processor_flags())


def check_temporary(room: int = TEMPORARY_ROOM) -> None:
    """Raise `MissingResource` if temporary files have no place; every stage writes some."""
    try:
        folder = Path(tempfile.gettempdir())
    except OSError:
        raise MissingResource(
            "No folder for temporary files can be written to.", "set TMPDIR to a folder that you may write to"
        ) from None
    if (free := free_disk(folder)) < room:
        raise MissingResource(
            f"The folder for temporary files, {folder}, has {free / 1e6:,.0f} MB free; about {room / 1e6:,.0f} are"
            " needed.",
            "free some space there, or set TMPDIR to another folder",
        )
