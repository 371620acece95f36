"""How much a GPU can take at once, and whether weights stay expanded: a plan from the memory, the model and the rows.

An estimate, made before the first step from the model's shape; should it be too bold on a GPU, the loop falls
back to `MemoryPlan.smaller`. Fails with `MissingResource`, and what to change, when nothing fits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from packager.errors import MissingResource
from packager.process import machine, progress
from packager.recipe.sections import Train
from packager.training import attention, lora_linear
from packager.training.flat import size_for
from packager.training.model import Trainee
from packager.training.parallel import ALONE, World

GIB = 2**30
FLASH_TOKENS, MASK_TOKENS = 16384, 4096
"""More tokens at once bring nothing; under a mask, work grows with their square."""
ENOUGH_TOKENS = 768
"""A batch of so many keeps a GPU busy: rather recompute than take fewer."""
COMPILE_FROM = 3e16
"""Floating-point operations for which compiling (a minute) pays: two minutes of an H100, more of other cards."""
SLACK, OVERHEAD = 0.92, 0.4 * GIB
"""Share of the memory that the allocator can fill, and what CUDA's libraries and graphs take."""
CPU_OVERHEAD = 1.5 * GIB
"""What torch and oneDNN come to hold beside a batch on a CPU: 1.2 GB more after 80 steps of the default recipe than
after the first."""


