"""The parts of a split file become the file again, byte for byte, and a base."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from packager.artifacts.kinds import Ggufs
from packager.checkpoint.locate import base_fingerprint, locate_base
from packager.errors import InputError
from packager.llamacpp.join import join_files, parts_of
from packager.llamacpp.split import split_file
from packager.recipe.sections import Base
from packager.stages.base import base

LIMIT = 900_000


@pytest.fixture
def parts(spm_f16: Ggufs, tmp_path: Path) -> list[Path]:
    (tmp_path / "parts").mkdir()
    return split_file(spm_f16.folder / "model-F16.gguf", tmp_path / "parts", LIMIT)


def test_the_whole_is_what_was_split(parts: list[Path], spm_f16: Ggufs, tmp_path: Path) -> None:
    assert len(parts) > 2
    assert parts_of(parts[0]) == parts
    join_files(parts, tmp_path / "whole.gguf")
    assert (tmp_path / "whole.gguf").read_bytes() == (spm_f16.folder / "model-F16.gguf").read_bytes()
    assert parts_of(tmp_path / "whole.gguf") == [tmp_path / "whole.gguf"]


def test_a_base_in_parts_is_given_by_its_first(parts: list[Path], spm_f16: Ggufs, tmp_path: Path) -> None:
    whole = locate_base(Base(model=str(spm_f16.folder / "model-F16.gguf")))
    found = locate_base(Base(model=str(parts[0])))
    assert (found.parameters, found.architecture) == (whole.parameters, whole.architecture)
    before = base_fingerprint(Base(model=str(parts[0])))
    out = tmp_path / "out"
    out.mkdir()
    made = base(Base(model=str(parts[0])), out)  # its tokens and predictions are those of the parts, run by llama.cpp
    assert made.parameters == whole.parameters
    assert not list(out.glob("*.gguf"))
    parts[-1].touch()
    assert base_fingerprint(Base(model=str(parts[0]))) != before


def test_parts_that_are_not_all_there_are_named(parts: list[Path]) -> None:
    with pytest.raises(InputError, match="is part 2 of") as caught:
        locate_base(Base(model=str(parts[1])))
    assert caught.value.fix == f"give the first, {parts[0].name}"
    parts[1].unlink()
    with pytest.raises(InputError, match=f"1 of the others are not beside it: {parts[1].name}"):
        locate_base(Base(model=str(parts[0])))
    shutil.copyfile(parts[2], parts[1])
    with pytest.raises(InputError, match=r"says of itself that it is number 2 \(from 0\)"):
        locate_base(Base(model=str(parts[0])))
    renamed = parts[0].rename(parts[0].with_name("first.gguf"))
    with pytest.raises(InputError, match="but not named so"):
        locate_base(Base(model=str(renamed)))
