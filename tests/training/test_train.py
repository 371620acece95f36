"""The train stage on a tiny real Llama: it learns, resumes exactly, and names what goes wrong."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from packager.artifacts.kinds import Checkpoint, Dataset
from packager.errors import InputError, Interrupted, PackagerError, TrainingDiverged
from packager.process import child as process_child
from packager.process import progress
from packager.recipe.sections import Train
from packager.stages.train import train


def settings(**changes: Any) -> Train:
    given = {"batch": {"examples_per_step": 4}, "learning_rate": 5e-3, "max_steps": 6, "epochs": 9}
    return Train.model_validate(given | changes)


def losses(out: Path) -> list[float]:
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [row["loss"] for row in rows if "loss" in row]


def at_step(number: int, act: Callable[[], object]) -> Callable[[progress.Event], None]:
    """A progress sink that calls `act` when that step has been taken."""

    def sink(event: progress.Event) -> None:
        if event.get("unit") == "steps" and event["done"] == number:
            act()

    return sink


def killed_at(step: int, *arguments: Any) -> None:
    """Train in this process, which kills itself when that step has been taken, before its checkpoint."""
    with progress.route(at_step(step, lambda: os.kill(os.getpid(), signal.SIGKILL))):
        train(*arguments)


def stop_myself() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture
def loaded(
    tiny_base: Checkpoint, tiny_data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[Any, Any]]:
    """Loads the tiny model with an adapter whose B is not zero; returns it and the training rows.

    In fp32, so that two ways to the same gradient differ by rounding only; some CPUs would take bf16."""
    import torch

    from packager.training import batches, model

    monkeypatch.setattr(model, "compute_dtype", lambda _: torch.float32)

    def load(config: Train, base: Checkpoint = tiny_base) -> tuple[Any, Any]:
        trainee = model.load(config, base, mean_tokens=50)
        with torch.no_grad():
            for parameter in trainee.parameters.values():
                parameter.add_(torch.randn_like(parameter) * 0.1)
        return trainee, batches.read(tiny_data.folder / "train.jsonl", tiny_data)

    return load


def gradients(trainee: Any, rows: Any, shortcuts: Any) -> dict[str, Any]:
    from packager.training.loss import summed

    summed(trainee, rows, shortcuts).backward()
    found = {name: parameter.grad.clone() for name, parameter in trainee.parameters.items()}
    for parameter in trainee.parameters.values():
        parameter.grad = None
    return found


def assert_close(found: dict[str, Any], expected: dict[str, Any]) -> None:
    import torch

    for name, gradient in expected.items():
        scale = gradient.abs().max().item()
        assert scale > 0, f"{name} has no gradient"
        torch.testing.assert_close(
            found[name], gradient, rtol=1e-3, atol=1e-4 * scale, msg=lambda m, n=name: f"{n}: {m}"
        )


@pytest.mark.parametrize("method", ["qlora", "lora"])
def test_it_learns_and_writes_a_clean_adapter(
    method: str, tiny_base: Checkpoint, tiny_data: Dataset, tmp_path: Path
) -> None:
    adapter = train(settings(method=method, max_steps=40), tiny_base, tiny_data, tmp_path)

    # Tied random embeddings bound the logits: a perfect answer would still cost about 5.
    assert adapter.heldout_loss_after < adapter.heldout_loss_before - 0.5
    assert abs(adapter.heldout_loss_before - math.log(486)) < 0.2  # a random model guesses
    assert adapter.steps == 40
    assert adapter.final_train_loss == losses(tmp_path)[-1]
    shutil.rmtree(tmp_path / "checkpoints")
    assert {p.name for p in tmp_path.iterdir()} == {"adapter_config.json", "adapter_model.safetensors", "metrics.jsonl"}
    written = (tmp_path / "adapter_config.json").read_text(encoding="utf-8")
    assert json.loads(written)["base_model_name_or_path"] == tiny_base.source
    assert str(tiny_base.folder) not in written
    first, *_, last = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert (first["step"], first["heldout_loss"]) == (0, adapter.heldout_loss_before)
    assert (last["step"], last["heldout_loss"]) == (40, adapter.heldout_loss_after)


def test_interrupted_and_resumed_equals_uninterrupted(
    tiny_base: Checkpoint, tiny_data: Dataset, tmp_path: Path
) -> None:
    config = settings(lora={"dropout": 0.1})  # so that the random numbers matter, too
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for folder in (whole, parts):
        folder.mkdir()
    train(config, tiny_base, tiny_data, whole)

    with progress.route(at_step(3, stop_myself)), pytest.raises(Interrupted, match="step 3 of 6"):
        train(config, tiny_base, tiny_data, parts)
    assert len(losses(parts)) == 3
    train(config, tiny_base, tiny_data, parts)

    assert losses(parts) == losses(whole)
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        assert (parts / name).read_bytes() == (whole / name).read_bytes()


def test_killed_twice_and_resumed_equals_uninterrupted(
    tiny_base: Checkpoint, tiny_data: Dataset, tmp_path: Path
) -> None:
    config = settings(checkpoint_seconds=1e-6)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for folder in (whole, parts):
        folder.mkdir()
    process_child.call(train, config, tiny_base, tiny_data, whole)  # as the others: bits depend on the threads

    for step in (2, 4):
        with pytest.raises(PackagerError, match=r"SIGKILL|memory"):
            process_child.call(killed_at, step, config, tiny_base, tiny_data, parts, log=tmp_path / "log")
        assert not (parts / "adapter_model.safetensors").exists()
    resumed_at: list[float] = []
    with progress.route(lambda e: resumed_at.append(e["done"]) if e.get("unit") == "steps" else None):
        process_child.call(train, config, tiny_base, tiny_data, parts)

    assert resumed_at[0] == 4  # at most the step in flight was lost
    assert losses(parts) == losses(whole)


@pytest.mark.parametrize("damage", ["truncated", "altered", "no manifest"])
def test_a_damaged_checkpoint_is_skipped(
    damage: str, tiny_base: Checkpoint, tiny_data: Dataset, tmp_path: Path
) -> None:
    config = settings(checkpoint_seconds=1e-6)
    with progress.route(at_step(4, stop_myself)), pytest.raises(Interrupted):
        train(config, tiny_base, tiny_data, tmp_path)
    before = losses(tmp_path)
    kept = sorted(p.name for p in (tmp_path / "checkpoints").iterdir())
    assert kept == ["step-0000003", "step-0000004"]
    newest = tmp_path / "checkpoints" / kept[-1]
    content = bytearray((newest / "state.pt").read_bytes())
    if damage == "truncated":
        (newest / "state.pt").write_bytes(content[:1000])
    elif damage == "altered":
        content[len(content) // 2] ^= 1
        (newest / "state.pt").write_bytes(content)
    else:
        (newest / "manifest.json").unlink()
    (tmp_path / "checkpoints" / "step-0000005.partial").mkdir()

    seen: list[progress.Event] = []
    with progress.route(seen.append):
        train(config, tiny_base, tiny_data, tmp_path)

    assert any("step-0000004 is damaged" in event.get("note", "") for event in seen)
    assert [e["done"] for e in seen if e.get("unit") == "steps"] == [4, 5, 6]
    assert losses(tmp_path)[:4] == before


def test_a_stop_after_the_last_step_only_repeats_the_evaluation(
    tiny_base: Checkpoint, tiny_data: Dataset, tmp_path: Path
) -> None:
    with progress.route(at_step(6, stop_myself)), pytest.raises(Interrupted):
        train(settings(), tiny_base, tiny_data, tmp_path)
    seen: list[progress.Event] = []
    with progress.route(seen.append):
        train(settings(), tiny_base, tiny_data, tmp_path)
    assert {e["unit"] for e in seen if "unit" in e} == {"held-out batches"}
    assert len(losses(tmp_path)) == 6


@pytest.fixture
def poisoned(tiny_base: Checkpoint, tiny_data: Dataset, tmp_path: Path) -> tuple[Checkpoint, Dataset]:
    """A model whose embedding of 'Z' is not a number, and a training set in which one row has a Z."""
    import torch
    from transformers import AutoModelForCausalLM

    from packager.prompt.template import load_tokenizer, token_ids

    base, data = tmp_path / "base", tmp_path / "data"
    shutil.copytree(tiny_base.folder, base)
    shutil.copytree(tiny_data.folder, data)
    (letter,) = token_ids(load_tokenizer(base), "Z")
    model = AutoModelForCausalLM.from_pretrained(base)
    model.config.tie_word_embeddings = False
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
    with torch.no_grad():
        model.get_input_embeddings().weight[letter] = torch.nan
    model.save_pretrained(base)
    rows = [json.loads(line) for line in (data / "train.jsonl").read_text(encoding="utf-8").splitlines()]
    rows[7]["messages"][1]["content"] = "Z?"
    (data / "train.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    return tiny_base.model_copy(update={"folder": base}), tiny_data.model_copy(update={"folder": data})


def test_a_loss_that_is_no_number_is_named(poisoned: tuple[Checkpoint, Dataset], tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(TrainingDiverged) as caught:
        train(settings(checkpoint_seconds=1e-6), *poisoned, out)

    done = len(losses(out))
    assert 0 < done < 5
    assert f"at step {done + 1} of 6: the loss is nan" in caught.value.message
    assert f"last good checkpoint is of step {done}" in caught.value.message
    assert "lower train.learning_rate" in caught.value.fix
    assert caught.value.exit_code == 3
    assert all(map(math.isfinite, losses(out)))


def test_a_base_that_computes_no_number_is_named(poisoned: tuple[Checkpoint, Dataset], tmp_path: Path) -> None:
    base, data = poisoned
    shutil.copy(data.folder / "train.jsonl", data.folder / "heldout.jsonl")
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(InputError, match="base model's loss is nan before any training"):
        train(settings(), base, data, out)


def test_a_loss_that_runs_away_is_noticed_but_not_a_peak() -> None:
    from packager.training.loop import PATIENCE, LossWatch

    watch = LossWatch()
    assert not any(watch.diverges(loss) for loss in [2.0] * 30 + [50.0] + [2.0] * 60 + [4.0] * 60)
    assert [watch.diverges(9.0) for _ in range(PATIENCE + 8)][-1]
    assert not LossWatch().diverges(1e6)


@pytest.mark.parametrize("micro_batch", [1, 2, 3])
def test_micro_batches_change_nothing(
    micro_batch: int, tiny_base: Checkpoint, tiny_data: Dataset, tmp_path: Path
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for folder in (whole, parts):
        folder.mkdir()
    one = train(settings(), tiny_base, tiny_data, whole)
    batch = {"examples_per_step": 4, "examples_per_micro_batch": micro_batch}
    other = train(settings(batch=batch), tiny_base, tiny_data, parts)

    assert losses(parts) == pytest.approx(losses(whole), rel=1e-4)
    assert other.heldout_loss_before == pytest.approx(one.heldout_loss_before, rel=1e-5)
    assert other.heldout_loss_after == pytest.approx(one.heldout_loss_after, rel=1e-3)


def test_evaluation_does_not_change_the_gradients(
    loaded: Callable[..., tuple[Any, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """bitsandbytes repacks NF4 weights on the first evaluation on a CPU with AVX512-BF16; every CPU is one here."""
    import bitsandbytes as bnb
    import torch

    from packager.training.loss import Shortcuts, summed

    monkeypatch.setattr(bnb.nn.modules, "has_avx512bf16", lambda: True)
    # Only one adapted matrix, so that the others go through bitsandbytes' own forward.
    trainee, rows = loaded(settings(lora={"targets": ["q_proj"]}))
    assert sum(isinstance(m, bnb.nn.Linear4bit) for m in trainee.peft.modules()) == 14
    plain = Shortcuts(select=False, share_prefix=False)
    trainee.peft.train()
    before = gradients(trainee, rows[:4], plain)

    trainee.peft.eval()
    with torch.no_grad():
        summed(trainee, rows[:4], plain)
    trainee.peft.train()

    assert_close(gradients(trainee, rows[:4], plain), before)


@pytest.mark.parametrize("method", ["qlora", "lora"])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_the_fused_layer_computes_what_peft_does(
    method: str, dropout: float, loaded: Callable[..., tuple[Any, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from packager.training import lora_linear
    from packager.training.loss import Shortcuts

    config = settings(method=method, lora={"dropout": dropout})
    results = []
    for fused in (True, False):
        if not fused:
            monkeypatch.setattr(lora_linear, "fuse", lambda model, seed: 0)
        trainee, rows = loaded(config)
        trainee.peft.train()
        torch.manual_seed(1)
        results.append(gradients(trainee, rows[:3], Shortcuts(select=False, share_prefix=False)))
    assert len(results[0]) == 2 * 14
    assert_close(*results)


def test_a_shortcut_that_is_wrong_for_long_rows_only_is_not_taken(loaded: Callable[..., tuple[Any, Any]]) -> None:
    """A model that looks back a few tokens by a mask of its own, which attention side by side does not get."""
    import torch
    from transformers import LlamaModel

    from packager.training.compute import SideBySide, choose
    from packager.training.loss import Shortcuts
    from packager.training.memory import SIDE_BY_SIDE

    trainee, rows = loaded(settings())
    rows = sorted(rows, key=lambda row: len(row.ids))
    back = len(rows[1].ids)
    assert back < len(rows[-1].ids)

    class ShortSighted(LlamaModel):
        def forward(self, input_ids: Any, attention_mask: Any = None, **more: Any) -> Any:
            n = input_ids.shape[1]
            seen = torch.ones(n, n, dtype=torch.bool).tril().triu(1 - back)[None, None]
            return super().forward(input_ids, attention_mask=seen, **more)

    causal = trainee.peft.get_base_model()
    causal.model.__class__ = ShortSighted
    causal.set_attn_implementation("sdpa")
    for parameter in causal.model.parameters():
        if parameter.is_floating_point() and parameter.dim() == 2:
            parameter.data *= 4  # small random weights hardly heed what they look at
    both, select = Shortcuts(select=True, share_prefix=True), Shortcuts(select=True, share_prefix=False)
    assert choose(trainee, rows[:2], SIDE_BY_SIDE, 4) == SideBySide(trainee, both, 4)
    assert choose(trainee, rows, SIDE_BY_SIDE, 4) == SideBySide(trainee, select, 4)


def test_shortcuts_give_the_loss_and_the_gradients_of_the_model_itself(
    loaded: Callable[..., tuple[Any, Any]],
) -> None:
    """Cross entropy over exactly the tokens that the mask names, computed here the slow way."""
    import torch

    from packager.training.compute import SideBySide, choose
    from packager.training.loss import Shortcuts, summed
    from packager.training.memory import SIDE_BY_SIDE

    trainee, rows = loaded(settings())
    rows = sorted(rows, key=lambda row: len(row.ids))[::6]  # uneven lengths
    best = SideBySide(trainee, Shortcuts(select=True, share_prefix=True), 4)
    assert choose(trainee, rows, SIDE_BY_SIDE, 4) == best
    expected = torch.zeros(())
    for row in rows:
        logits = trainee.peft(input_ids=torch.tensor([row.ids])).logits[0].float().log_softmax(-1)
        for i in range(1, len(row.ids)):
            if row.trained[i]:
                expected = expected - logits[i - 1, row.ids[i]]
    expected.backward()
    reference = {name: parameter.grad.clone() for name, parameter in trainee.parameters.items()}
    trainee.peft.zero_grad()

    for shortcuts in (Shortcuts(True, True), Shortcuts(True, False), Shortcuts(False, False)):
        assert summed(trainee, rows, shortcuts).item() == pytest.approx(expected.item(), rel=1e-5)
        assert_close(gradients(trainee, rows, shortcuts), reference)


@pytest.mark.parametrize(("length", "window"), [(40, None), (40, 9), (600, None), (600, 70)])
def test_rows_side_by_side_attend_as_they_would_alone(length: int, window: int | None) -> None:
    """After a shared prefix, with heads that share keys, by both ways and with a window inside a row."""
    import torch

    from packager.training import attention

    torch.manual_seed(0)
    shared, rows = 12, 3
    heads, kv_heads, d = 6, 2, 8
    n = shared + rows * length
    query, key, value = (torch.randn(1, h, n, d) for h in (heads, kv_heads, kv_heads))
    found, _ = attention.beside(None, query, key, value, None, sliding_window=window, shared=shared, rows=rows)
    for row in range(rows):
        own = range(shared + row * length, shared + (row + 1) * length)
        q, k, v = (s[:, :, [*range(shared), *own]] for s in (query, key, value))
        at = torch.arange(shared + length)
        seen = (at[:, None] >= at) & (at[:, None] - at < (window or n))
        scores = q @ k.repeat_interleave(heads // kv_heads, 1).transpose(2, 3) / d**0.5
        p = scores.masked_fill(~seen, -torch.inf).softmax(-1)
        expected = (p @ v.repeat_interleave(heads // kv_heads, 1)).transpose(1, 2)
        torch.testing.assert_close(found[:, own], expected[:, shared:], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(found[:, :shared], expected[:, :shared], rtol=1e-4, atol=1e-5)


def test_a_model_that_scales_its_logits_gets_no_shortcut(
    loaded: Callable[..., tuple[Any, Any]], tiny_base: Checkpoint, tmp_path: Path
) -> None:
    import torch
    from transformers import GraniteConfig, GraniteForCausalLM

    from packager.training.compute import SideBySide, choose
    from packager.training.loss import Shortcuts
    from packager.training.memory import SIDE_BY_SIDE

    shape = json.loads((tiny_base.folder / "config.json").read_text())
    same = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    model = GraniteForCausalLM(GraniteConfig(**{k: shape[k] for k in same}, logits_scaling=8.0))
    with torch.no_grad():
        model.lm_head.weight.mul_(30)
    model.save_pretrained(tmp_path)
    trainee, rows = loaded(settings(), tiny_base.model_copy(update={"folder": tmp_path}))
    assert choose(trainee, rows, SIDE_BY_SIDE, 4) == SideBySide(trainee, Shortcuts(False, False), 4)


def test_a_model_that_refuses_what_it_is_given_is_trained_its_own_way(loaded: Callable[..., tuple[Any, Any]]) -> None:
    from transformers import LlamaModel

    from packager.training.compute import SideBySide, choose
    from packager.training.loss import Shortcuts
    from packager.training.memory import SIDE_BY_SIDE

    class Strict(LlamaModel):
        def forward(self, input_ids: Any, attention_mask: Any = None, position_ids: Any = None, **more: Any) -> Any:
            if position_ids is not None:
                raise ValueError("this model takes positions of its own only")
            return super().forward(input_ids, attention_mask=attention_mask, **more)

    trainee, rows = loaded(settings())
    trainee.peft.get_base_model().model.__class__ = Strict
    assert choose(trainee, rows, SIDE_BY_SIDE, 4) == SideBySide(trainee, Shortcuts(select=True, share_prefix=False), 4)


def test_an_error_of_ours_stops_the_run(loaded: Callable[..., tuple[Any, Any]]) -> None:
    from packager.training.compute import choose
    from packager.training.memory import SIDE_BY_SIDE

    trainee, rows = loaded(settings())
    with pytest.raises(TypeError):
        choose(trainee, rows, SIDE_BY_SIDE, None)  # type: ignore[arg-type]  # how many rows at once


def test_only_answers_are_trained(loaded: Callable[..., tuple[Any, Any]], tiny_data: Dataset) -> None:
    from packager.prompt.template import load_tokenizer
    from packager.training import batches

    _, rows = loaded(settings())
    tokenizer = load_tokenizer(tiny_data.folder)
    lines = (tiny_data.folder / "train.jsonl").read_text(encoding="utf-8").splitlines()
    for share in (False, True):
        batch = batches.collate(rows[:2], share_prefix=share)
        answers = [json.loads(line)["messages"][-1]["content"] + tiny_data.end_of_turn for line in lines[:2]]
        assert tokenizer.decode(batch.targets.tolist(), skip_special_tokens=False) == "".join(answers)
        assert (batch.prefix.shape[1] > 0) == share


def test_every_row_is_trained_once_an_epoch_with_rows_of_like_length() -> None:
    from packager.training import batches

    lengths = [10 + 7 * i % 90 for i in range(70)]
    planned = batches.steps(lengths, 8, seed=1)
    first, second = list(islice(planned, 9)), list(islice(planned, 9))
    for epoch in (first, second):
        assert sorted(i for step in epoch for i in step) == list(range(70))
        assert {len(step) for step in epoch} == {7, 8}
        spread = [max(lengths[i] for i in step) - min(lengths[i] for i in step) for step in epoch]
        assert max(spread) < 30
    assert first != second
    assert list(islice(batches.steps(lengths, 8, seed=1), 9)) == first
    assert list(islice(batches.steps(lengths, 8, seed=2), 9)) != first


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("linear", [1 / 3, 2 / 3, 1, 0.75, 0.5, 0.25]),
        ("constant", [1 / 3, 2 / 3, 1, 1, 1, 1]),
        ("cosine", [1 / 3, 2 / 3, 1, (1 + math.cos(math.pi / 4)) / 2, 0.5, (1 - math.cos(math.pi / 4)) / 2]),
    ],
)
def test_learning_rate(schedule: str, expected: list[float]) -> None:
    from packager.training.step import learning_rate

    config = settings(schedule=schedule, warmup_steps=2)
    assert [learning_rate(config, i, 6) / config.learning_rate for i in range(6)] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("changes", "steps"), [({"max_steps": None}, 45), ({}, 6), ({"max_steps": None, "epochs": 0.5}, 3)]
)
def test_total_steps(changes: dict[str, Any], steps: int) -> None:
    assert settings(**changes).steps(20) == steps


def test_a_layer_that_is_not_there_is_named(tiny_base: Checkpoint, tiny_data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no layer") as caught:
        train(settings(lora={"targets": ["qkv_proj"]}), tiny_base, tiny_data, tmp_path)
    assert "q_proj" in caught.value.fix


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Leave no signal handler or random state of one test to the next."""
    import torch

    with torch.random.fork_rng():
        yield


