"""Outputs that lack letters, a full temporary folder, a home that is not there: a sentence, never a traceback."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from packager.cli.terminal import plain, wrapped
from packager.errors import MissingResource
from packager.process import machine, progress
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


def test_long_lines_are_wrapped_for_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "smollm2_aps  " + "no GPU needed; 2.5 GB of memory, 1.1 GB of disk; here about 4 min"
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr("sys.stdout", io.StringIO())
    assert wrapped(text, 13) == text
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    lines = wrapped(text, 13).split("\n")
    assert max(map(len, lines)) <= 60
    assert " ".join(line.strip() for line in lines) == text
    assert all(line.startswith(" " * 13) and line[13] != " " for line in lines[1:])
    monkeypatch.setenv("COLUMNS", "50")
    assert wrapped(text, 13) == text, "so narrow a terminal wraps by itself"


def test_without_a_terminal_only_a_build_says_how_far_it_is() -> None:
    heard = io.StringIO()
    with progress.route(progress.Display(stream=heard)):
        for done in range(118):
            progress.update(done, 117, "prompts")
    assert heard.getvalue() == "", "a command prints its result, for a program to read"
    with progress.route(progress.Display(stream=heard)):
        progress.begin("adapter", "not built yet")
        for done in (0, 40, 80):
            progress.update(done, 80, "steps")
    assert [line.split() for line in heard.getvalue().splitlines()] == [
        ["adapter", "not", "built", "yet"],
        ["adapter", "80/80", "steps"],
    ]


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
