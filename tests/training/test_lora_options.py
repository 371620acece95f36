"""LoRA's options from training to the merged weights: what each changes, and what it leaves alone."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import GraniteConfig, GraniteForCausalLM

from packager.artifacts.files import fresh
from packager.artifacts.kinds import Adapter, Checkpoint, Dataset
from packager.checkpoint.merge import merge_adapter
from packager.errors import InputError
from packager.recipe.loading import load
from packager.recipe.sections import Train
from packager.stages.train import train
from packager.training import checkpoints, loop, model
from packager.training.run import Run

Tensors = dict[str, torch.Tensor]
ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
LAYER = re.compile(r"\.layers\.(\d+)\..*\.(\w+)\.weight")


def settings(method: str = "lora", **lora: Any) -> Train:
    given = {"method": method, "batch": {"examples_per_step": 4}, "learning_rate": 5e-3, "max_steps": 4}
    return Train.model_validate(given | {"lora": {"rank": 8} | lora})


def trained(config: Train, base: Checkpoint, data: Dataset, folder: Path) -> Adapter:
    return train(config, base, data, fresh(folder))


def tensors(folder: Path) -> Tensors:
    return {name: tensor.double() for name, tensor in load_file(folder / "model.safetensors").items()}


def updates(adapter: Adapter) -> Tensors:
    """s B A of every pair in the adapter's file, in float64, by the name of the base weight."""
    config = json.loads((adapter.folder / "adapter_config.json").read_text("utf-8"))
    scale = config["lora_alpha"] / (math.sqrt(config["r"]) if config["use_rslora"] else config["r"])
    saved = {n: t.double() for n, t in load_file(adapter.folder / "adapter_model.safetensors").items()}
    return {
        name.removeprefix("base_model.model.").replace(".lora_A", ""): scale * saved[name.replace("_A.", "_B.")] @ a
        for name, a in saved.items()
        if ".lora_A." in name
    }


def changed(before: Tensors, after: Tensors) -> set[tuple[int, str]]:
    """(layer, module) of every weight that is not what it was."""
    names = [name for name in before if not torch.equal(before[name], after[name])]
    found = [LAYER.search(name) for name in names]
    assert all(found), names
    return {(int(match[1]), match[2]) for match in found if match}


@pytest.mark.parametrize(
    ("lora", "layers", "modules"),
    [
        ({"layers": "last"}, {1}, None),
        ({"layers": [0]}, {0}, None),
        ({"layers": [1, 0], "targets": ["q_proj"]}, {0, 1}, {"q_proj"}),
        ({"targets": ["v_proj", "down_proj"], "rslora": True}, {0, 1}, {"v_proj", "down_proj"}),
    ],
    ids=["last", "list", "list-and-target", "targets-rslora"],
)
def test_only_what_is_named_is_trained_and_merged(
    lora: dict[str, Any],
    layers: set[int],
    modules: set[str] | None,
    tiny_base: Checkpoint,
    tiny_data: Dataset,
    tmp_path: Path,
) -> None:
    adapter = trained(settings(**lora), tiny_base, tiny_data, tmp_path / "adapter")
    merged = merge_adapter(tiny_base, tiny_data, adapter, fresh(tmp_path / "merged"))
    modules = modules or {*ATTENTION, "gate_proj", "up_proj", "down_proj"}
    before, after = tensors(tiny_base.folder), tensors(merged.folder)
    assert changed(before, after) == {(layer, module) for layer in layers for module in modules}
    assert merged.pairs_used == len(layers) * len(modules)
    for name, update in updates(adapter).items():
        torch.testing.assert_close(after[name], before[name] + update, rtol=2**-10, atol=1e-7)


@pytest.mark.parametrize("rslora", [False, True])
def test_rslora_scales_by_the_root_of_the_rank(
    rslora: bool, tiny_base: Checkpoint, tiny_data: Dataset, tmp_path: Path
) -> None:
    config = settings(alpha=8, rslora=rslora)
    adapter = trained(config, tiny_base, tiny_data, tmp_path / "a")
    merged = merge_adapter(tiny_base, tiny_data, adapter, fresh(tmp_path / "m"))
    saved = load_file(tmp_path / "a" / "adapter_model.safetensors")
    name = "model.layers.0.self_attn.v_proj.{}weight"
    a, b = (saved[f"base_model.model.{name.format(f'lora_{side}.')}"].double() for side in "AB")
    moved = tensors(merged.folder)[name.format("")] - tensors(tiny_base.folder)[name.format("")]
    assert float(moved.norm() / (b @ a).norm()) == pytest.approx(8 / math.sqrt(8) if rslora else 1.0, rel=1e-2)


