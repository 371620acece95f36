"""Every type of the recipe is made, in order, and keeps what it must."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from packager.artifacts.files import sha256_of
from packager.artifacts.key import depends, stage_key
from packager.artifacts.kinds import Dataset, Divergence, Ggufs, Merged
from packager.errors import InputError, ProofFailed
from packager.evaluation.answers import likelihood
from packager.llamacpp import gguf_file
from packager.llamacpp.gguf_file import quantization_types, tensor_shapes, types_of_tensors
from packager.llamacpp.model import GgufModel
from packager.llamacpp.quantizer import planned_types, quantize_files
from packager.pipeline.line import LINE
from packager.process import progress
from packager.prompt.corpus import LEAST_TOKENS, answer_samples, compared_samples
from packager.proof.divergence import ANSWERS
from packager.proof.limits import Limits
from packager.proof.quantized import compared, compared_on, differences, kv_checks, unplanned
from packager.recipe import loading
from packager.stages.quantize import Quantizing, quantize


def test_every_type_in_order(spm_f16: Ggufs, spm_merged: Merged, tmp_path: Path) -> None:
    events: list[progress.Event] = []
    with progress.route(events.append):
        made = quantize(Quantizing(types=("Q4_K_M", "F16", "Q8_0", "BF16")), spm_merged, spm_f16, tmp_path)
    assert [f.type for f in made.files] == ["Q4_K_M", "F16", "Q8_0", "BF16"]
    assert [f.name for f in made.files] == [f"model-{f.type}.gguf" for f in made.files]
    for file in made.files:
        path = tmp_path / file.name
        assert (file.size, file.sha256) == (path.stat().st_size, sha256_of(path))
    by_type = {f.type: f for f in made.files}
    assert by_type["Q4_K_M"].tensor_types == {"F32": 5, "Q4_K": 12, "Q6_K": 3}
    assert by_type["Q8_0"].tensor_types == {"F32": 5, "Q8_0": 15}
    assert by_type["BF16"].tensor_types == {"F32": 5, "BF16": 15}
    assert [by_type[t].file_type for t in ("Q4_K_M", "Q8_0", "F16")] == ["Q4_K_M", "Q8_0", "F16"]
    assert {f.fallback_share for f in made.files} == {0.0}
    bits = [by_type[t].bits_per_weight for t in ("Q4_K_M", "Q8_0", "F16")]
    assert bits == sorted(bits)
    assert 4.5 < bits[0] < 6 < bits[1] < 9
    assert {"done": 60, "total": 60, "unit": "tensors", "figures": {}} in events
    assert any("bits/weight" in e.get("note", "") for e in events)


def test_divergence_grows_as_bits_fall(spm_f16: Ggufs, spm_merged: Merged, tmp_path: Path) -> None:
    made = quantize(Quantizing(types=("F16", "Q8_0", "Q4_K_M", "Q2_K")), spm_merged, spm_f16, tmp_path)
    found = [file.divergence for file in made.files]
    assert all(found)
    kl = [d.kl_mean for d in found if d]
    assert abs(kl[0]) < 1e-5  # what is compared with is kept in FP16
    assert kl == sorted(kl)
    assert kl[1] > 1e-7
    assert found[0] is not None
    assert found[0].perplexity_ratio == pytest.approx(1.0, abs=1e-3)
    assert found[0].same_top > 0.98


def test_a_file_that_kills_its_reader_is_named(spm_f16: Ggufs, spm_merged: Merged, tmp_path: Path) -> None:
    """NaN where the norm's epsilon stands: llama.cpp aborts the process."""
    made = quantize(Quantizing(types=("Q8_0",)), spm_merged, spm_f16, tmp_path)
    path = tmp_path / made.files[0].name
    raw = path.read_bytes()
    at = raw.index(b"attention.layer_norm_rms_epsilon") + len(b"attention.layer_norm_rms_epsilon") + 4
    path.write_bytes(raw[:at] + b"\x00\x00\xc0\x7f" + raw[at + 4 :])
    (file,) = compared(made.files, spm_merged.folder / ANSWERS, tmp_path, 0)
    assert file.divergence is None
    assert "SIGABRT" in file.fault


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def test_what_keys_and_values_in_q8_0_cost_is_measured_alone(
    spm_f16: Ggufs, spm_merged: Merged, tmp_path: Path
) -> None:
    """Against the same file with keys and values in f16; nothing is measured where that is what is served."""
    asked = Quantizing(types=("F16",))
    (plain,) = quantize(asked, spm_merged, spm_f16, _folder(tmp_path / "f16")).files
    assert plain.kv_divergence is None
    assert kv_checks(plain, "f16", Limits(0.01, 0.9, 1.01)) == []
    asked = asked.model_copy(update={"kv": "q8_0"})
    (file,) = quantize(asked, spm_merged, spm_f16, _folder(tmp_path / "q8_0")).files
    assert file.divergence
    assert file.kv_divergence
    assert plain.divergence
    assert plain.divergence.kl_mean < 1e-5  # the F16 file against its checkpoint
    assert 0 < file.kv_divergence.kl_mean < 0.01
    (right,) = kv_checks(file, "q8_0", Limits(0.01, 0.9, 1.01))
    assert (right.id, right.passed, right.subject) == ("quantize.kv", True, "F16")
    (wrong,) = kv_checks(file, "q8_0", Limits(file.kv_divergence.kl_mean / 2, 0.9, 1.01))
    assert wrong.failed


