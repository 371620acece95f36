"""Outputs that lack letters, a full temporary folder, a home that is not there: a sentence, never a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from packager.cli.terminal import plain
from packager.errors import MissingResource
from packager.process import machine
from packager.recipe.loading import ROOT


def run(*words: str, **variables: str | None) -> subprocess.CompletedProcess[bytes]:
    """The program in an environment of its own: None takes a variable out."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)} | {k: v for k, v in variables.items() if v is not None}
    for name in (name for name, value in variables.items() if value is None):
        env.pop(name, None)
    return subprocess.run([sys.executable, "-m", "packager", *words], env=env, capture_output=True, timeout=120)


def test_a_terminal_of_ascii_is_written_plain_letters(tmp_path: Path) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text("name: r\nbase: {modelo: x}\ndata: {source: 'não há.jsonl'}\n", encoding="utf-8")
    done = run("check", str(recipe), LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert done.returncode == 2
    assert done.stderr.isascii(), done.stderr
    done = run("audit", str(tmp_path / "não há.jsonl"), PYTHONIOENCODING="latin-1")
    assert "não há" in done.stderr.decode("latin-1")


def test_signs_have_plain_forms() -> None:
    assert plain("✓ atenção → “ok” …") == 'ok atencao -> "ok" ...'
    assert plain("漢") == "?"


@pytest.mark.parametrize(
    "variables",
    [
        {"HOME": None, "XDG_CACHE_HOME": None},
        {"HOME": "/nowhere/at/all", "XDG_CACHE_HOME": None},
        {"HOME": "/dev/null", "XDG_CACHE_HOME": None},
        {"HOME": "/proc/1", "XDG_CACHE_HOME": None},
        {"XDG_CACHE_HOME": "/dev/null/x"},
        {"XDG_CACHE_HOME": "/proc/x"},
    ],
)
def test_a_home_or_cache_that_is_none_is_said_with_the_variable(variables: dict[str, str | None]) -> None:
    done = run("check", "smollm2_aps", **variables)
    said = done.stderr.decode()
    assert "Traceback" not in said
    if done.returncode:  # without HOME the home of the user's name is taken, where there is one
        assert done.returncode == 4, said
        assert "XDG_CACHE_HOME" in said


def test_a_temporary_folder_without_room_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    machine.check_temporary(1)
    with pytest.raises(MissingResource, match="are needed") as caught:
        machine.check_temporary(1 << 62)
    assert "TMPDIR" in caught.value.fix
