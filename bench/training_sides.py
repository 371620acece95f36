"""The ways to train that are compared: the original scripts' way, a plain packed step, and ours."""

from __future__ import annotations

import contextlib
import gc
import itertools
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import training_models as models

from packager.artifacts.kinds import Checkpoint
from packager.process.memory import keep_freed_memory
from packager.prompt.masking import Encoded
from packager.recipe.sections import Train
from packager.training import attention, compute, memory, model, step
from packager.training.parallel import ALONE, World
from packager.training.run import Run, optimizer

GPU = torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
HAS_FLASH = attention.has_flash
SOURCE = Checkpoint.model_construct(source="random weights", revision="")


def recipe(shape: models.Shape, dropout: float, examples: int, **changes: Any) -> Train:
    """The recipe of the original: rank 16, alpha 32."""
    lora = {"rank": 16, "alpha": 32, "dropout": dropout, "targets": shape.targets}
    given = {"lora": lora, "batch": {"examples_per_step": examples}, "learning_rate": 2e-4, "epochs": 1}
    return Train.model_validate(given | changes)


def measured(device: torch.device) -> dict[str, float]:
    """Peak memory of a side, which begins anew."""
    if device.type != "cuda":
        return {}
    found = {"peak_gib": round(torch.cuda.max_memory_allocated() / 2**30, 2)}
    cap(None)
    return found


def stock(shape: models.Shape, device: torch.device, dtype: torch.dtype, dropout: float, *, nf4: bool = True) -> Any:
    """The model with peft's adapter, nothing of ours."""
    from peft import LoraConfig, get_peft_model

    lora = LoraConfig(task_type="CAUSAL_LM", r=16, lora_alpha=32, lora_dropout=dropout, target_modules=shape.targets)
    adapted = get_peft_model(models.model(shape, device, dtype, nf4=nf4), lora)
    adapted.train()
    return adapted


def timed(steps: Iterator[int], device: torch.device) -> float:
    """Real tokens a second over the steps after the first."""
    next(steps)
    if device.type == "cuda":
        torch.cuda.synchronize()
    began = time.monotonic()
    tokens = sum(steps)
    if device.type == "cuda":
        torch.cuda.synchronize()
    return tokens / (time.monotonic() - began)


def original(
    shape: models.Shape, rows: Sequence[Encoded], steps: int, *, cap_gib: float | None = None, pad_to: int | None = None
) -> dict[str, Any]:
    """NF4, small padded batches, gradient checkpointing, autocast, loss on every token, paged 8-bit AdamW."""
    import bitsandbytes as bnb

    how = shape.original
    adapted = stock(shape, GPU, torch.bfloat16, 0.05)
    cap(cap_gib)
    adapted.gradient_checkpointing_enable({"use_reentrant": False})
    adapted.enable_input_require_grads()
    parameters = [p for p in adapted.parameters() if p.requires_grad]
    optimizer = bnb.optim.PagedAdamW8bit(parameters, lr=2e-4)
    scaler = torch.amp.GradScaler(enabled=how["autocast"] == torch.float16)

    def run() -> Iterator[int]:
        for chosen in itertools.islice(itertools.batched(itertools.cycle(rows), shape.examples_per_step), steps + 1):
            for part in itertools.batched(chosen, how["batch"]):
                ids, mask, labels = (t.to(GPU) for t in padded(part, how["pad_to"] and (pad_to or how["pad_to"])))
                with torch.autocast("cuda", how["autocast"]):
                    loss = adapted(input_ids=ids, attention_mask=mask, labels=labels, use_cache=False).loss
                scaler.scale(loss * how["batch"] / shape.examples_per_step).backward()
            scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()
            yield sum(len(row.ids) for row in chosen)

    return {"tokens_per_second": timed(run(), GPU)} | measured(GPU)


def padded(rows: Sequence[Encoded], width: int | None) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """ids, attention mask and labels (on every token) [rows, width]."""
    width = width or max(len(row.ids) for row in rows)
    ids, mask = torch.zeros((len(rows), width), dtype=torch.int64), torch.zeros((len(rows), width), dtype=torch.int64)
    for i, row in enumerate(rows):
        ids[i, : len(row.ids)], mask[i, : len(row.ids)] = torch.tensor(row.ids), 1
    return ids, mask, ids.masked_fill(mask == 0, -100)


