"""What the importance matrix holds, whom it is taken from, that llama.cpp reads it, and what it does."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from packager.artifacts.files import fresh
from packager.artifacts.kinds import Checkpoint, Dataset, Ggufs, Merged
from packager.checkpoint import importance, reference
from packager.errors import InputError
from packager.llamacpp import imatrix
from packager.llamacpp.converter import known_architectures
from packager.llamacpp.gguf_file import tensor_shapes
from packager.llamacpp.imatrix import IMATRIX, read_imatrix, tensor_names, write_imatrix
from packager.llamacpp.quantizer import quantize_files
from packager.process import progress
from packager.prompt import masking
from packager.prompt.template import load_template, load_tokenizer
from packager.stages.merge import Merge, merge
from packager.stages.quantize import Quantizing, quantize
from tests.conftest import tiny_rows

READER = Path(__file__).with_name("imatrix_reader.cpp")
NAMES = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")


@pytest.fixture(scope="module")
def spm_rows(tmp_path_factory: pytest.TempPathFactory, spm_data: Dataset) -> Dataset:
    """`spm_data` with rows to train on."""
    folder = tmp_path_factory.mktemp("rows") / "data"
    shutil.copytree(spm_data.folder, folder)
    write_rows(folder / "train.jsonl", tiny_rows()[4:])
    return spm_data.model_copy(update={"folder": folder})


@pytest.fixture(scope="module")
def weighed(
    tmp_path_factory: pytest.TempPathFactory, vendored: Path, spm_base: Checkpoint, spm_rows: Dataset
) -> Merged:
    """`spm_base` through the merge stage, with an importance matrix. Do not write into it."""
    return merge(Merge(imatrix=True), spm_base, spm_rows, None, tmp_path_factory.mktemp("weighed"))


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def collected(base: Checkpoint, data: Dataset, out: Path) -> bytes:
    with reference.opened(base.folder) as made:
        importance.collect(made, base, data, fresh(out))
    return (out / IMATRIX).read_bytes()


class TestFile:
    def test_every_matrix_of_the_f16_file_has_its_columns(self, weighed: Merged, spm_f16: Ggufs) -> None:
        found = read_imatrix(weighed.folder / IMATRIX)
        shapes = tensor_shapes(spm_f16.folder / "model-F16.gguf")
        matrices = {name: shape for name, shape in shapes.items() if len(shape) > 1 and name.startswith("blk.")}
        assert found.keys() == matrices.keys() == {f"blk.{i}.{name}.weight" for i in (0, 1) for name in NAMES}
        assert all(found[name].shape == matrices[name][:1] for name in found)

    def test_they_are_the_mean_squares_that_transformers_computes(
        self, weighed: Merged, spm_base: Checkpoint, spm_rows: Dataset
    ) -> None:
        """Row by row, without padding, in transformers' own model."""
        from transformers import AutoModelForCausalLM

        model = AutoModelForCausalLM.from_pretrained(spm_base.folder, dtype=torch.float32)
        seen: list[torch.Tensor] = []
        model.model.layers[1].mlp.down_proj.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0][0]))
        with torch.no_grad():
            for sample in importance.training_samples(spm_rows):
                model(torch.tensor([sample.ids]))
        wanted = torch.cat(seen).double().square().mean(dim=0)
        found = read_imatrix(weighed.folder / IMATRIX)["blk.1.ffn_down.weight"]
        np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-4)

    @pytest.mark.slow
    def test_llama_cpp_s_own_reader_takes_it(self, vendored: Path, weighed: Merged, tmp_path: Path) -> None:
        import llama_cpp

        libraries = Path(llama_cpp.__file__).parent / "lib"
        source = vendored / "common" / "imatrix-loader.cpp"
        folders = [f"-I{vendored / name}" for name in ("common", "include", "ggml/include", "vendor")]
        link = [f"-L{libraries}", "-lggml-base", f"-Wl,-rpath,{libraries}"]
        built = tmp_path / "reader"
        subprocess.run(["g++", "-std=c++17", *folders, READER, source, "-o", built, *link], check=True)
        path = weighed.folder / IMATRIX
        lines = subprocess.run([built, path], check=True, capture_output=True, text=True).stdout.splitlines()
        read = {line.split()[0]: np.array(line.split()[2:], np.float32) for line in lines}
        ours = read_imatrix(path)
        assert read.keys() == ours.keys()
        assert all(np.array_equal(read[name], ours[name]) for name in ours)

    @pytest.mark.parametrize("raw", [b"", b"GGUF", b"x" * 1000])
    def test_what_is_no_such_file(self, tmp_path: Path, raw: bytes) -> None:
        (tmp_path / "x.gguf").write_bytes(raw)
        with pytest.raises(ValueError, match=r"x\.gguf|mmap"):
            read_imatrix(tmp_path / "x.gguf")


