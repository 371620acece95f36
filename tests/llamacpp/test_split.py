"""The parts of a file are what llama.cpp's own tool would write: it loads them from the first."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from packager.__main__ import main
from packager.artifacts.kinds import Ggufs
from packager.errors import InputError
from packager.llamacpp.model import GgufModel
from packager.llamacpp.split import split_file

LIMIT = 900_000


def logits(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    with GgufModel.open(path, context=128) as model:
        ids = model.tokenize("a equipe de saúde cuida da família")
        return np.concatenate([rows.copy() for _, rows in model.logits(ids)])


def test_the_parts_load_and_predict_as_the_whole(spm_f16: Ggufs, tmp_path: Path) -> None:
    source = spm_f16.folder / "model-F16.gguf"
    parts = split_file(source, tmp_path, LIMIT)
    assert len(parts) > 2
    assert parts[0].name == f"model-F16-00001-of-{len(parts):05d}.gguf"
    assert all(part.stat().st_size <= LIMIT for part in parts)
    assert np.array_equal(logits(parts[0]), logits(source))


def test_nothing_is_lost(spm_f16: Ggufs, tmp_path: Path) -> None:
    from gguf import GGUFReader

    whole = GGUFReader(spm_f16.folder / "model-F16.gguf")
    parts = [GGUFReader(part) for part in split_file(spm_f16.folder / "model-F16.gguf", tmp_path, LIMIT)]
    tensors = [t for part in parts for t in part.tensors]
    assert [t.name for t in tensors] == [t.name for t in whole.tensors]
    assert all(np.array_equal(a.data, b.data) for a, b in zip(tensors, whole.tensors, strict=True))
    added = {"split.no", "split.count", "split.tensors.count"}
    assert parts[0].fields.keys() == whole.fields.keys() | added
    counted = ("GGUF.kv_count", "GGUF.tensor_count")
    for name, field in whole.fields.items():
        assert name in counted or field.contents() == parts[0].fields[name].contents()
    numbers = [tuple(part.fields[name].contents() for name in sorted(added)) for part in parts]
    assert numbers == [(len(parts), number, len(tensors)) for number in range(len(parts))]


class TestRefusals:
    def test_a_file_that_is_small_enough(self, spm_f16: Ggufs, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="no larger than"):
            split_file(spm_f16.folder / "model-F16.gguf", tmp_path, 10**9)

    def test_a_tensor_that_is_too_large(self, spm_f16: Ggufs, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="alone has"):
            split_file(spm_f16.folder / "model-F16.gguf", tmp_path, 200_000)
        assert not list(tmp_path.iterdir())

    def test_a_part(self, spm_f16: Ggufs, tmp_path: Path) -> None:
        first = split_file(spm_f16.folder / "model-F16.gguf", tmp_path, LIMIT)[0]
        with pytest.raises(InputError, match="itself a part"):
            split_file(first, tmp_path, 300_000)

    def test_a_part_that_is_there(self, spm_f16: Ggufs, tmp_path: Path) -> None:
        second = split_file(spm_f16.folder / "model-F16.gguf", tmp_path, LIMIT)[1]
        with pytest.raises(InputError, match="is there already"):
            split_file(spm_f16.folder / "model-F16.gguf", tmp_path, LIMIT)
        assert second.is_file()


def test_the_command(spm_f16: Ggufs, tmp_path: Path) -> None:
    model = str(spm_f16.folder / "model-F16.gguf")
    done = CliRunner().invoke(main, ["split", model, str(tmp_path), "--gb", str(LIMIT / 1e9)])
    assert done.exit_code == 0, done.output
    assert len(done.output.splitlines()) >= len(list(tmp_path.iterdir())) > 2