def test_dora_merges_as_peft_does(tiny_base: Checkpoint, tiny_data: Dataset, tmp_path: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    adapter = trained(settings(dora=True), tiny_base, tiny_data, tmp_path / "adapter")
    merged = merge_adapter(tiny_base, tiny_data, adapter, fresh(tmp_path / "merged"))
    plain = AutoModelForCausalLM.from_pretrained(tiny_base.folder, dtype=torch.float32)
    wanted = PeftModel.from_pretrained(plain, adapter.folder).merge_and_unload().state_dict()
    for name, tensor in tensors(merged.folder).items():
        torch.testing.assert_close(tensor, wanted[name].double(), rtol=2**-10, atol=1e-7)
    assert merged.pairs_used == merged.pairs_total == 14
    assert merged.delta_norm == pytest.approx(merged.delta_norm_expected, rel=1e-2)
    magnitudes = [n for n in load_file(adapter.folder / "adapter_model.safetensors") if "magnitude" in n]
    assert len(magnitudes) == 14


def test_the_seed_decides(tiny_base: Checkpoint, tiny_data: Dataset, tmp_path: Path) -> None:
    def made(name: str, seed: int) -> bytes:
        config = settings().model_copy(update={"seed": seed})
        return (
            trained(config, tiny_base, tiny_data, tmp_path / name).folder / "adapter_model.safetensors"
        ).read_bytes()

    assert made("a", 1) == made("b", 1) != made("c", 2)


# LoftQ


@pytest.fixture
def logits(tiny_base: Checkpoint, tiny_data: Dataset, tmp_path: Path) -> Any:
    """What the model says before training with these settings, on four rows: loss and logits."""
    from packager.training import batches, loftq, model
    from packager.training.loss import Shortcuts, summed

    rows = batches.read(tiny_data.folder / "train.jsonl", tiny_data)[:4]

    def said(config: Train) -> tuple[float, torch.Tensor]:
        trainee = model.load(config, tiny_base, mean_tokens=50)
        if config.lora.loftq:
            loftq.start(trainee, tiny_base, fresh(tmp_path / "start"))
        trainee.peft.eval()
        with torch.no_grad():
            loss = summed(trainee, rows, Shortcuts(select=False, share_prefix=False)).item()
            return loss, trainee.peft(input_ids=torch.tensor([rows[0].ids])).logits.float()

    return said


def test_loftq_begins_nearer_to_the_clean_model(logits: Any) -> None:
    clean, nf4 = logits(settings(rank=32)), logits(settings("qlora", rank=32))
    begun = logits(settings("qlora", rank=32, loftq=True))
    assert abs(begun[0] - clean[0]) < 0.7 * abs(nf4[0] - clean[0])
    assert (begun[1] - clean[1]).norm() < 0.6 * (nf4[1] - clean[1]).norm()


@pytest.mark.parametrize("rslora", [False, True])
def test_loftq_merges_what_was_trained_into_the_clean_base(
    rslora: bool, tiny_base: Checkpoint, tiny_data: Dataset, tmp_path: Path
) -> None:
    """Merged = clean base + s (B A - B0 A0), with A, B from the last checkpoint and A0, B0 as they were kept."""
    adapter = trained(settings("qlora", loftq=True, rslora=rslora), tiny_base, tiny_data, tmp_path / "adapter")
    merged = merge_adapter(tiny_base, tiny_data, adapter, fresh(tmp_path / "merged"))
    checkpoints = adapter.folder / "checkpoints"
    last = torch.load(checkpoints / "step-0000004" / "state.pt", weights_only=True)["adapter"]
    begun = load_file(checkpoints / "loftq.safetensors")
    scale = 32 / math.sqrt(8) if rslora else 32 / 8
    before, after = tensors(tiny_base.folder), tensors(merged.folder)
    assert changed(before, after) == {(i, m) for i in (0, 1) for m in (*ATTENTION, "gate_proj", "up_proj", "down_proj")}
    for name in [n for n in last if ".lora_A." in n]:
        a, b = last[name].double(), last[name.replace("_A.", "_B.")].double()
        first = name.replace(".default", "")
        a0, b0 = begun[first].double(), begun[first.replace("_A.", "_B.")].double()
        weight = first.removeprefix("base_model.model.").replace(".lora_A", "")
        wanted = before[weight] + scale * (b @ a - b0 @ a0)
        torch.testing.assert_close(after[weight], wanted, rtol=2**-10, atol=1e-6)
    assert merged.delta_norm == pytest.approx(merged.delta_norm_expected, rel=5e-2)


def test_an_untrained_loftq_adapter_leaves_the_clean_base(
    tiny_base: Checkpoint, tiny_data: Dataset, tmp_path: Path
) -> None:
    from packager.training import loftq, model

    trainee = model.load(settings("qlora", loftq=True), tiny_base, mean_tokens=50)
    loftq.start(trainee, tiny_base, fresh(tmp_path / "adapter"))
    trainee.peft.save_pretrained(tmp_path / "adapter")
    loftq.rebase(tmp_path / "adapter")
    adapter = Adapter.model_construct(folder=tmp_path / "adapter", method="qlora", as_trained=None)
    merged = merge_adapter(tiny_base, tiny_data, adapter, fresh(tmp_path / "merged"))
    for name, update in updates(adapter).items():
        assert update.abs().max() < 1e-6, name
    for name, tensor in tensors(tiny_base.folder).items():
        torch.testing.assert_close(tensors(merged.folder)[name], tensor, rtol=2**-10, atol=1e-6)


def test_loftq_resumes_from_the_start_that_was_kept(tiny_base: Checkpoint, tiny_data: Dataset, tmp_path: Path) -> None:
    from packager.training import loftq, model

    out = fresh(tmp_path / "adapter")
    first = model.load(settings("qlora", loftq=True), tiny_base, mean_tokens=50)
    loftq.start(first, tiny_base, out)
    again = model.load(settings("qlora", loftq=True).model_copy(update={"seed": 7}), tiny_base, mean_tokens=50)
    loftq.start(again, tiny_base, out)
    for name, parameter in first.parameters.items():
        assert torch.equal(again.parameters[name], parameter)


def test_the_factors_are_the_best_of_their_rank() -> None:
    from packager.training.loftq import factors

    torch.manual_seed(3)
    lost = torch.randn(96, 64)
    a, b = factors(lost, 8, scale=4.0)
    exact = torch.linalg.svdvals(lost.double())
    left = (lost - 4.0 * b @ a).norm()
    assert a.shape == (8, 64)
    assert b.shape == (96, 8)
    assert float(left) == pytest.approx(float(exact[8:].norm()), rel=1e-3)
    assert [tuple(f.shape) for f in factors(lost[:4], 8, 1.0)] == [(4, 64), (4, 4)]


@pytest.mark.parametrize(
    ("fields", "found"),
    [("method: lora, lora: {loftq: true}", "method: lora"), ("lora: {loftq: true, dora: true}", "lora.dora: true")],
)
def test_loftq_is_refused_where_it_means_nothing(tmp_path: Path, fields: str, found: str) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(f"name: r\nbase: {{model: b}}\ndata: {{source: d}}\ntrain: {{{fields}}}\n")
    with pytest.raises(InputError) as caught:
        load(str(path))
    assert f"train: lora.loftq is for plain qlora and does not go with {found}" in str(caught.value.message)


@pytest.mark.parametrize(
    ("targets", "words"),
    [
        (["q_proj", "qkv_proj", "v_porj"], r"no layer qkv_proj, v_porj\."),
        (["q_proj", "embed_tokens"], "embed_tokens is the embedding"),
    ],
)
def test_every_target_must_be_there(
    tiny_base: Checkpoint, tiny_data: Dataset, tmp_path: Path, targets: list[str], words: str
) -> None:
    """peft passes over the names that no layer has, where another is there."""
    with pytest.raises(InputError, match=words):
        trained(settings(targets=targets), tiny_base, tiny_data, tmp_path)


def test_only_the_recipe_s_dropout_counts() -> None:
    shape = {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2}
    granite = GraniteForCausalLM(GraniteConfig(**shape, **heads, attention_dropout=0.1))
    base = Checkpoint(folder=Path(), source="x", architecture="GraniteForCausalLM", parameters=1)
    adapted = model.adapt(granite, settings(dropout=0.25), base, torch.device("cpu"), torch.float32).peft
    adapted.train()
    shares = {m.p for m in adapted.modules() if isinstance(m, torch.nn.Dropout)}
    own = {m.attention_dropout for m in adapted.modules() if isinstance(getattr(m, "attention_dropout", None), float)}
    assert own == {0.0}
    assert shares <= {0.0, 0.25}


def test_a_loss_that_is_no_number_is_never_the_best(tmp_path: Path) -> None:
    weight = torch.nn.Parameter(torch.zeros(1))
    trainee: Any = SimpleNamespace(parameters={"x": weight})
    nothing: Any = None
    run = Run(config=Train(evaluate_every=1, patience=2), steps=9, train=[], heldout=[], choosing=[], trainee=trainee,
              compute=nothing, optimizer=nothing, out=tmp_path)  # fmt: skip
    run.metrics.append({"step": 0, "heldout_loss": 3.0})
    kept = []
    for step, loss in enumerate([math.nan, 2.0, 1.5, math.nan, 0.0], 1):
        run.metrics.append({"step": step, "heldout_loss": loss})
        loop.keep_if_best(run, loss, step)
        kept.append((checkpoints.best(tmp_path / "checkpoints") or {}).get("step"))
        assert not run.patience_lost
    assert kept == [None, 2, 3, 3, 5]
