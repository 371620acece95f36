"""The streamed reference gives what transformers and peft give, and the merge stage decides by it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from packager.artifacts.files import fresh
from packager.artifacts.kinds import Adapter, Checkpoint, Dataset
from packager.checkpoint import matrices, nf4, reference
from packager.checkpoint.merge import merge_adapter
from packager.errors import ProofFailed
from packager.process import child
from packager.prompt.corpus import answer_samples, corpus_samples
from packager.prompt.masking import Encoded
from packager.prompt.template import load_tokenizer
from packager.stages.merge import merge

SAMPLES = (Encoded.predicting(tuple(range(3, 40)), (0, 5, 35)), Encoded.predicting((7, 8, 9), (1,)))


def adapter_at(base: Checkpoint, folder: Path, **settings: Any) -> Adapter:
    """An adapter as peft saves it, with random numbers in B (as if trained)."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base.folder, dtype=torch.float32)
    config = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM", **settings)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        tuned = get_peft_model(model, config)
        for name, parameter in tuned.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.05)
    tuned.save_pretrained(folder)
    return Adapter.model_construct(
        folder=folder, method="qlora", on_nf4=True, heldout_loss_before=4.0, heldout_loss_after=3.0, as_trained=None
    )


def expected(model: Any) -> np.ndarray[Any, Any]:
    rows = []
    with torch.no_grad():
        for sample in SAMPLES:
            logits = model(input_ids=torch.tensor([sample.ids])).logits[0, list(sample.at)]
            rows.append(torch.log_softmax(logits.float(), -1))
    return torch.cat(rows).numpy()


def predicted(folder: Path, adapter: Path | None = None, **options: Any) -> tuple[np.ndarray[Any, Any], list[int]]:
    with reference.opened(folder, adapter, **options) as opened:
        chunks = list(opened.predictions(SAMPLES))
    return np.concatenate([log_p for log_p, _ in chunks]), [t for _, targets in chunks for t in targets]


def test_a_checkpoint_predicts_as_transformers_does(tiny_base: Checkpoint) -> None:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_base.folder, dtype=torch.float32)
    found, targets = predicted(tiny_base.folder)
    assert np.abs(found - expected(model)).max() < 1e-5
    assert targets == [4, 9, 39, 9]


@pytest.mark.parametrize("settings", [{}, {"use_rslora": True}, {"use_dora": True}], ids=["lora", "rslora", "dora"])
def test_an_adapter_predicts_as_peft_does(tiny_base: Checkpoint, tmp_path: Path, settings: dict[str, bool]) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    adapter = adapter_at(tiny_base, tmp_path, **settings)
    model = AutoModelForCausalLM.from_pretrained(tiny_base.folder, dtype=torch.float32)
    wanted = expected(PeftModel.from_pretrained(model, tmp_path))
    found, _ = predicted(tiny_base.folder, adapter.folder)
    assert np.abs(found - wanted).max() < 1e-5
    assert np.abs(found - predicted(tiny_base.folder)[0]).max() > 1e-2


def test_small_blocks_and_batches_change_nothing(tiny_base: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted, _ = predicted(tiny_base.folder)
    monkeypatch.setattr(matrices, "BLOCK_ELEMENTS", 640)
    monkeypatch.setattr(reference, "BATCH_TOKENS", 1)
    monkeypatch.setattr(reference, "LOGIT_BYTES", 1)
    assert np.abs(predicted(tiny_base.folder)[0] - wanted).max() < 1e-5


def test_rounded_as_bitsandbytes_rounds(tiny_base: Checkpoint) -> None:
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32,
    )
    model = AutoModelForCausalLM.from_pretrained(tiny_base.folder, quantization_config=config, dtype=torch.float32)
    model.train()  # outside training, bitsandbytes multiplies in bf16 on a CPU that can, whatever the compute dtype
    assert np.abs(predicted(tiny_base.folder, nf4=True)[0] - expected(model)).max() < 1e-4


