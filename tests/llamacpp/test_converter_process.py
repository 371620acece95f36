"""The converter in a process of its own: how it ends is told as of any tool."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from packager.errors import StageCrash
from packager.llamacpp.converter import convert_hf_to_gguf
from packager.process import child


def run(tmp_path: Path, program: str, *words: str) -> None:
    script = tmp_path / "script.py"
    script.write_text(program)
    (tmp_path / "beside.py").write_text("SAID = 'from beside the script'\n")
    child.call(convert_hf_to_gguf, [str(script), *words], imports_torch=True)


def test_it_runs_as_a_script_with_its_arguments_and_its_folder(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib\nfrom beside import SAID\n"
        "if __name__ == '__main__':\n    pathlib.Path(sys.argv[1]).write_text(SAID)\n    sys.exit(0)\n"
    )
    run(tmp_path, program, str(tmp_path / "out"))
    assert (tmp_path / "out").read_text() == "from beside the script"
    assert "beside" not in sys.modules


@pytest.mark.parametrize(
    ("program", "code", "said"),
    [
        ("import sys; print('why'); sys.exit(3)", 3, "why"),
        ("import sys; sys.exit('no such model')", 1, "no such model"),
        ("raise ValueError('odd')", 1, "ValueError: odd"),
    ],
)
def test_its_last_words_are_in_the_error(tmp_path: Path, program: str, code: int, said: str) -> None:
    with pytest.raises(StageCrash, match=rf"convert_hf_to_gguf failed with exit code {code}[\s\S]*{said}"):
        run(tmp_path, program)
