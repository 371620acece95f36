"""Files under a second name, and where downloads are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from packager.artifacts.files import cache_folder, link_or_copy


def test_a_second_name_costs_no_disk(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    link_or_copy(tmp_path / "a", tmp_path / "new" / "b")
    assert (tmp_path / "new" / "b").samefile(tmp_path / "a")


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    (tmp_path / "link").symlink_to("a")
    link_or_copy(tmp_path / "link", tmp_path / "b")
    assert (tmp_path / "b").is_symlink()


def test_where_no_link_can_be_had_it_is_a_copy(tmp_path: Path) -> None:
    """/dev/shm is another file system, across which no hard link leads."""
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("needs a second file system at /dev/shm")
    (tmp_path / "a").write_text("x")
    target = other / f"packager-test-{tmp_path.name}-{id(tmp_path)}"
    try:
        link_or_copy(tmp_path / "a", target)
        assert target.read_text() == "x"
    finally:
        target.unlink(missing_ok=True)


def test_the_cache_is_below_xdg_cache_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder("hub") == tmp_path / "packager" / "hub"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert cache_folder() == Path.home() / ".cache" / "packager"
