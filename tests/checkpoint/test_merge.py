"""The streaming merge equals peft's, measures what it did, and refuses what it cannot do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from packager.artifacts.files import fresh
from packager.artifacts.kinds import Adapter, Checkpoint, Dataset
from packager.checkpoint import lora, reference, weights
from packager.checkpoint.merge import merge_adapter
from packager.errors import InputError, ProofFailed
from packager.llamacpp import half_precision
from packager.process import child, progress
from packager.prompt.masking import Encoded

Tensors = dict[str, torch.Tensor]


def adapter_at(folder: Path) -> Adapter:
    return Adapter.model_construct(folder=folder, method="qlora", as_trained=None)


def train_like(base: Checkpoint, folder: Path, **settings: Any) -> Adapter:
    """An adapter as peft saves it, with random numbers in B (as if trained)."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base.folder, dtype=torch.float32)
    config = {"r": 8, "lora_alpha": 32, "target_modules": "all-linear", "task_type": "CAUSAL_LM"} | settings
    with torch.random.fork_rng():
        torch.manual_seed(1)
        tuned = get_peft_model(model, LoraConfig(**config))
        for name, parameter in tuned.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.02)
            elif "magnitude" in name or "modules_to_save" in name:
                parameter.data.mul_(1.1)
    tuned.save_pretrained(folder)
    return adapter_at(folder)


def merged_by_peft(base: Checkpoint, adapter: Adapter) -> Any:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base.folder, dtype=torch.float32)
    return PeftModel.from_pretrained(model, adapter.folder).merge_and_unload()


def assert_same_in_fp16(found: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor]) -> None:
    """Equal but for one unit in the last place of FP16 (the order of sums may differ)."""
    for name, tensor in found.items():
        assert tensor.dtype == torch.float16
        reference = wanted[name].to(torch.float32)
        ulp = torch.clamp(reference.abs() * 2**-10, min=2**-24)
        assert ((tensor.float() - reference).abs() <= ulp).all(), name


