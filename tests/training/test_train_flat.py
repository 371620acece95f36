"""Rows end to end, as a GPU trains them: the same loss and gradients, whatever is left out or computed again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from packager.artifacts.kinds import Checkpoint, Dataset
from packager.recipe.sections import Train

Loaded = tuple[Any, Any]


@pytest.fixture
def loaded(tiny_base: Checkpoint, tiny_data: Dataset, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Loaded]:
    """Loads the tiny model as for a GPU, its adapter not zero, and rows of uneven lengths."""
    import torch

    from packager.training import batches, lora_linear, model

    monkeypatch.setattr(lora_linear, "_compiled_drop", lambda: lora_linear._drop)

    def load(dtype: torch.dtype = torch.float32, **lora: Any) -> Loaded:
        config = Train.model_validate({"lora": lora})
        device = torch.device("cpu")
        base = model._load_base(tiny_base.folder, device, dtype, "sdpa", quantized=True)
        trainee = model.adapt(base, config, tiny_base, device, dtype)
        seed = torch.zeros(1, dtype=torch.int32)
        for number, module in enumerate(trainee.peft.modules()):
            if isinstance(module, lora_linear._Adapted):
                module.seed, module.salt = seed, torch.full_like(seed, number)
        with torch.no_grad():
            torch.manual_seed(1)
            trainee.weights.add_(torch.randn_like(trainee.weights) * 0.1)
        rows = sorted(batches.read(tiny_data.folder / "train.jsonl", tiny_data), key=lambda row: len(row.ids))
        trainee.peft.train()
        return trainee, rows[::3]

    return load


def end_to_end(trainee: Any, rows: Any, **plan: Any) -> tuple[Any, Any]:
    """Sums and gradient of `rows`, end to end, kept apart by a mask."""
    from packager.training.compute import EndToEnd
    from packager.training.memory import MemoryPlan

    select = plan.pop("select", True)
    way = EndToEnd(trainee, MemoryPlan(**{"tokens": 96} | plan), longest=90, select=select, masked=True)
    trainee.weights.grad.zero_()
    total = sum(way.accumulate(batch, 1.0) for batch in way.lay_out(rows))
    return total, trainee.weights.grad.clone()


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("select", [False, True])
@pytest.mark.parametrize("tokens", [96, 4096])
def test_rows_end_to_end_train_what_rows_by_themselves_do(
    recompute: bool, select: bool, tokens: int, loaded: Callable[..., Loaded]
) -> None:
    import torch

    from packager.training.loss import Shortcuts, summed

    trainee, rows = loaded()
    for row in rows:
        summed(trainee, [row], Shortcuts(False, False)).backward()
    expected = trainee.weights.grad.clone()
    with torch.no_grad():
        loss = sum(summed(trainee, [row], Shortcuts(False, False)).item() for row in rows)

    sums, gradient = end_to_end(trainee, rows, recompute=recompute, select=select, tokens=tokens)

    assert sums[0].item() == pytest.approx(loss, rel=1e-5)
    torch.testing.assert_close(gradient, expected, rtol=1e-3, atol=1e-4 * expected.abs().max().item())


def test_a_layer_computed_again_drops_the_same(loaded: Callable[..., Loaded]) -> None:
    import torch

    found = []
    for recompute in (False, True):
        trainee, rows = loaded(dropout=0.3)
        found.append(end_to_end(trainee, rows, recompute=recompute))
    torch.testing.assert_close(found[1][0], found[0][0])
    torch.testing.assert_close(found[1][1], found[0][1])
    dry, rows = loaded(dropout=0.0)
    assert (end_to_end(dry, rows)[1] - found[0][1]).norm() > 0.05 * found[0][1].norm()


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_weights_kept_expanded_give_the_same(dropout: float, loaded: Callable[..., Loaded]) -> None:
    import torch

    found = []
    for expanded in (False, True):
        trainee, rows = loaded(dropout=dropout)
        found.append(end_to_end(trainee, rows, expanded=expanded))
        kinds = {m.frozen.weight.dtype for m in trainee.peft.modules() if hasattr(m, "frozen")}
        assert kinds == {torch.float32 if expanded else torch.uint8}
    assert torch.equal(found[1][0], found[0][0])
    assert torch.equal(found[1][1], found[0][1])


def test_a_cpu_keeps_weights_expanded_where_the_batch_leaves_room(
    loaded: Callable[..., Loaded], monkeypatch: pytest.MonkeyPatch
) -> None:
    from packager.process import machine
    from packager.training import compute, memory
    from packager.training.parallel import World

    trainee, rows = loaded()
    model, config = trainee.peft.get_base_model(), Train.model_validate({})
    longest, examples = max(len(row.ids) for row in rows), config.batch.examples_per_step
    shape = memory.shape_of(model, model.config, 0.0, compiled=False)
    needed = memory.need_on_a_cpu(shape, model.config.num_attention_heads, 4, longest, examples)
    batch = examples * longest * (model.config.vocab_size * 4 + 2 * shape.kept * shape.layers)
    assert needed > memory.CPU_OVERHEAD + 4 * shape.packed + batch
    for free, expanded in ((needed, True), (needed - 1, False), (0, False)):
        monkeypatch.setattr(machine, "available_ram", lambda free=free: free)
        plan = memory.choose(trainee, config, [len(row.ids) for row in rows], 10)
        assert plan == replace(memory.SIDE_BY_SIDE, expanded=expanded)
        assert not memory.choose(trainee, config, [longest], 10, World(size=2)).expanded
        compute.choose(trainee, rows, plan, 4)
        kinds = {m.frozen.absmax is None for m in trainee.peft.modules() if hasattr(m, "frozen")}
        assert kinds == {expanded}


@pytest.mark.parametrize("config", ["BloomConfig", "FalconConfig", "Gemma3nTextConfig"])
def test_the_width_of_layers_whose_config_does_not_say_it(config: str) -> None:
    import transformers
    from torch import nn

    from packager.training.memory import shape_of

    kind = getattr(transformers, config)(hidden_size=64, num_hidden_layers=2, num_attention_heads=4, vocab_size=100)
    shape = shape_of(nn.Linear(2, 2), kind, 0.0, compiled=True)
    assert shape.largest >= 4 * 64 * 4 * 64
    assert shape.layers == 2


def test_dropout_is_even_and_follows_its_seed() -> None:
    import torch

    from packager.training.lora_linear import _drop

    def dropped(seed: int, salt: int) -> Any:
        given = (torch.tensor([n], dtype=torch.int32) for n in (seed, salt))
        return _drop(torch.ones(256, 1024), 0.1, *given)

    first = dropped(1, 1)
    lost = (first == 0).float()
    assert lost.mean().item() == pytest.approx(0.1, abs=2e-3)
    assert first.max().item() == pytest.approx(1 / 0.9)
    assert lost.mean(0).std().item() == pytest.approx((0.09 / 256) ** 0.5, rel=0.1)  # as of independent draws
    assert lost.mean(1).std().item() == pytest.approx((0.09 / 1024) ** 0.5, rel=0.1)
    assert torch.equal(first, dropped(1, 1))
    for other in (dropped(2, 1), dropped(1, 2)):
        both = (lost * (other == 0)).mean().item()
        assert both == pytest.approx(0.01, abs=1e-3)


def test_fp16_as_a_card_without_bf16_computes(loaded: Callable[..., Loaded]) -> None:
    import torch

    exact = end_to_end(*loaded())
    half = end_to_end(*loaded(torch.float16))
    assert half[0][0].item() == pytest.approx(exact[0][0].item(), rel=1e-2)
    assert torch.nn.functional.cosine_similarity(half[1], exact[1], dim=0).item() > 0.999


def test_metrics_of_a_batch(loaded: Callable[..., Loaded]) -> None:
    """Right guesses and entropy, against the plain logits."""
    import torch

    trainee, rows = loaded()
    sums, _ = end_to_end(trainee, rows)
    right, entropy = 0, 0.0
    with torch.no_grad():
        for row in rows:
            log_p = trainee.peft(input_ids=torch.tensor([row.ids])).logits[0].float().log_softmax(-1)
            for i in range(1, len(row.ids)):
                if row.trained[i]:
                    right += int(log_p[i - 1].argmax().item() == row.ids[i])
                    entropy -= (log_p[i - 1].exp() * log_p[i - 1]).sum().item()
    assert sums[1].item() == right
    assert sums[2].item() == pytest.approx(entropy, rel=1e-4)


def test_lots_hold_what_they_may_and_sizes_are_few() -> None:
    from packager.prompt.masking import Encoded
    from packager.training import flat

    rows = [Encoded((1,) * n, (False,) + (True,) * (n - 1)) for n in (5, 90, 33, 70, 12, 60, 8, 41)]
    lots = flat.split(rows, 100)
    assert sorted(len(r.ids) for lot in lots for r in lot) == sorted(len(r.ids) for r in rows)
    assert all(sum(len(r.ids) for r in lot) <= 100 for lot in lots)
    assert flat.split(rows, 10_000) == [sorted(rows, key=lambda r: -len(r.ids))]
    sizes = {flat.size_for(n) for n in range(1, 40_000)}
    assert all(flat.size_for(n) >= n for n in range(1, 40_000, 7))
    assert all(flat.size_for(n) <= n * 1.125 + 16 for n in range(1, 40_000, 7))
    assert len(sizes) < 100


def test_a_plan_takes_the_memory_there_is_and_says_when_it_is_too_little() -> None:
    from packager.errors import MissingResource
    from packager.training.memory import GIB, Shape, need, plan

    shape = Shape(
        layers=28, kept=110_000, input=3072, largest=2 * 2 * 1536 * 8960, logit=151_936 * 4, adapter=18_464_768,
        packed=1_310_195_712,
    )  # fmt: skip
    lengths = [60, 120, 260]

    def made(room: float, **changes: Any) -> Any:
        return plan(shape, int(room * GIB), lengths, 2000, flash=True, compiled=True)

    roomy, tight = made(120), made(3)
    assert not roomy.recompute
    assert roomy.record
    assert roomy.tokens >= 2000
    assert roomy.expanded
    assert roomy.smaller(260) == replace(roomy, expanded=False)
    assert tight.recompute
    assert not tight.expanded
    for room, found in ((120, roomy), (3, tight)):
        assert need(shape, found) <= room * GIB
    smaller = tight.smaller(260)
    while smaller is not None:
        assert smaller.tokens >= 260
        tight, smaller = smaller, smaller.smaller(260)
    with pytest.raises(MissingResource, match="more are needed for rows of 288 tokens") as caught:
        made(0.5)
    assert "data.max_tokens" in caught.value.fix
