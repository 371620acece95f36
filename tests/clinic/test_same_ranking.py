"""The clinic's programs for every kind of machine rank as the build does, byte for byte.

PACKAGER_MATERIAL names a folder with approved material (a package) to take in place of the small one; then every
question of the default is asked, or where the machine is emulated every twentieth.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import clinic_bundle
import pytest

from packager.clinic import starter
from packager.clinic.targets import TARGETS
from packager.errors import MissingResource
from packager.knowledge import search

pytestmark = pytest.mark.slow
QUESTIONS = Path(__file__).parents[2] / "recipes" / "data" / "aps_questions.jsonl"
RUNS = {
    "linux-x86_64": [],
    "linux-arm64": ["qemu-aarch64-static", "qemu-aarch64"],
    "windows-x86_64": ["wine"],
}
"""What runs the program of each target on x86-64 Linux."""


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("programs")


@pytest.fixture(scope="module")
def material(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if folder := os.environ.get("PACKAGER_MATERIAL"):
        return Path(folder).resolve()
    folder = tmp_path_factory.mktemp("material")
    return clinic_bundle.with_material(folder, programs)


@pytest.mark.parametrize("target", RUNS)
def test_every_program_ranks_as_the_build(
    target: str, material: Path, programs: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    runner = next(([found] for name in RUNS[target] if (found := shutil.which(name))), [])
    if RUNS[target] and not runner:
        pytest.skip(f"none of {', '.join(RUNS[target])} is installed")
    try:
        program = starter.built(TARGETS[target], tmp_path_factory.getbasetemp() / "runtime")
    except MissingResource as error:
        pytest.skip(error.message)
    step = 40 if "PACKAGER_MATERIAL" not in os.environ else 20 if target == "linux-arm64" else 1
    asked = [json.loads(line)["question"] for line in QUESTIONS.read_text(encoding="utf-8").splitlines()][::step]
    env = os.environ | {"WINEPREFIX": str(tmp_path / "wine"), "WINEDEBUG": "-all"}
    done = subprocess.run(
        [*runner, program, "procurar", "--pasta", material], input="\n".join(asked).encode(), capture_output=True,
        check=True, env=env, timeout=3600,
    )  # fmt: skip
    with search.opened(material, programs) as opened:
        assert done.stdout.decode().split() == " ".join(f.ranking for f in opened.ask_all(asked, 10)).split()