def test_the_adapter_with_the_least_heldout_loss_is_kept(
    tiny_base: Checkpoint, tiny_data: Dataset, tmp_path: Path
) -> None:
    """At so high a rate the loss rises again; training ends early and the best adapter is what is left."""
    from safetensors.torch import load_file

    config = settings(learning_rate=0.5, epochs=100, max_steps=200, evaluate_every=2, patience=3, max_grad_norm=1e9)
    adapter = train(config, tiny_base, tiny_data, tmp_path)

    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    found = [(row["heldout_loss"], row["step"]) for row in rows if "heldout_loss" in row and row["step"]]
    best, step = min(found)
    assert adapter.steps < 200
    assert found[-1][1] == adapter.steps == step + 3 * 2
    assert adapter.heldout_loss_after == best
    import torch

    kept = torch.load(tmp_path / "checkpoints" / "best.pt", weights_only=True)
    assert kept["step"] == step
    saved = load_file(tmp_path / "adapter_model.safetensors")
    for name, tensor in kept["adapter"].items():
        assert torch.equal(saved[name.replace(".default.", ".")], tensor)


def test_rows_that_choose_the_step_do_not_report_it(tiny_base: Checkpoint, tiny_data: Dataset, tmp_path: Path) -> None:
    """With `choosing.jsonl` beside them, the held-out rows are looked at before and after the training only."""
    folder = tmp_path / "data"
    shutil.copytree(tiny_data.folder, folder)
    lines = (folder / "heldout.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / "heldout.jsonl").write_text("".join(lines[::2]), encoding="utf-8")
    (folder / "choosing.jsonl").write_text("".join(lines[1::2]), encoding="utf-8")
    (tmp_path / "adapter").mkdir()
    config = settings(learning_rate=0.5, epochs=100, max_steps=40, evaluate_every=2, patience=3, max_grad_norm=1e9)
    data = tiny_data.model_copy(update={"folder": folder})
    adapter = train(config, tiny_base, data, tmp_path / "adapter")
    rows = [json.loads(line) for line in (tmp_path / "adapter" / "metrics.jsonl").read_text("utf-8").splitlines()]
    chosen = [row["step"] for row in rows if "choosing_loss" in row]
    reported = [row["step"] for row in rows if "heldout_loss" in row]
    assert chosen[:2] == [2, 4]
    assert reported == [0, adapter.steps]
    assert adapter.heldout_loss_after == rows[-1]["heldout_loss"]


def test_metrics_say_what_a_person_wants_to_see(tiny_base: Checkpoint, tiny_data: Dataset, tmp_path: Path) -> None:
    train(settings(max_steps=2), tiny_base, tiny_data, tmp_path)
    _, first, *_, last = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert 0 <= first["token_accuracy"] < 0.2
    assert first["entropy"] == pytest.approx(math.log(486), abs=0.5)  # an untrained model knows nothing
    assert 0.05 < first["peak_memory_gib"] < 8
    assert {"loss", "grad_norm", "learning_rate", "tokens", "tokens_per_second", "seconds"} < set(first)
    assert {"heldout_loss", "heldout_token_accuracy", "heldout_entropy"} < set(last)