@pytest.fixture(scope="module")
def adapter(tiny_base: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Adapter:
    return train_like(tiny_base, tmp_path_factory.mktemp("adapter"))


def copied(base: Checkpoint, folder: Path) -> Checkpoint:
    """A base of its own, to be altered."""
    shutil.copytree(base.folder, folder)
    return base.model_copy(update={"folder": folder})


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


class TestPlainLora:
    def test_equals_peft(self, tiny_base: Checkpoint, tiny_data: Dataset, adapter: Adapter, tmp_path: Path) -> None:
        merged = merge_adapter(tiny_base, tiny_data, adapter, tmp_path)
        found = load_file(tmp_path / "model.safetensors")
        assert_same_in_fp16(found, merged_by_peft(tiny_base, adapter).state_dict())
        assert list(found) == list(load_file(tiny_base.folder / "model.safetensors"))
        assert (merged.pairs_used, merged.pairs_total) == (14, 14)
        assert (merged.source, merged.revision, merged.licence) == ("hf:example/tiny-llama", "0", "apache-2.0")

    def test_rank_stabilized_scale(self, tiny_base: Checkpoint, tiny_data: Dataset, tmp_path: Path) -> None:
        stabilized = train_like(tiny_base, tmp_path / "adapter", use_rslora=True)
        plain = merge_adapter(tiny_base, tiny_data, stabilized, fresh(tmp_path / "out"))
        found = load_file(tmp_path / "out" / "model.safetensors")
        assert_same_in_fp16(found, merged_by_peft(tiny_base, stabilized).state_dict())
        assert plain.delta_norm == pytest.approx(plain.delta_norm_expected, rel=1e-2)

    def test_the_change_is_measured(
        self, tiny_base: Checkpoint, tiny_data: Dataset, adapter: Adapter, tmp_path: Path
    ) -> None:
        merged = merge_adapter(tiny_base, tiny_data, adapter, tmp_path)
        after, before = (load_file(f / "model.safetensors") for f in (tmp_path, tiny_base.folder))
        square = sum(float(((after[n].double() - before[n].double()) ** 2).sum()) for n in before)
        assert merged.delta_norm == pytest.approx(square**0.5, rel=1e-4)
        raw = load_file(adapter.folder / "adapter_model.safetensors")
        deltas = [4 * raw[n.replace("lora_A", "lora_B")].double() @ raw[n].double() for n in raw if "lora_A" in n]
        assert merged.delta_norm_expected == pytest.approx(sum(float((d**2).sum()) for d in deltas) ** 0.5, rel=1e-9)
        assert merged.delta_norm == pytest.approx(merged.delta_norm_expected, rel=5e-3)
        assert merged.largest_weight == max(float(t.abs().max()) for t in after.values())

    def test_it_answers_as_base_and_adapter_do(
        self, tiny_base: Checkpoint, tiny_data: Dataset, adapter: Adapter, tmp_path: Path
    ) -> None:
        from peft import PeftModel
        from transformers import AutoModelForCausalLM

        merge_adapter(tiny_base, tiny_data, adapter, tmp_path)
        ids = torch.arange(40)[None]
        base = AutoModelForCausalLM.from_pretrained(tiny_base.folder, dtype=torch.float32)
        with torch.no_grad():
            plain = base(ids).logits
            wanted = PeftModel.from_pretrained(base, adapter.folder)(ids).logits
            model = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
            found = model(ids).logits
        assert model.lm_head.weight.data_ptr() == model.model.embed_tokens.weight.data_ptr()
        assert (found - wanted).abs().max() < 0.01 * (plain - wanted).abs().max()

    def test_torch_is_not_needed_and_memory_is_little(
        self, tiny_base: Checkpoint, tiny_data: Dataset, adapter: Adapter, tmp_path: Path
    ) -> None:
        finished = child.call(merge_adapter, tiny_base, tiny_data, adapter, tmp_path)
        assert finished.peak_ram < 150e6  # torch alone takes more
        assert finished.value.pairs_used == 14

    def test_progress(self, tiny_base: Checkpoint, tiny_data: Dataset, adapter: Adapter, tmp_path: Path) -> None:
        events: list[progress.Event] = []
        with progress.route(events.append):
            merge_adapter(tiny_base, tiny_data, adapter, tmp_path)
        assert events
        assert events[-1]["done"] == events[-1]["total"] == pytest.approx(2e-6 * tiny_base.parameters)


class TestWithoutAdapter:
    def test_the_base_bit_by_bit(self, tiny_base: Checkpoint, tiny_data: Dataset, tmp_path: Path) -> None:
        merged = merge_adapter(tiny_base, tiny_data, None, tmp_path)
        after, before = (load_file(f / "model.safetensors") for f in (tmp_path, tiny_base.folder))
        assert after.keys() == before.keys()
        assert all(torch.equal(after[n], before[n]) for n in before)
        assert (merged.pairs_total, merged.delta_norm, merged.delta_norm_expected) == (0, 0.0, 0.0)

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
    def test_other_types_become_fp16_as_torch_rounds(
        self, tiny_base: Checkpoint, tiny_data: Dataset, tmp_path: Path, dtype: torch.dtype
    ) -> None:
        base = copied(tiny_base, tmp_path / "base")
        before = {n: (t * 1.001).to(dtype) for n, t in load_file(base.folder / "model.safetensors").items()}
        before["model.layers.0.self_attn.steps"] = torch.arange(3)
        save_file(before, base.folder / "model.safetensors")
        merge_adapter(base, tiny_data, None, fresh(tmp_path / "out"))
        after = load_file(tmp_path / "out" / "model.safetensors")
        steps = before.pop("model.layers.0.self_attn.steps")
        assert torch.equal(after.pop("model.layers.0.self_attn.steps"), steps)
        assert all(torch.equal(after[n], before[n].float().to(torch.float16)) for n in before)

    def test_a_tied_head_that_was_saved_twice_is_left_out(
        self, tiny_base: Checkpoint, tiny_data: Dataset, tmp_path: Path
    ) -> None:
        base = copied(tiny_base, tmp_path / "base")
        tensors = load_file(base.folder / "model.safetensors")
        save_file(tensors | {"lm_head.weight": tensors["model.embed_tokens.weight"].clone()},
                  base.folder / "model.safetensors")  # fmt: skip
        merge_adapter(base, tiny_data, None, fresh(tmp_path / "out"))
        assert load_file(tmp_path / "out" / "model.safetensors").keys() == tensors.keys()


class TestMoreThanPairs:
    """DoRA, and an embedding and a head of its own: streamed as plain LoRA is."""

    @pytest.fixture
    def untied(self, tiny_base: Checkpoint, tmp_path: Path) -> Checkpoint:
        base = copied(tiny_base, tmp_path / "untied")
        tensors = load_file(base.folder / "model.safetensors")
        tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].flip(0).contiguous()
        save_file(tensors, base.folder / "model.safetensors", metadata={"format": "pt"})
        edit(base.folder / "config.json", tie_word_embeddings=False)
        return base

    @pytest.mark.parametrize(
        "settings",
        [
            {"use_dora": True},
            {"use_dora": True, "use_rslora": True},
            {"modules_to_save": ["lm_head", "embed_tokens"]},
        ],
        ids=["dora", "rank-stabilized dora", "modules_to_save"],
    )
    def test_equals_peft(
        self, untied: Checkpoint, tiny_data: Dataset, tmp_path: Path, settings: dict[str, Any]
    ) -> None:
        adapter = train_like(untied, tmp_path / "adapter", **settings)
        assert lora.unusual(adapter.folder, untied.folder) == ""
        merged = merge_adapter(untied, tiny_data, adapter, fresh(tmp_path / "out"))
        wanted = merged_by_peft(untied, adapter)
        assert_same_in_fp16(load_file(tmp_path / "out" / "model.safetensors"), wanted.state_dict())
        assert merged.pairs_used == merged.pairs_total == (16 if "modules_to_save" in settings else 14)
        assert merged.delta_norm == pytest.approx(merged.delta_norm_expected, rel=1e-2)
        assert merged.delta_norm > 0
        ids = torch.arange(3, 40)[None]
        with reference.opened(untied.folder, adapter.folder) as unmerged, torch.no_grad():
            sample = Encoded.predicting(tuple(ids[0].tolist()), tuple(range(36)))
            found = np.concatenate([log_p for log_p, _ in unmerged.predictions([sample])])
            logits = wanted(input_ids=ids).logits[0, :36]
        np.testing.assert_allclose(found, torch.log_softmax(logits, -1).numpy(), atol=1e-4)

    def test_a_tied_model_s_embedding_is_left_to_peft(self, tiny_base: Checkpoint, tmp_path: Path) -> None:
        adapter = train_like(tiny_base, tmp_path / "adapter", modules_to_save=["embed_tokens"])
        assert "modules_to_save" in lora.unusual(adapter.folder, tiny_base.folder)

    def test_a_magnitude_of_too_few_rows(self, untied: Checkpoint, tiny_data: Dataset, tmp_path: Path) -> None:
        adapter = train_like(untied, tmp_path / "adapter", use_dora=True)
        tensors = load_file(adapter.folder / "adapter_model.safetensors")
        name = next(n for n in tensors if "magnitude" in n)
        save_file(tensors | {name: tensors[name][:-1].clone()}, adapter.folder / "adapter_model.safetensors")
        with pytest.raises(ProofFailed, match=r"merge\.pairs"):
            merge_adapter(untied, tiny_data, adapter, fresh(tmp_path / "out"))


