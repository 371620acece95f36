"""Limits of containers, read from copies of the kernel's files: versions 1 and 2, with and without the own group."""

from __future__ import annotations

from pathlib import Path

import pytest

from packager.process import cgroup

GIB = 1 << 30


def tree(root: Path, **files: str) -> Path:
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return root


def own(root: Path, *rows: str) -> Path:
    path = root / "self"
    path.write_text("".join(f"{row}\n" for row in rows))
    return path


def test_version_2_counts_what_the_kernel_lets_go_and_the_groups_above(tmp_path: Path) -> None:
    mount = tree(
        tmp_path / "fs",
        a__memory_dot_max=str(2 * GIB),
        a__memory_dot_current=str(GIB),
        a__memory_dot_stat=f"anon 5\ninactive_file {GIB // 2}",
        a__b__memory_dot_max="max",
        a__b__cpu_dot_max="max 100000",
        a__cpu_dot_max="150000 100000",
    )
    mine = own(tmp_path, "0::/a/b")
    assert cgroup.memory_left(mount, mine) == 3 * GIB // 2
    assert cgroup.memory_limit(mount, mine) == 2 * GIB
    assert cgroup.processors(mount, mine) == 1.5


def test_version_1_has_a_folder_for_each_kind(tmp_path: Path) -> None:
    mount = tree(
        tmp_path / "fs",
        memory__x__memory_dot_limit_in_bytes=str(3 * GIB // 2),
        memory__x__memory_dot_usage_in_bytes=str(GIB),
        memory__x__memory_dot_stat=f"total_inactive_file {GIB // 4}",
        memory__memory_dot_limit_in_bytes="9223372036854771712",
        cpu__x__cpu_dot_cfs_quota_us="-1",
        cpu__x__cpu_dot_cfs_period_us="100000",
    )
    mine = own(tmp_path, "4:memory:/x", "1:cpu:/x", "9:name=systemd:/", "0::/")
    assert cgroup.memory_left(mount, mine) == 3 * GIB // 4
    assert cgroup.processors(mount, mine) is None


@pytest.mark.parametrize("row", ["0::/outside/name", "0::/../..", "7:cpu,memory:/gone"])
def test_inside_a_container_the_mounts_root_is_the_group(tmp_path: Path, row: str) -> None:
    root = tmp_path / "fs" / ("memory" if row.startswith("7") else "")
    tree(root, memory_dot_max=str(GIB), memory_dot_current="0", memory_dot_stat="")
    assert cgroup.memory_left(tmp_path / "fs", own(tmp_path, row)) == GIB


def test_where_nothing_is_limited_or_readable_nothing_is_said(tmp_path: Path) -> None:
    assert cgroup.memory_left(tmp_path / "none", tmp_path / "none") is None
    assert cgroup.processors(tmp_path / "none", tmp_path / "none") is None
    tree(tmp_path / "fs", memory_dot_max="max", cpu_dot_max="max 100000")
    assert cgroup.memory_limit(tmp_path / "fs", own(tmp_path, "0::/")) is None