def test_f16_is_the_same_file(spm_f16: Ggufs, spm_merged: Merged, tmp_path: Path) -> None:
    made = quantize(Quantizing(types=("F16",)), spm_merged, spm_f16, tmp_path)
    assert made.files[0].sha256 == spm_f16.files[0].sha256
    assert (tmp_path / "model-F16.gguf").samefile(spm_f16.folder / "model-F16.gguf")


def test_the_template_and_the_tokens_are_kept(spm_f16: Ggufs, spm_merged: Merged, tmp_path: Path) -> None:
    quantize(Quantizing(types=("Q8_0",)), spm_merged, spm_f16, tmp_path)
    source = spm_f16.folder / "model-F16.gguf"
    before, after = gguf_file.inspect(source), gguf_file.inspect(tmp_path / "model-Q8_0.gguf")
    assert after.chat_template == before.chat_template
    assert after.metadata["general.name"] == "tiny-spm"
    text = "<|im_start|>user\no vínculo<|im_end|>"
    with (
        GgufModel.open(source, context=256) as one,
        GgufModel.open(tmp_path / "model-Q8_0.gguf", context=256) as other,
    ):
        ids = one.tokenize(text)
        assert other.tokenize(text) == ids
        losses = [likelihood(model, ids, [True] * len(ids))["nll"] / (len(ids) - 1) for model in (one, other)]
    assert losses[0] == pytest.approx(losses[1], rel=0.01)
    assert losses[0] != losses[1]