class TestUnusualAdapters:
    @pytest.mark.parametrize(
        "settings",
        [
            {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"v_proj": 64}},
            {"target_modules": ["q_proj"], "modules_to_save": ["down_proj"]},
            {"use_dora": True, "bias": "lora_only"},
        ],
        ids=["patterns", "modules_to_save", "bias"],
    )
    def test_peft_merges_them(
        self, tiny_base: Checkpoint, tiny_data: Dataset, tmp_path: Path, settings: dict[str, Any]
    ) -> None:
        unusual = train_like(tiny_base, tmp_path / "adapter", **settings)
        events: list[progress.Event] = []
        with progress.route(events.append):
            merged = merge_adapter(tiny_base, tiny_data, unusual, fresh(tmp_path / "out"))
        assert any("merging with peft" in e.get("note", "") and next(iter(settings)) for e in events)
        found = load_file(tmp_path / "out" / "model.safetensors")
        assert_same_in_fp16(found, merged_by_peft(tiny_base, unusual).state_dict())
        assert merged.pairs_used == merged.pairs_total > 0
        assert merged.delta_norm == pytest.approx(merged.delta_norm_expected, rel=1e-2)
        assert merged.delta_norm > 0
        assert not (tmp_path / "out" / "peft.partial").exists()

    def test_plain_lora_needs_no_peft(self, tiny_base: Checkpoint, adapter: Adapter) -> None:
        assert lora.unusual(adapter.folder, tiny_base.folder) == ""


