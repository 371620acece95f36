"""What this process may use: cards that are hidden do not count, and a container's quota sets the threads."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from packager.artifacts.files import cache_folder, home_folder
from packager.errors import MissingResource
from packager.process import cgroup, child, machine


@pytest.mark.parametrize("hidden", ["", "-1"])
def test_cards_that_are_hidden_do_not_count(monkeypatch: pytest.MonkeyPatch, hidden: str) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    machine.gpus.cache_clear()
    try:
        assert machine.gpus() == ()
    finally:
        machine.gpus.cache_clear()


@pytest.mark.parametrize(("quota", "threads"), [(0.5, 1), (1.5, 1), (1000.0, None)])
def test_a_quota_sets_the_threads(monkeypatch: pytest.MonkeyPatch, quota: float, threads: int | None) -> None:
    monkeypatch.setattr(cgroup, "processors", lambda: None)
    alone = child.physical_cores()
    assert "OMP_NUM_THREADS" not in child.environment() or "OMP_NUM_THREADS" in os.environ
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(cgroup, "processors", lambda: quota)
    assert child.physical_cores() == (threads or alone)
    assert child.environment()["OMP_NUM_THREADS"] == str(threads or alone)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert child.environment()["OMP_NUM_THREADS"] == "7", "what the user says holds"


def test_a_container_leaves_less_than_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroup, "memory_left", lambda: 5)
    assert machine.available_ram() == 5
    monkeypatch.setattr(cgroup, "memory_left", lambda: 1 << 60)
    assert machine.available_ram() <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def test_a_home_that_is_no_folder_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "gone"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert home_folder() is None
    with pytest.raises(MissingResource, match="no home folder"):
        cache_folder("x")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert cache_folder("x", "y") == tmp_path / "cache" / "packager" / "x" / "y"


def test_a_user_without_a_name_gets_one_in_its_children(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr("getpass.getuser", nobody)
    assert child.environment()["LOGNAME"] == f"user{os.getuid()}"