def test_a_weight_that_is_not_there_is_named(tiny_base: Checkpoint, tmp_path: Path) -> None:
    shutil.copytree(tiny_base.folder, tmp_path / "base")
    config = json.loads((tmp_path / "base" / "config.json").read_text())
    (tmp_path / "base" / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": False}))
    with pytest.raises(ProofFailed, match=r"merge\.logits: the checkpoint has no lm_head\.weight"):
        predicted(tmp_path / "base")


@pytest.mark.slow
def test_memory_does_not_grow_with_the_model(tmp_path: Path) -> None:
    """A model of 400 MB in fp16 is asked within less than that above an empty process's memory."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=64, hidden_size=1024, intermediate_size=8192, num_hidden_layers=7, num_attention_heads=8,
        num_key_value_heads=8, tie_word_embeddings=True,
    )  # fmt: skip
    LlamaForCausalLM(config).to(torch.float16).save_pretrained(tmp_path)
    size = (tmp_path / "model.safetensors").stat().st_size
    assert size > 400e6
    least = child.call(_import_only).peak_ram
    assert child.call(_ask, tmp_path).peak_ram - least < 0.5 * size


def _import_only() -> None:
    import accelerate  # noqa: F401
    from transformers import LlamaForCausalLM  # noqa: F401


def _ask(folder: Path) -> float:
    with reference.opened(folder) as opened:
        return float(opened.losses(SAMPLES).mean())


class TestMergeStage:
    @pytest.fixture
    def adapter(self, tiny_base: Checkpoint, tmp_path: Path) -> Adapter:
        return adapter_at(tiny_base, tmp_path / "adapter")

    def test_predicts_as_base_and_adapter(
        self, tiny_base: Checkpoint, tiny_data: Dataset, adapter: Adapter, tmp_path: Path
    ) -> None:
        made = merge(None, tiny_base, tiny_data, adapter, fresh(tmp_path / "out"))
        assert made.divergence is not None
        assert made.divergence.kl_mean < 1e-5
        assert made.divergence.positions > 200
        assert (tmp_path / "out" / "reference.npz").is_file()

    def test_both_bases_are_measured_and_one_is_taken(
        self, tiny_base: Checkpoint, tiny_data: Dataset, adapter: Adapter, tmp_path: Path
    ) -> None:
        made = merge(None, tiny_base, tiny_data, adapter, fresh(tmp_path / "out"))
        samples = answer_samples(tiny_data.folder / "heldout.jsonl", tiny_data.end_of_turn, 10**6)
        losses = []
        for is_rounded in (False, True):
            with reference.opened(tiny_base.folder, adapter.folder, nf4=is_rounded) as opened:
                losses.append(opened.losses(samples))
        assert made.heldout_loss_16bit == pytest.approx(losses[0].mean())
        assert made.heldout_loss_nf4 == pytest.approx(losses[1].mean())
        assert made.rounded_to_nf4 == (losses[1].mean() < losses[0].mean())

    def test_a_base_rounded_to_nf4(
        self, tiny_base: Checkpoint, tiny_data: Dataset, adapter: Adapter, tmp_path: Path
    ) -> None:
        merge_adapter(tiny_base, tiny_data, adapter, fresh(tmp_path / "out"), nf4=True)
        merged = load_file(tmp_path / "out" / "model.safetensors")
        name = "model.layers.0.mlp.up_proj.weight"
        base = load_file(tiny_base.folder / "model.safetensors")[name].float()
        pair = load_file(adapter.folder / "adapter_model.safetensors")
        a, b = (pair[f"base_model.model.{name.removesuffix('.weight')}.lora_{side}.weight"] for side in "AB")
        wanted = nf4.round_trip(base) + 2 * b @ a
        assert (merged[name].float() - wanted).abs().max() < 1e-3
        assert (merged[name].float() - base - 2 * b @ a).abs().max() > 1e-3
        kept, _ = predicted(tiny_base.folder, adapter.folder, nf4=True)
        assert np.abs(predicted(tmp_path / "out")[0] - kept).max() < 1e-2

    def test_an_adapter_for_the_16_bit_base_stays_on_it(
        self, tiny_base: Checkpoint, tiny_data: Dataset, adapter: Adapter, tmp_path: Path
    ) -> None:
        clean = adapter.model_copy(update={"on_nf4": False})
        made = merge(None, tiny_base, tiny_data, clean, fresh(tmp_path / "out"))
        assert (made.rounded_to_nf4, made.heldout_loss_nf4) == (False, None)


@pytest.fixture
def corpus_of(tmp_path: Path, tiny_data: Dataset) -> Callable[..., list[Encoded]]:
    return lambda positions: corpus_samples(tiny_data.folder, positions)


def test_corpus_samples_spread_over_all_shapes(corpus_of: Callable[..., list[Encoded]]) -> None:
    few, many = corpus_of(100), corpus_of(400)
    assert [s.ids for s in few] == [s.ids for s in many]
    assert 90 <= sum(len(s.at) for s in few) <= 130
    assert all(s.at[-1] <= len(s.ids) - 2 for s in many)


def test_answer_samples_score_answers_only(tiny_data: Dataset) -> None:
    path = tiny_data.folder / "heldout.jsonl"
    rows = answer_samples(path, tiny_data.end_of_turn, 10**6)
    assert len(rows) == tiny_data.heldout_rows
    tokenizer = load_tokenizer(tiny_data.folder)
    answers = {json.loads(line)["messages"][-1]["content"] for line in path.read_text().splitlines()}
    said = {tokenizer.decode([r.ids[i + 1] for i in r.at], skip_special_tokens=True) for r in rows}
    assert said == answers
    assert len(answer_samples(path, tiny_data.end_of_turn, 1)) == 1


def test_a_model_with_unknown_weights_is_held_in_memory(tiny_base: Checkpoint, tmp_path: Path) -> None:
    """GPT-2 keeps its matrices in Conv1D layers and learned positions: none of ours to stream."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=64, n_embd=16, n_layer=1, n_head=2, n_positions=64)).eval()
    model.save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    if not any(name.startswith("transformer.") for name in tensors):
        save_file({f"transformer.{n}": t for n, t in tensors.items()}, tmp_path / "model.safetensors")
    assert np.abs(predicted(tmp_path)[0] - expected(model)).max() < 1e-5