def test_an_unknown_type(spm_f16: Ggufs, spm_merged: Merged, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no quantization called Q4_KM"):
        quantize(Quantizing(types=("Q4_KM",)), spm_merged, spm_f16, tmp_path)


def test_differences_are_named(spm_f16: Ggufs) -> None:
    info = gguf_file.inspect(spm_f16.folder / "model-F16.gguf")
    assert differences(info, info) == []
    assert differences(replace(info, n_tensors=1, chat_template=""), info) == ["n_tensors", "chat_template"]


def test_a_source_that_is_not_whole(spm_f16: Ggufs, spm_merged: Merged, tmp_path: Path) -> None:
    cut = spm_f16.model_copy(update={"folder": tmp_path})
    (tmp_path / "model-F16.gguf").write_bytes((spm_f16.folder / "model-F16.gguf").read_bytes()[:100_000])
    with pytest.raises(ProofFailed, match="not whole"):
        quantize(Quantizing(types=("Q8_0",)), spm_merged, cut, tmp_path)


class TestTensors:
    def test_a_pattern_gives_tensors_a_type_of_their_own(
        self, spm_f16: Ggufs, spm_merged: Merged, tmp_path: Path
    ) -> None:
        config = Quantizing(types=("Q4_K_M",), tensors={r"blk\.0\.ffn_down": "Q8_0", "ffn_down|attn_v": "F16"})
        made = quantize(config, spm_merged, spm_f16, tmp_path)
        assert made.files[0].tensor_types == {"F32": 5, "Q4_K": 10, "Q6_K": 1, "Q8_0": 1, "F16": 3}
        assert made.files[0].file_type == "Q4_K_M"
        assert made.files[0].unplanned == ()

    def test_one_of_another_type_than_llama_cpp_chooses_is_named(self, spm_f16: Ggufs, tmp_path: Path) -> None:
        """The header says Q4_K_M all the same."""
        source, path = spm_f16.folder / "model-F16.gguf", tmp_path / "odd.gguf"
        planned = planned_types(source, "Q4_K_M")
        quantize_files(source, {"Q4_K_M": path}, 1, overrides={r"blk\.1\.ffn_up": "Q2_K"})
        assert gguf_file.inspect(path).file_type == "Q4_K_M"
        assert unplanned(planned, types_of_tensors(path)) == ("blk.1.ffn_up.weight is Q2_K, not Q4_K",)

    def test_a_plan_writes_nothing(self, spm_f16: Ggufs) -> None:
        source = spm_f16.folder / "model-F16.gguf"
        before = sha256_of(source)
        found = planned_types(source, "Q8_0")
        assert found.keys() == tensor_shapes(source).keys()
        assert sha256_of(source) == before
        assert [p.name for p in spm_f16.folder.iterdir()] == [source.name]

    def test_a_pattern_that_finds_nothing(self, spm_f16: Ggufs, spm_merged: Merged, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="'ffn_dwn' finds no tensor") as caught:
            quantize(Quantizing(tensors={"ffn_dwn": "Q8_0"}), spm_merged, spm_f16, tmp_path)
        with pytest.raises(InputError, match="finds no tensor"):
            quantize(Quantizing(tensors={"attn_norm": "Q8_0"}), spm_merged, spm_f16, tmp_path)
        assert "blk.0." in caught.value.fix
        assert not list(tmp_path.iterdir())

    def test_a_pattern_that_is_none(self) -> None:
        with pytest.raises(ValueError, match="not a regular expression"):
            Quantizing(tensors={"ffn_(": "Q8_0"})


@pytest.mark.slow
def test_every_type_that_llama_cpp_names(spm_f16: Ggufs, vendored: Path, tmp_path: Path) -> None:
    import numpy as np

    source = spm_f16.folder / "model-F16.gguf"
    shapes = tensor_shapes(source)
    columns = {n: np.ones(s[0], np.float32) for n, s in shapes.items() if n.startswith("blk.") and len(s) > 1}
    for name in quantization_types():
        quantize_files(source, {name: tmp_path / name}, 1, importance=columns)
        assert differences(gguf_file.inspect(tmp_path / name), gguf_file.inspect(source)) == []


def test_what_is_of_the_corpus_is_not_called_held_out(tiny_data: Dataset, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    shutil.copytree(tiny_data.folder, folder)
    rows = (folder / "heldout.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / "few.jsonl").write_text(rows[0], encoding="utf-8")
    (folder / "many.jsonl").write_text("".join(rows * (LEAST_TOKENS // len(rows) + 1)), encoding="utf-8")
    samples, of_corpus = compared_samples(folder, "few.jsonl", tiny_data.end_of_turn)
    answered = len(answer_samples(folder / "few.jsonl", tiny_data.end_of_turn, 1)[0].at)
    assert sum(len(s.at) for s in samples) == of_corpus + answered
    assert 0 < answered < LEAST_TOKENS
    assert compared_samples(folder, "many.jsonl", tiny_data.end_of_turn)[1] == 0
    near = Divergence(positions=of_corpus + answered, of_corpus=of_corpus, kl_mean=0.05, kl_median=0.03, kl_99=0.4,
                      same_top=0.85, loss=3.0, perplexity_ratio=1.05, perplexity_ratio_error=0.01)  # fmt: skip
    assert compared_on(near) == f"{near.positions} tokens, {answered} of them held-out, the others of the corpus"
    assert compared_on(near.model_copy(update={"of_corpus": 0})) == f"{near.positions} held-out tokens"


def test_the_order_of_the_patterns_is_in_the_key() -> None:
    """The first that finds a tensor holds."""
    stage = next(stage for stage in LINE if stage.name == "gguf")
    patterns = ("blk.0.ffn: Q4_0", "ffn_down: Q5_0")
    sections = [
        stage.section(loading.load("smollm2_aps", [f"quantize.tensors={{{', '.join(order)}}}"]))
        for order in (patterns, patterns[::-1], patterns)
    ]
    keys = [stage_key("gguf", depends(stage, section, [], [])) for section in sections]
    assert keys[0] == keys[2] != keys[1]
