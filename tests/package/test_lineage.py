"""The F16 file says what it was made from, and is what the converter makes of peft's own merge."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from packager.artifacts.files import fresh
from packager.artifacts.kinds import Adapter, Checkpoint, Dataset, Merged, Prompt
from packager.llamacpp.converter import run_converter
from packager.llamacpp.quantizer import quantize_files
from packager.package.gguf_metadata import described, lineage
from packager.stages.convert import Lineage, convert
from packager.stages.merge import merge

NAMED = ("clinica", "pt-BR")
"""The recipe's name and language."""


@pytest.fixture(scope="module")
def known_data(spm_data: Dataset) -> Dataset:
    return spm_data.model_copy(update={"train_rows": 20, "data_sha256": "ab" * 32})


@pytest.fixture(scope="module")
def spm_adapter(tmp_path_factory: pytest.TempPathFactory, spm_base: Checkpoint) -> Adapter:
    """LoRA over all linear layers of `spm_base`, with random numbers in B."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    folder = tmp_path_factory.mktemp("spm_adapter")
    model = AutoModelForCausalLM.from_pretrained(spm_base.folder, dtype=torch.float32)
    tuned = get_peft_model(model, LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM"))
    with torch.random.fork_rng():
        torch.manual_seed(2)
        for name, parameter in tuned.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.01)
    tuned.save_pretrained(folder)
    return Adapter.model_construct(
        folder=folder, method="lora", on_nf4=False, heldout_loss_before=4.0, heldout_loss_after=3.0, as_trained=None
    )


class TestLineage:
    def test_what_is_said(self, spm_merged: Merged, known_data: Dataset) -> None:
        tuned = spm_merged.model_copy(update={"pairs_total": 14, "licence": "apache-2.0"})
        assert lineage(*NAMED, tuned, known_data) == {
            "general.finetune": "clinica",
            "general.languages": ["pt"],
            "general.license.name": "Apache License 2.0",
            "general.license.link": "https://www.apache.org/licenses/LICENSE-2.0",
            "general.datasets": [{"name": "20 training rows", "version": f"sha256:{'ab' * 32}"}],
        }

    def test_what_is_not_known_is_not_said(self, spm_merged: Merged, known_data: Dataset) -> None:
        said = lineage(*NAMED, spm_merged.model_copy(update={"licence": ""}), known_data)
        assert [said[f"general.{key}"] for key in ("license.name", "license.link", "datasets")] == [None] * 3
        own = lineage(*NAMED, spm_merged.model_copy(update={"licence": "own-terms"}), known_data)
        assert own["general.license.name"] == "own-terms"

    def test_it_is_in_the_file_and_in_what_is_quantized_from_it(
        self, vendored: Path, spm_merged: Merged, known_data: Dataset, spm_prompt: Prompt, tmp_path: Path
    ) -> None:
        from gguf import GGUFReader

        tuned = spm_merged.model_copy(update={"pairs_total": 14, "licence": "mit"})
        convert(Lineage(recipe="clinica", language="pt-BR"), tuned, known_data, spm_prompt, fresh(tmp_path / "f16"))
        quantize_files(tmp_path / "f16" / "model-F16.gguf", {"Q8_0": tmp_path / "q8"}, 1)
        fields = GGUFReader(tmp_path / "q8").fields
        said = {name: field.contents() for name, field in fields.items() if name.startswith("general.")}
        assert said["general.name"] == "tiny-spm (fine-tuned)"
        assert said["general.base_model.0.repo_url"] == "https://huggingface.co/example/tiny-spm"
        assert said["general.base_model.0.version"] == "abc123"
        assert said["general.dataset.0.version"] == f"sha256:{'ab' * 32}"
        assert said["general.languages"] == ["pt"]
        assert said["general.finetune"] == "clinica"
        assert said["general.license.name"] == "MIT License"


def of_file(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
    """All metadata, and all tensors as they lie in the file."""
    from gguf import GGUFReader

    reader = GGUFReader(path)
    return {n: f.contents() for n, f in reader.fields.items()}, {t.name: np.array(t.data) for t in reader.tensors}


def test_the_file_is_that_of_peft_s_merge_up_to_rounding(
    vendored: Path, spm_base: Checkpoint, spm_data: Dataset, spm_adapter: Adapter, tmp_path: Path
) -> None:
    """Metadata and every tensor that is not adapted are equal bit by bit; adapted ones to one FP16 rounding."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from packager.artifacts.files import write_json

    merged = merge(None, spm_base, spm_data, spm_adapter, fresh(tmp_path / "ours"))
    base = AutoModelForCausalLM.from_pretrained(spm_base.folder, dtype=torch.float32)
    peft = PeftModel.from_pretrained(base, spm_adapter.folder).merge_and_unload()
    peft.to(torch.float16).save_pretrained(tmp_path / "peft")
    for name in ("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(tmp_path / "ours" / name, tmp_path / "peft" / name)
    write_json(tmp_path / "said.json", described(merged))
    for side in ("ours", "peft"):
        run_converter(tmp_path / side, tmp_path / f"{side}.gguf", tmp_path / "said.json")
    (said, ours), (said_by_peft, theirs) = (of_file(tmp_path / f"{side}.gguf") for side in ("ours", "peft"))
    assert said == said_by_peft
    assert ours.keys() == theirs.keys()
    adapted = {name for name in ours if name.startswith("blk.") and "norm" not in name}
    assert len(adapted) == merged.pairs_total == 14
    for name, tensor in ours.items():
        if name in adapted:
            step = np.spacing(np.maximum(np.abs(tensor), np.abs(theirs[name])))
            assert (np.abs(tensor.astype(np.float32) - theirs[name].astype(np.float32)) <= step).all()
            assert (tensor != theirs[name]).mean() < 0.01
        else:
            assert np.array_equal(tensor, theirs[name])
