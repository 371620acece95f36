"""What a container allows this process: memory and processors, by control groups of version 1 and 2.

Files of the kernel -> bytes and cores, or None where nothing is limited. A group that cannot be read limits nothing.
The limits of all groups above count too. Inside a container the kernel names a group by its path outside, which is
not there: then the mount's own root is the group.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

MOUNT, OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
UNLIMITED = 1 << 60
"""Version 1 writes a number near 2^63 where there is no limit."""


def memory_left(mount: Path = MOUNT, own: Path = OWN) -> int | None:
    """Bytes that this process may still take before its group is full; files in the cache count as free."""
    left = [
        limit - used + cached
        for limit, used, cached in (_memory(group) for group in _groups("memory", mount, own))
        if limit is not None
    ]
    return max(0, min(left)) if left else None


def memory_limit(mount: Path = MOUNT, own: Path = OWN) -> int | None:
    """Bytes that this process's group may hold in all."""
    limits = [limit for limit, _, _ in (_memory(group) for group in _groups("memory", mount, own)) if limit is not None]
    return min(limits, default=None)


def processors(mount: Path = MOUNT, own: Path = OWN) -> float | None:
    """Processors' worth of time, a second (1.5: one and a half)."""
    return min((quota for group in _groups("cpu", mount, own) if (quota := _quota(group))), default=None)


def _memory(group: Path) -> tuple[int | None, int, int]:
    """Limit, what is held, and what of it are files that the kernel lets go."""
    for limit_file, used_file, cached in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        limit = _number(group / limit_file)
        if limit is not None and limit < UNLIMITED:
            rows = (row.split() for row in _text(group / "memory.stat").splitlines())
            return limit, _number(group / used_file) or 0, next((int(r[1]) for r in rows if r[:1] == [cached]), 0)
    return None, 0, 0


def _quota(group: Path) -> float | None:
    quota, _, period = _text(group / "cpu.max").partition(" ")
    if not quota:
        quota, period = _text(group / "cpu.cfs_quota_us"), _text(group / "cpu.cfs_period_us")
    try:
        share = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):  # "max", or nothing there
        return None
    return share if share > 0 else None


def _groups(controller: str, mount: Path, own: Path) -> Iterator[Path]:
    """The folders of the group that this process is in and of those above it, as far as they are to be seen."""
    for row in _text(own).splitlines():
        _, controllers, path = [*row.split(":", 2), "", ""][:3]
        if controllers and controller not in controllers.split(","):
            continue
        roots = [mount / controllers, mount / controller] if controllers else [mount, mount / "unified"]
        root = next((folder for folder in roots if folder.is_dir()), None)
        if root is None:
            continue
        below = root.joinpath(*(part for part in Path(path).parts if part not in ("/", "..")))
        group = below if below.is_dir() else root
        yield group
        while group != root:
            group = group.parent
            yield group


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text.isdecimal() else None


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, ValueError):
        return ""