class TestPairsMustFit:
    @pytest.fixture
    def altered(self, adapter: Adapter, tmp_path: Path) -> tuple[Tensors, Adapter]:
        """The adapter's tensors, and an adapter whose file a test writes."""
        folder = tmp_path / "altered"
        shutil.copytree(adapter.folder, folder)
        return load_file(folder / "adapter_model.safetensors"), adapter_at(folder)

    NAME = "base_model.model.model.layers.1.mlp.up_proj.lora_{}.weight"

    def refuse(self, base: Checkpoint, data: Dataset, tensors: Tensors, adapter: Adapter, out: Path, says: str) -> None:
        save_file(tensors, adapter.folder / "adapter_model.safetensors")
        with pytest.raises(ProofFailed, match=r"merge\.pairs") as caught:
            merge_adapter(base, data, adapter, fresh(out / "out"))
        assert says in caught.value.message

    def test_no_such_weight(self, tiny_base, tiny_data, altered, tmp_path) -> None:  # type: ignore[no-untyped-def]
        tensors, adapter = altered
        for side in "AB":
            tensors[self.NAME.format(side).replace("layers.1", "layers.9")] = tensors.pop(self.NAME.format(side))
        says = "model.layers.9.mlp.up_proj.weight: the base has no such weight"
        self.refuse(tiny_base, tiny_data, tensors, adapter, tmp_path, says)

    def test_half_a_pair(self, tiny_base, tiny_data, altered, tmp_path) -> None:  # type: ignore[no-untyped-def]
        tensors, adapter = altered
        del tensors[self.NAME.format("B")]
        self.refuse(tiny_base, tiny_data, tensors, adapter, tmp_path, "up_proj.weight: only A of A and B is there")

    def test_another_shape(self, tiny_base, tiny_data, altered, tmp_path) -> None:  # type: ignore[no-untyped-def]
        tensors, adapter = altered
        tensors[self.NAME.format("B")] = tensors[self.NAME.format("B")][:-1].clone()
        self.refuse(tiny_base, tiny_data, tensors, adapter, tmp_path, "does not fit [128, 64]")

    def test_another_rank(self, tiny_base, tiny_data, altered, tmp_path) -> None:  # type: ignore[no-untyped-def]
        tensors, adapter = altered
        edit(adapter.folder / "adapter_config.json", r=4)
        self.refuse(tiny_base, tiny_data, tensors, adapter, tmp_path, "rank 8, but adapter_config.json says 4")

    def test_an_empty_adapter(self, tiny_base, tiny_data, altered, tmp_path) -> None:  # type: ignore[no-untyped-def]
        _, adapter = altered
        self.refuse(tiny_base, tiny_data, {}, adapter, tmp_path, "the adapter holds no matrices")


class TestRefusals:
    @pytest.mark.parametrize("value", [65504.0, 1e6, float("nan"), float("-inf")])
    def test_a_weight_that_does_not_fit_fp16(
        self, tiny_base: Checkpoint, tiny_data: Dataset, tmp_path: Path, value: float
    ) -> None:
        base = copied(tiny_base, tmp_path / "base")
        tensors = {n: t.float() for n, t in load_file(base.folder / "model.safetensors").items()}
        tensors["model.layers.1.mlp.gate_proj.weight"][100, 3] = value
        save_file(tensors, base.folder / "model.safetensors")
        with pytest.raises(ProofFailed, match=r"model\.layers\.1\.mlp\.gate_proj\.weight is not finite in FP16"):
            merge_adapter(base, tiny_data, None, fresh(tmp_path / "out"))

    def test_an_adapter_that_overflows(
        self, tiny_base: Checkpoint, tiny_data: Dataset, adapter: Adapter, tmp_path: Path
    ) -> None:
        shutil.copytree(adapter.folder, tmp_path / "adapter")
        edit(tmp_path / "adapter" / "adapter_config.json", lora_alpha=1e9)
        with pytest.raises(ProofFailed, match=r"merge\.finite"):
            merge_adapter(tiny_base, tiny_data, adapter_at(tmp_path / "adapter"), fresh(tmp_path / "out"))

    @pytest.mark.parametrize(
        ("field", "value", "says"),
        [
            ("quantization_config", {"quant_method": "bitsandbytes"}, "weights are quantized"),
            ("auto_map", {"AutoModel": "evil.Model"}, "brings its own code"),
        ],
    )
    def test_bases(
        self, tiny_base: Checkpoint, tiny_data: Dataset, tmp_path: Path, field: str, value: object, says: str
    ) -> None:
        base = copied(tiny_base, tmp_path / "base")
        edit(base.folder / "config.json", **{field: value})
        with pytest.raises(InputError, match=says):
            merge_adapter(base, tiny_data, None, fresh(tmp_path / "out"))

    def test_a_weight_file_that_is_cut_short(self, tiny_base: Checkpoint, tiny_data: Dataset, tmp_path: Path) -> None:
        base = copied(tiny_base, tmp_path / "base")
        path = base.folder / "model.safetensors"
        for length in (path.stat().st_size - 1, 500, 4, 0):
            path.write_bytes((tiny_base.folder / path.name).read_bytes()[:length])
            with pytest.raises(InputError, match="not a whole safetensors file"):
                merge_adapter(base, tiny_data, None, fresh(tmp_path / "out"))