def plain(shape: models.Shape, rows: Sequence[Encoded], steps: int) -> dict[str, Any]:
    """A plain packed step: rows end to end with sdpa's mask, transformers and peft as they come, fused AdamW."""
    adapted = stock(shape, GPU, torch.bfloat16, 0.05)
    parameters = [p for p in adapted.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=2e-4, fused=True)

    def run() -> Iterator[int]:
        for chosen in itertools.islice(itertools.batched(itertools.cycle(rows), shape.examples_per_step), steps + 1):
            ids = torch.tensor([[i for row in chosen for i in row.ids]], device=GPU)
            positions = torch.cat([torch.arange(len(row.ids)) for row in chosen])[None].to(GPU)
            with torch.autocast("cuda", torch.bfloat16):
                adapted(input_ids=ids, position_ids=positions, labels=ids, use_cache=False).loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            optimizer.zero_grad()
            yield ids.shape[1]

    return {"tokens_per_second": timed(run(), GPU)} | measured(GPU)


def naive_cpu(shape: models.Shape, rows: Sequence[Encoded]) -> Iterator[int]:
    """The loop people write: padded batches in random order, all logits, loss on the answers, AdamW; 16/32-bit LoRA.

    Takes a step for each `next`, and yields its real tokens."""
    device = torch.device("cpu")
    adapted = stock(shape, device, model.compute_dtype(device), 0.0, nf4=False)
    parameters = [p for p in adapted.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=2e-4)
    endless, examples = itertools.cycle(rows), shape.examples_per_step
    while True:
        chosen = list(itertools.islice(endless, examples))
        ids, mask, labels = padded(chosen, None)
        for i, row in enumerate(chosen):
            labels[i, : row.trained.index(True)] = -100
        adapted(input_ids=ids, attention_mask=mask, labels=labels, use_cache=False).loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        yield sum(len(row.ids) for row in chosen)


def ours_cpu(shape: models.Shape, rows: Sequence[Encoded], method: str) -> Iterator[int]:
    """Our loop on a CPU, likewise a step at a time."""
    device = torch.device("cpu")
    dtype = model.compute_dtype(device)
    config = recipe(shape, 0.0, shape.examples_per_step, method=method, epochs=1000)
    base = models.model(shape, device, dtype, nf4=method == "qlora")
    base.set_attn_implementation("eager")  # as `model.load` does for rows so short
    keep_freed_memory(1 << 30, (1 << 31) - 1)
    trainee = model.adapt(base, config, SOURCE, device, dtype)
    ways = compute.choose(trainee, rows, memory.SIDE_BY_SIDE, shape.examples_per_step)
    run = Run(config, 1000, rows, rows[:1], [], trainee, ways, optimizer(config, trainee), Path())
    trainee.peft.train()
    for one in step.steps_ahead(run, 0):
        yield int(step.take(run, one)["tokens"])


def in_turn(ways: dict[str, tuple[Any, ...]], steps: int) -> dict[str, float]:
    """Real tokens a second of each, a function and what to give it, that yields a step's tokens.

    Their steps are taken in turn, so that what else the machine does strikes all alike; each in a
    process of its own, so that what one asks of the memory allocator serves it alone.
    """
    context = multiprocessing.get_context("spawn")
    ends = {name: context.Pipe() for name in ways}
    for name, (make, *given) in ways.items():
        context.Process(target=step_when_asked, args=(ends[name][1], make, given), daemon=True).start()
    tokens, seconds = dict.fromkeys(ways, 0), dict.fromkeys(ways, 0.0)
    for number in range(1 + steps):
        for name, (asked, _) in ends.items():
            asked.send(None)
            found = asked.recv()
            if number:  # the first is for warming up
                tokens[name] += found[0]
                seconds[name] += found[1]
    return {name: tokens[name] / seconds[name] for name in ways}


def step_when_asked(asked: Any, make: Callable[..., Iterator[int]], given: Sequence[Any]) -> None:
    """The other process: a step and its seconds for each message, until nobody asks any more."""
    way = make(*given)
    with contextlib.suppress(EOFError):
        while asked.recv() is None:
            began = time.monotonic()
            tokens = next(way)
            asked.send((tokens, time.monotonic() - began))


def prepared(
    shape: models.Shape,
    rows: Sequence[Encoded],
    config: Train,
    out: Path,
    *,
    world: World = ALONE,
    cap_gib: float | None = None,
    t4: bool = False,
    **changes: Any,
) -> Run:
    """Our trainer, as the train stage sets it up for 1,000 steps; `changes` are to the plan.

    `t4`: as on a card without bf16 and FlashAttention.
    """
    dtype = torch.float16 if t4 else model.compute_dtype(GPU)
    base = models.model(shape, GPU, torch.bfloat16, nf4=config.method == "qlora")
    for parameter in base.parameters() if t4 else ():  # buffers stay: rotations are kept in fp32
        parameter.data = parameter.data.half() if parameter.is_floating_point() else parameter.data
    trainee = model.adapt(base, config, SOURCE, GPU, dtype)
    cap(cap_gib)
    attention.has_flash = (lambda *_: False) if t4 else HAS_FLASH
    steps = 1000
    plan = replace(memory.choose(trainee, config, [len(row.ids) for row in rows], steps, world), **changes)
    ways = compute.choose(trainee, rows, plan, config.batch.examples_per_step)
    scale = 2.0**16 if t4 else 1.0
    return Run(
        config, steps, rows, rows[:1], [], trainee, ways, optimizer(config, trainee), out, world, loss_scale=scale
    )


