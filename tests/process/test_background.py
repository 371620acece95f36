"""A tool that runs during a block: watched while it runs, gone afterwards."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from packager.errors import MissingResource
from packager.process.background import running


def test_it_runs_during_the_block_and_is_gone_after_it(tmp_path: Path) -> None:
    # The log opens with the command, so the word looked for may not stand in it.
    loop = "import time; print('len' + 'do', flush=True); time.sleep(600)"
    with running([sys.executable, "-c", loop], log=tmp_path / "log") as tool:
        until = time.monotonic() + 60
        while "lendo" not in tool.last_lines():
            assert time.monotonic() < until
            time.sleep(0.01)
        assert not tool.ended()
        assert tool.peak_ram() > 1_000_000
    assert tool.ended()
    assert tool.peak_ram() == 0


def test_one_that_ends_by_itself_is_known_to(tmp_path: Path) -> None:
    with running([sys.executable, "-c", "raise SystemExit('quebrado')"], log=tmp_path / "log") as tool:
        until = time.monotonic() + 60
        while not tool.ended():
            assert time.monotonic() < until
            time.sleep(0.01)
        assert "quebrado" in tool.last_lines()


def test_what_is_no_program_is_named(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no program")
    (tmp_path / "text").chmod(0o755)
    for name in ("text", "missing"):
        with (
            pytest.raises(MissingResource, match=f"{name} cannot be run here"),
            running([tmp_path / name], log=tmp_path / "log"),
        ):
            pass