class TestWhatIsCarried:
    def test_tokenizer_and_settings(self, tiny_base: Checkpoint, tiny_data: Dataset, tmp_path: Path) -> None:
        base = copied(tiny_base, tmp_path / "base")
        for name in ("tokenizer.model", "added_tokens.json", "vocab.json", "merges.txt", "generation_config.json"):
            (base.folder / name).write_text("{}")
        for name in (
            "modeling_evil.py",
            "tokenization_evil.py",
            "README.md",
            "chat_template.json",
            "pytorch_model.bin",
        ):
            (base.folder / name).write_text("{}")
        edit(base.folder / "tokenizer_config.json", chat_template="another", auto_map={"AutoTokenizer": "evil"})
        edit(base.folder / "config.json", torch_dtype="bfloat16", _name_or_path="/home/someone/model")
        (base.folder / "chat_template.jinja").write_text("the base's own")
        out = fresh(tmp_path / "out")
        merge_adapter(base, tiny_data, None, out)
        assert {p.name for p in out.iterdir()} == {
            "model.safetensors", "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json",
            "tokenizer.model", "added_tokens.json", "vocab.json", "merges.txt", "chat_template.jinja",
        }  # fmt: skip
        config = json.loads((out / "config.json").read_text())
        assert config["dtype"] == "float16"
        assert not {"torch_dtype", "quantization_config", "_name_or_path"} & config.keys()
        assert not {"chat_template", "auto_map"} & json.loads((out / "tokenizer_config.json").read_text()).keys()
        written, trained = (f / "chat_template.jinja" for f in (out, tiny_data.folder))
        assert written.read_bytes() == trained.read_bytes()


class TestWeights:
    def test_shards_are_those_of_hugging_face(self, tmp_path: Path, tiny_base: Checkpoint) -> None:
        """Written in shards, read back by us and by transformers."""
        from transformers import AutoModelForCausalLM

        tensors = weights.checkpoint(tiny_base.folder)
        layout = [(t.name, t.dtype, t.shape) for t in tensors.values()]
        with weights.Reader() as reader, weights.Writer(tmp_path, layout, shard_bytes=60_000) as writer:
            for tensor in tensors.values():
                writer.write(tensor.name, 0, reader.raw(tensor))
        shards = sorted(tmp_path.glob("*.safetensors"))
        assert len(shards) > 2
        assert shards[0].name == f"model-00001-of-{len(shards):05d}.safetensors"
        assert all(p.stat().st_size < 70_000 for p in shards)
        assert list(weights.checkpoint(tmp_path)) == list(tensors)
        shutil.copy(tiny_base.folder / "config.json", tmp_path)
        models = [AutoModelForCausalLM.from_pretrained(f, dtype=torch.float16) for f in (tmp_path, tiny_base.folder)]
        states = [m.state_dict() for m in models]
        assert all(torch.equal(states[0][n], states[1][n]) for n in states[1])

    def test_halves(self) -> None:
        bits = np.arange(1 << 16, dtype=np.uint16)
        np.testing.assert_array_equal(half_precision.from_half(bits), bits.view(np.float16).astype(np.float32))

    @pytest.mark.parametrize("by_numpy", [False, True])
    def test_rounding_to_halves(self, by_numpy: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        """Ties to even, subnormals, overflow; of llama.cpp's library and of numpy where that is not there."""
        if by_numpy:
            monkeypatch.setattr(half_precision, "_converters", lambda: None)
        values = np.random.default_rng(0).standard_normal((33, 31)).astype(np.float32)
        values[0, :8] = [65504, 65519.9, 65520, -1e9, 1e-7, 2**-25, 1 + 2**-11, 1 + 3 * 2**-11]
        with np.errstate(over="ignore"):
            wanted = values.astype(np.float16).view(np.uint16)
        np.testing.assert_array_equal(half_precision.to_half(values), wanted)
        np.testing.assert_array_equal(half_precision.from_half(wanted), wanted.view(np.float16).astype(np.float32))
        assert np.isnan(half_precision.to_half(np.full(3, np.nan, np.float32)).view(np.float16)).all()

    def test_quantized_types_are_refused(self, tmp_path: Path) -> None:
        save_file({"w": torch.zeros(4, dtype=torch.float8_e4m3fn)}, tmp_path / "model.safetensors")
        with pytest.raises(InputError, match="w is F8_E4M3, a quantized or unknown type"):
            weights.checkpoint(tmp_path)

    def test_a_tensor_in_two_files(self, tmp_path: Path) -> None:
        for name in ("a", "b"):
            save_file({"w": torch.zeros(4)}, tmp_path / f"{name}.safetensors")
        with pytest.raises(InputError, match="w is in two weight files"):
            weights.checkpoint(tmp_path)