def cap(gib: float | None) -> None:
    """Let this process have no more of the GPU's memory than that (None: all of it)."""
    gc.collect()
    if GPU.type != "cuda":
        return
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    total = torch.cuda.get_device_properties(GPU).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, gib * 2**30 / total) if gib else 1.0)


def ours(
    shape: models.Shape,
    rows: Sequence[Encoded],
    steps: int,
    *,
    examples: int = 0,
    dropout: float = 0.05,
    profile: bool = False,
    **changes: Any,
) -> dict[str, Any]:
    """Our loop itself; the figure is that of the second half of the steps."""
    examples = examples or shape.examples_per_step
    method = changes.pop("method", "qlora")
    config = recipe(shape, dropout, examples, method=method, max_steps=steps, epochs=1000, checkpoint_seconds=1e9)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as out:
        run = prepared(shape, rows, config, Path(out), **changes)
        run.trainee.peft.train()
        ahead = step.steps_ahead(run, 0)
        for one in itertools.islice(ahead, steps):
            run.metrics.append(step.take(run, one))
        kernels = profiled(lambda: step.take(run, next(ahead))) if profile else {}
    late = run.metrics[steps // 2 :]
    return (
        {
            "tokens_per_second": sum(r["tokens"] for r in late) / sum(r["seconds"] for r in late),
            "median_step_ms": statistics.median(r["seconds"] for r in late) * 1e3,
            "tokens_per_step": sum(r["tokens"] for r in late) / len(late),
            "set_up_s": round(time.monotonic() - began - sum(r["seconds"] for r in late), 1),
            "way": type(run.compute).__name__ + (" masked" if getattr(run.compute, "masked", False) else ""),
            "plan": str(getattr(run.compute, "plan", "")),
            "recordings": len(run.compute.recorder.recordings) if hasattr(run.compute, "recorder") else 0,
        }
        | kernels
        | measured(GPU)
    )


def profiled(step: Callable[[], object]) -> dict[str, Any]:
    """What the GPU did in one step: kernels, milliseconds, and the largest items."""
    from torch.profiler import ProfilerActivity, profile

    step()
    torch.cuda.synchronize()
    began = time.monotonic()
    with profile(activities=[ProfilerActivity.CUDA]) as recorded:
        step()
        torch.cuda.synchronize()
    wall = time.monotonic() - began
    events = sorted(recorded.key_averages(), key=lambda e: -e.self_device_time_total)
    kernels = [
        (e.key[:70], e.count, round(e.self_device_time_total / 1e3, 2)) for e in events if e.self_device_time_total
    ]
    return {
        "profile_wall_ms": round(wall * 1e3, 1),
        "kernels": sum(k[1] for k in kernels),
        "kernel_ms": round(sum(k[2] for k in kernels), 1),
        "largest": kernels[:28],
    }


def matmul_peak() -> float:
    """bf16 FLOP/s of an 8192-cubed product."""
    a, b = (torch.randn(8192, 8192, device=GPU, dtype=torch.bfloat16) for _ in range(2))
    for _ in range(5):
        a @ b
    events = [torch.cuda.Event(enable_timing=True) for _ in range(2)]
    events[0].record()
    for _ in range(20):
        a @ b
    events[1].record()
    torch.cuda.synchronize()
    return 20 * 2 * 8192**3 / (events[0].elapsed_time(events[1]) / 1e3)


def flops_per_token(shape: models.Shape) -> float:
    """Of one training token: frozen weights twice forward, twice for the gradient of their input; adapters thrice."""
    c = shape.config
    hidden, inner = c["hidden_size"], c["intermediate_size"]
    key = hidden * c["num_key_value_heads"] // c["num_attention_heads"]
    linear = c["num_hidden_layers"] * (2 * hidden * hidden + 2 * hidden * key + 3 * hidden * inner)
    matrices = 6 * hidden + 2 * key + 3 * inner + 5 * hidden if "q_proj" in str(shape.targets) else 0
    adapter = 16 * c["num_hidden_layers"] * (matrices or 4 * hidden + 2 * key + 2 * hidden + 3 * inner)
    return 4 * (linear + models.TRAINED * hidden * c["vocab_size"]) + 6 * adapter


def both(shape: models.Shape, rows: Sequence[Encoded], steps: int, examples: int, world: World) -> dict[str, Any]:
    """What one of several processes does: `examples` a step in all."""
    global GPU
    GPU = torch.device("cuda", torch.cuda.current_device())
    return ours(shape, rows, steps, examples=examples, world=world, compiled=False)
