"""The default's rows as approved material, indexed once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from once import once, shared

from packager.errors import MissingResource
from packager.knowledge import index, passages, search, threshold
from packager.knowledge.embedding_model import embedding_model

DATA = Path(__file__).parents[2] / "recipes" / "data"


def read_lines(name: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not shutil.which("gcc"):
        pytest.skip("gcc is not installed")
    try:
        embedding_model()
    except MissingResource as error:
        pytest.skip(error.message)
    return shared(tmp_path_factory.getbasetemp()) / "programs"


def index_of(rows: list[passages.Passage], folder: Path, programs: Path) -> None:
    index.write(rows, folder, programs)
    threshold.choose(folder, programs)


@pytest.fixture(scope="session")
def material(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every eighth row of the default's."""
    rows = passages.from_rows(read_lines("aps.jsonl"))[6::8]
    folder = shared(tmp_path_factory.getbasetemp()) / "material"
    return once(folder, lambda made: index_of(rows, made, programs))


@pytest.fixture(scope="session")
def all_rows(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[search.Search]:
    """The whole of the default's rows; takes a minute or two."""
    folder = tmp_path_factory.mktemp("all_rows")
    index_of(passages.from_rows(read_lines("aps.jsonl")), folder, programs)
    with search.opened(folder, programs) as found:
        yield found


@pytest.fixture(scope="session")
def opened(material: Path, programs: Path) -> Iterator[search.Search]:
    with search.opened(material, programs) as found:
        yield found