class TestRows:
    def test_held_out_rows_are_never_used(
        self, vendored: Path, spm_base: Checkpoint, spm_rows: Dataset, tmp_path: Path
    ) -> None:
        shutil.copytree(spm_rows.folder, tmp_path / "data")
        data = spm_rows.model_copy(update={"folder": tmp_path / "data"})
        before = collected(spm_base, data, tmp_path / "one")
        (data.folder / "heldout.jsonl").unlink()
        assert collected(spm_base, data, tmp_path / "two") == before
        write_rows(data.folder / "train.jsonl", tiny_rows()[:3])
        assert collected(spm_base, data, tmp_path / "three") != before

    def test_they_are_rendered_as_in_training_and_bounded(
        self, spm_rows: Dataset, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rows = {masking.encode(load_template(spm_rows.folder), load_tokenizer(spm_rows.folder),
                            spm_rows.end_of_turn, row["messages"]).ids for row in tiny_rows()[4:]}  # fmt: skip
        monkeypatch.setattr(importance, "TOKENS", 10**6)
        assert {s.ids for s in importance.training_samples(spm_rows)} == rows
        monkeypatch.setattr(importance, "TOKENS", 200)
        monkeypatch.setattr(importance, "LONGEST", 30)
        some = [s.ids for s in importance.training_samples(spm_rows)]
        assert sum(map(len, some)) <= 200
        assert max(map(len, some)) == 30
        assert {ids[:10] for ids in some} <= {ids[:10] for ids in rows}


class TestNames:
    @pytest.mark.parametrize(
        ("architecture", "layer", "name"),
        [
            ("LlamaForCausalLM", "model.layers.3.self_attn.o_proj", "blk.3.attn_output.weight"),
            ("Qwen2ForCausalLM", "model.layers.0.mlp.down_proj", "blk.0.ffn_down.weight"),
            ("Phi3ForCausalLM", "model.layers.3.self_attn.qkv_proj", "blk.3.attn_qkv.weight"),
            ("Phi3ForCausalLM", "model.layers.2.mlp.gate_up_proj", "blk.2.ffn_up.weight"),
        ],
    )
    def test_they_are_the_converter_s(self, vendored: Path, architecture: str, layer: str, name: str) -> None:
        assert tensor_names(architecture, [layer, "model.layers.0.odd"], 4) == {layer: name}

    def test_an_unknown_architecture_has_none(self, vendored: Path) -> None:
        assert tensor_names("NoSuchForCausalLM", ["model.layers.0.mlp.down_proj"], 1) == {}

    def test_nearly_every_architecture_is_found(self, vendored: Path) -> None:
        unknown = [a for a in known_architectures() if not imatrix._gguf_architecture(a)]
        assert len(unknown) < 0.1 * len(known_architectures()), unknown


class TestQuantizing:
    def made(self, config: Quantizing, merged: Merged, f16: Ggufs, out: Path) -> Ggufs:
        return quantize(config, merged, f16, fresh(out))

    def test_it_changes_the_bytes_of_what_it_weighs_and_nothing_else(
        self, weighed: Merged, spm_f16: Ggufs, tmp_path: Path
    ) -> None:
        kinds = ("Q4_K_M", "Q8_0")
        with_it = self.made(Quantizing(types=kinds), weighed, spm_f16, tmp_path / "with")
        without = self.made(Quantizing(types=kinds, imatrix=False), weighed, spm_f16, tmp_path / "without")
        again = self.made(Quantizing(types=kinds), weighed, spm_f16, tmp_path / "again")
        hashes = [[f.sha256 for f in made.files] for made in (with_it, without, again)]
        assert hashes[0] == hashes[2]
        assert hashes[0][0] != hashes[1][0]
        assert hashes[0][1] == hashes[1][1]
        assert with_it.files[0].tensor_types == without.files[0].tensor_types

    def test_types_that_cannot_do_without(self, weighed: Merged, spm_f16: Ggufs, tmp_path: Path) -> None:
        config = Quantizing(types=("IQ2_XXS",))  # of those, the quickest: the tests of every type are slow
        made = self.made(config, weighed, spm_f16, tmp_path / "with")
        assert [f.file_type for f in made.files] == ["IQ2_XXS"]
        assert all(f.divergence for f in made.files)
        config = config.model_copy(update={"imatrix": False})
        with pytest.raises(InputError, match="IQ2_XXS needs an importance matrix") as caught:
            self.made(config, weighed, spm_f16, tmp_path / "without")
        assert "quantize.imatrix: true" in caught.value.fix

    def test_weighed_columns_keep_more(self, spm_f16: Ggufs, tmp_path: Path) -> None:
        """One column that matters a thousand times as much as the others is stored more exactly."""
        from gguf import GGUFReader, dequantize

        source = spm_f16.folder / "model-F16.gguf"
        name = "blk.0.ffn_up.weight"
        columns = np.ones(tensor_shapes(source)[name][0], np.float32)
        columns[7] = 1000

        def errors(out: str, **options: Any) -> np.ndarray[Any, Any]:
            quantize_files(source, {"Q4_K_S": tmp_path / out}, 1, **options)
            files = [GGUFReader(path) for path in (tmp_path / out, source)]
            found = [dequantize(t.data, t.tensor_type) for file in files for t in file.tensors if t.name == name]
            return np.square(found[0] - found[1].astype(np.float32)).mean(axis=0)

        flat = errors("flat", importance={name: np.ones_like(columns)})
        assert errors("one", importance={name: columns})[7] < 0.5 * flat[7]

    def test_a_tensor_without_importance_is_named(self, weighed: Merged, spm_f16: Ggufs, tmp_path: Path) -> None:
        folder = fresh(tmp_path / "merged")
        noted = read_imatrix(weighed.folder / IMATRIX)
        noted.pop("blk.1.attn_k.weight")
        write_imatrix(folder / IMATRIX, noted, 1, "rows")
        events: list[progress.Event] = []
        with progress.route(events.append):
            partly = weighed.model_copy(update={"folder": folder})
            self.made(Quantizing(types=("Q4_K_M",)), partly, spm_f16, tmp_path / "out")
        assert any("1 of 14 matrices have no importance, blk.1.attn_k.weight" in e.get("note", "") for e in events)