@dataclass(frozen=True)
class MemoryPlan:
    """How a GPU's memory is used."""

    tokens: int
    """At most so many at once, end to end; 0: rows side by side instead."""
    recompute: bool = False
    """Keep a layer's input only, and compute the layer again for its gradient."""
    compiled: bool = False
    """Layers through torch.compile."""
    record: bool = False
    """Launches as CUDA graphs."""
    chunk: int = 128
    """Positions whose logits exist at once."""
    paged: bool = False
    """The optimizer's state in 8 bits, paged to the host where memory is short."""
    expanded: bool = False
    """NF4 weights are kept as matrices too, which is faster than to expand each of them twice a batch."""

    def without_speedups(self) -> MemoryPlan:
        return replace(self, recompute=False, compiled=False, record=False, expanded=False)

    def smaller(self, longest: int) -> MemoryPlan | None:
        """The next plan that needs less; None if there is none."""
        if self.expanded:
            return replace(self, expanded=False)
        halved = replace(self, tokens=size_for(self.tokens // 2), chunk=max(64, self.chunk // 2))
        if halved.tokens >= (longest if self.recompute else max(longest, ENOUGH_TOKENS)):
            return halved
        return None if self.recompute else replace(self, recompute=True)


SIDE_BY_SIDE = MemoryPlan(tokens=0)


@dataclass(frozen=True)
class Shape:
    """What memory depends on; bytes unless said otherwise."""

    layers: int
    kept: int
    """Per token and layer, for the backward pass."""
    input: int
    """Per token, a layer's input."""
    largest: int
    """The largest weight, expanded."""
    logit: int
    """Per trained position, its logits in all forms."""
    adapter: int
    """Parameters of the adapter (a count)."""
    packed: int = 0
    """Weights in NF4 (a count)."""


def choose(trainee: Trainee, config: Train, lengths: Sequence[int], steps: int, world: World = ALONE) -> MemoryPlan:
    """The plan for this machine and rows of these `lengths`; on a CPU rows lie side by side."""
    if trainee.device.type != "cuda":
        return _on_a_cpu(trainee, config, max(lengths), world)
    batch = config.batch
    flash = attention.has_flash(trainee.device, trainee.dtype)
    model = trainee.peft.get_base_model()
    step_tokens = sum(lengths) * batch.examples_per_step // len(lengths) // world.size
    compiled = 4 * weights_of(model) * steps * step_tokens >= COMPILE_FROM
    shape = shape_of(model, model.config.get_text_config(), config.lora.dropout, compiled=compiled)
    found = plan(shape, available(trainee.device), lengths, step_tokens, flash=flash, compiled=compiled)
    if trainee.sharded:
        found = world.from_first(replace(found, record=False, expanded=False))
    if batch.examples_per_micro_batch:
        found = replace(found, tokens=min(found.tokens, size_for(batch.examples_per_micro_batch * max(lengths))))
    expected = need(shape, found) + torch.cuda.memory_allocated(trainee.device)
    progress.note(f"about {expected / GIB:.1f} GiB of the GPU's memory will be used: {found}")
    return found


def _on_a_cpu(trainee: Trainee, config: Train, longest: int, world: World) -> MemoryPlan:
    """Rows side by side; NF4 weights are kept expanded where that leaves the memory that the largest batch takes. Of
    several processes none does: they share what is free."""
    model = trainee.peft.get_base_model()
    if world.size > 1 or not lora_linear.packed_weights(model):
        return SIDE_BY_SIDE
    settings = model.config.get_text_config()
    shape = shape_of(model, settings, config.lora.dropout, compiled=False)
    rows = config.batch.examples_per_micro_batch or config.batch.examples_per_step
    needed = need_on_a_cpu(shape, settings.num_attention_heads, trainee.dtype.itemsize, longest, rows)
    return replace(SIDE_BY_SIDE, expanded=needed <= machine.available_ram())


def need_on_a_cpu(shape: Shape, heads: int, size: int, longest: int, rows: int) -> int:
    """Bytes beside the NF4 weights with these kept expanded too, in numbers of `size` bytes: for so many rows of the
    `longest`, all logits and the scores of every layer's attention among them."""
    tokens = rows * longest
    scores = 2 * size * heads * longest * tokens * shape.layers
    return int(CPU_OVERHEAD + size * shape.packed + shape.kept * size // 2 * shape.layers * tokens + scores
               + shape.logit * tokens)  # fmt: skip


def weights_of(model: nn.Module) -> int:
    """How many weights its linear layers have."""
    return sum(m.in_features * m.out_features for m in model.modules() if isinstance(m, nn.Linear))


def shape_of(model: nn.Module, config: Any, dropout: float, *, compiled: bool) -> Shape:
    """The shape of an adapted model in 16 bits, of its `config` of transformers."""
    hidden, inner = config.hidden_size, _inner(config)
    heads = config.num_attention_heads
    width = getattr(config, "head_dim", None) or hidden // heads
    query, key = heads * width, (getattr(config, "num_key_value_heads", None) or heads) * width
    # Kept: both norms' inputs and outputs, queries, keys, values, what attention gives; gate, up, their product.
    values = 4 * hidden + 3 * query + 2 * key + 3 * inner
    # Without fusion, norms and rotations also keep results in fp32.
    kept = 2 * values + (0 if compiled else 2 * (8 * hidden + 2 * inner))
    adapted = [m.in_features for n, m in model.named_modules() if n.endswith("base_layer") and isinstance(m, nn.Linear)]
    if dropout:
        kept += 2 * sum(adapted) // config.num_hidden_layers  # the dropped inputs
    return Shape(
        layers=config.num_hidden_layers,
        kept=kept,
        input=2 * hidden,
        largest=2 * 2 * hidden * inner,  # where gate and up are one matrix
        logit=config.vocab_size * (4 if compiled else 14),
        adapter=sum(p.numel() for p in model.parameters() if p.requires_grad),
        packed=lora_linear.packed_weights(model),
    )


def _inner(config: Any) -> int:
    """Width of the feed-forward layers, the widest where they differ; Bloom and some Falcons do not say: four times
    the hidden size."""
    found = getattr(config, "intermediate_size", None) or getattr(config, "ffn_hidden_size", None)
    return int(max(found)) if isinstance(found, (list, tuple)) else int(found or 4 * config.hidden_size)


def need(shape: Shape, plan: MemoryPlan) -> int:
    """Bytes beyond the weights, at the peak of a step of `plan`."""
    working = 2 * shape.kept * plan.tokens  # one layer's results and their gradients
    kept = shape.input * shape.layers * plan.tokens if plan.recompute else shape.kept * shape.layers * plan.tokens
    # fp32 adapter gradients twice (found and summed); Adam's two moments.
    adapter = shape.adapter * (4 + 4 + (2 if plan.paged else 8))
    logits = shape.logit * min(plan.chunk, plan.tokens) + 6 * shape.input * plan.tokens
    once = kept + working + 3 * shape.largest
    expanded = 2 * shape.packed if plan.expanded else 0
    return int(OVERHEAD + adapter + logits + expanded + (2 * once if plan.record else once))  # recordings keep theirs


def available(device: torch.device) -> int:
    """Bytes that this process may still take on a GPU; heeds torch's own limit."""
    free, total = torch.cuda.mem_get_info(device)
    held = torch.cuda.memory_allocated(device)
    limit = int(total * torch.cuda.get_per_process_memory_fraction(device))
    return int(min(free + torch.cuda.memory_reserved(device), limit) * SLACK) - held


def plan(
    shape: Shape, room: int, lengths: Sequence[int], step_tokens: int, *, flash: bool, compiled: bool
) -> MemoryPlan:
    """The fastest plan that fits in `room` bytes for rows of these `lengths`, about `step_tokens` a step.

    `flash`: rows are kept apart without a mask. Raises `MissingResource` if not even the longest row fits.
    """
    longest = size_for(max(lengths))
    most = max(longest, min(size_for(int(1.2 * step_tokens)), FLASH_TOKENS if flash else MASK_TOKENS))
    chunk = max(64, min(8192, most, int(0.04 * room / shape.logit)))
    wanted = max(longest, min(most, ENOUGH_TOKENS))
    for recompute, paged in ((False, False), (True, False), (True, True)):
        plan = MemoryPlan(most, recompute, compiled=compiled, record=True, chunk=chunk, paged=paged)
        while need(shape, plan) > room and plan.tokens > longest:
            plan = replace(plan, tokens=max(longest, size_for(int(plan.tokens * 0.85) - 16)))
        if need(shape, plan) <= room and plan.tokens >= (longest if recompute else wanted):
            expanded = replace(plan, expanded=shape.packed > 0)
            return expanded if need(shape, expanded) <= room else plan
    short = need(shape, plan) - room
    raise MissingResource(
        f"The GPU's memory is too small: {short / GIB:.1f} GiB more are needed for rows of {longest} tokens"
        f" ({room / GIB:.1f} GiB are left beside the model).",
        "lower data.max_tokens, use train.method: qlora, a smaller train.lora.rank or base,"
        " or close what else uses the GPU",
    )
