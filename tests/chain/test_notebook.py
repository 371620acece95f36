"""The notebook runs from top to bottom as a script, with a stand-in for the base: what it shows is what happens."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from packager.recipe.loading import ROOT

NOTEBOOK = ROOT / "notebooks" / "packager.ipynb"


def code() -> str:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


def test_it_is_a_notebook_without_outputs_or_magic() -> None:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert all(not cell["outputs"] for cell in cells if cell["cell_type"] == "code")
    assert not [line for line in code().splitlines() if line.startswith(("!", "%"))]
    compile(code(), NOTEBOOK.name, "exec")


@pytest.mark.slow
def test_it_runs_from_top_to_bottom(tmp_path: Path, taught_base: Path, taught_data: Path) -> None:
    script = tmp_path / "notebook.py"
    script.write_text(code(), encoding="utf-8")
    env = os.environ | {"PACKAGER_BASE": str(taught_base), "PACKAGER_DATA": str(taught_data), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(script)]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "meu.zip").is_file()
    for words in ("rows to train on", "what is trained", "held-out loss"):
        assert words in done.stdout
