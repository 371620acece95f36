"""A base model's folder -> a model with a LoRA adapter, ready to train.

NF4 weights for qlora, 32- or 16-bit ones for lora; adapters always in fp32. Fails with `InputError`
if the model has none of the layers that the recipe names.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from packager.artifacts.kinds import Checkpoint
from packager.errors import InputError
from packager.process.memory import keep_freed_memory
from packager.recipe.sections import Lora, Train
from packager.training import attention, lora_linear
from packager.training.parallel import ALONE, World

NF4_BYTES, ROOMY = 0.6, 0.6
"""Bytes a weight in NF4, and the share of a card that the weights may take before they are divided."""
ALIGNED = 64
"""Matrices begin at multiples of so many numbers, as kernels like it."""


@dataclass(frozen=True)
class Trainee:
    """The model in training."""

    peft: Any
    device: torch.device
    dtype: torch.dtype
    """What the model computes in."""
    parameters: dict[str, nn.Parameter]
    """The adapter's matrices, by name: views of `weights`, as their gradients are of its gradient."""
    weights: nn.Parameter
    """All of the adapter in one vector, so that a step is a few operations and not a few for each matrix."""
    seed: Tensor | None = None
    """What dropout on a GPU depends on, int32 [1]; None on a CPU, where it draws torch's random numbers."""
    sharded: bool = False
    """Whether each process holds a slice of the frozen weights only."""


DROPOUTS = ("attention_dropout", "residual_dropout", "resid_pdrop", "embedding_dropout", "hidden_dropout", "dropout")
"""What transformers' models call a share that they drop in training."""


def load(
    config: Train, base: Checkpoint, mean_tokens: float, world: World = ALONE, *, sharded: bool = False
) -> Trainee:
    """The base model with a fresh adapter, on the GPU if there is one; `mean_tokens` a row to come.

    `sharded`: divided among the processes of `world`, as is a model that leaves a card no room.
    """
    device = torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")
    dtype = compute_dtype(device)
    if world.size > 1 and device.type == "cuda":
        weights = base.parameters * (NF4_BYTES if config.method == "qlora" else 2)
        sharded = sharded or weights > ROOMY * torch.cuda.get_device_properties(device).total_memory
    implementation = "eager" if device.type == "cpu" and mean_tokens < attention.EAGER_BELOW else "sdpa"
    if device.type == "cpu":
        keep_freed_memory(1 << 30, (1 << 31) - 1)  # to map each block anew costs 4 % of a step
    place = torch.device("cpu") if sharded else device
    model = _load_base(base.folder, place, dtype, implementation, quantized=config.method == "qlora")
    return adapt(model, config, base, device, dtype, world if sharded else ALONE)


def adapt(
    model: Any, config: Train, base: Checkpoint, device: torch.device, dtype: torch.dtype, among: World = ALONE
) -> Trainee:
    """A model with a fresh adapter, on `device`; its frozen weights divided `among` processes."""
    withstand_evaluation(model)
    _without_own_dropout(model)
    model.config.use_cache = False
    torch.manual_seed(config.seed)
    adapted = _adapt(model, config.lora, base)
    seed = torch.zeros(1, dtype=torch.int32, device=device) if device.type == "cuda" else None
    if not config.lora.dora:  # DoRA rescales the whole product: peft's own forward does that
        lora_linear.fuse(adapted, seed)
    if among.size > 1:
        lora_linear.shard_frozen(adapted, among, device)
    parameters = {n: p for n, p in adapted.named_parameters() if p.requires_grad}
    return Trainee(adapted, device, dtype, parameters, _in_one(parameters.values(), device), seed, among.size > 1)


def _in_one(parameters: Collection[nn.Parameter], device: torch.device) -> nn.Parameter:
    """Move fp32 parameters and their gradients into one vector each, of which they become views."""
    rooms = [-(-p.numel() // ALIGNED) * ALIGNED for p in parameters]
    whole = nn.Parameter(torch.zeros(sum(rooms), device=device))
    whole.grad = torch.zeros_like(whole)
    pieces = zip(parameters, torch.split(whole.data, rooms), torch.split(whole.grad, rooms), strict=True)
    for parameter, values, grad in pieces:
        values = values[: parameter.numel()].view_as(parameter)
        parameter.data = values.copy_(parameter.data)
        parameter.grad = grad[: parameter.numel()].view_as(parameter)
    return whole


def compute_dtype(device: torch.device) -> torch.dtype:
    """bf16 where the processor multiplies it; else fp16 on a GPU, and fp32 on a CPU, which only emulates fp16."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    abilities = torch.cpu.get_capabilities()
    native = abilities.get("avx512_bf16") or abilities.get("amx_bf16")
    return torch.bfloat16 if native else torch.float32


def _load_base(folder: Path, device: torch.device, dtype: torch.dtype, implementation: str, *, quantized: bool) -> Any:
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig
    from transformers.utils import logging

    logging.disable_progress_bar()
    nf4 = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )
    model = AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=dtype,
        attn_implementation=implementation,
        local_files_only=True,
        trust_remote_code=False,
        **({"quantization_config": nf4, "device_map": {"": str(device)}} if quantized else {}),
    )
    return model if quantized else model.to(device)


def withstand_evaluation(model: nn.Module) -> None:
    """Keep bitsandbytes from repacking NF4 weights.

    On a CPU with AVX512-BF16 the first forward in evaluation mode repacks them in place for a
    kernel without autograd; every later gradient through such a layer is silently zero.
    """
    import bitsandbytes as bnb

    for module in model.modules():
        if isinstance(module, bnb.nn.Linear4bit):
            module.support_avx512bf16_for_cpu = False


def _without_own_dropout(model: nn.Module) -> None:
    """Only the recipe's dropout counts (`train.lora.dropout`): a base's own (Granite's of attention, Starcoder2's)
    would be drawn anew where a layer is computed a second time, and the fast ways of attention have none."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        for name in DROPOUTS:
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)


def _layers(lora: Lora, count: int) -> list[int] | None:
    """The numbers of the layers to adapt, as peft wants them; None for all."""
    if lora.layers == "all":
        return None
    chosen = [count - 1] if lora.layers == "last" else sorted(set(lora.layers))
    if not chosen or chosen[0] < 0 or chosen[-1] >= count:
        raise InputError(f"train.lora.layers: {chosen} are not all layers of this model.", f"use 0 to {count - 1}")
    return chosen


def _refuse_targets(model: Any, targets: Sequence[str], linear: Sequence[str]) -> None:
    """Names that no layer has, which peft passes over where another has; and the embedding's."""
    layers = dict(model.named_modules())
    if absent := [t for t in targets if not any(name == t or name.endswith(f".{t}") for name in layers)]:
        raise InputError(
            f"train.lora.targets: the model has no layer {', '.join(absent)}.", f"it has: {', '.join(linear)}"
        )
    table = next((name for name, layer in layers.items() if layer is model.get_input_embeddings()), "")
    if named := [t for t in targets if table == t or table.endswith(f".{t}")]:
        raise InputError(
            f"train.lora.targets: {named[0]} is the embedding, which an adapter does not train here.",
            f"take {named[0]} out of train.lora.targets",
        )


def _adapt(model: Any, lora: Lora, base: Checkpoint) -> Any:
    from peft import LoraConfig, get_peft_model

    linear = sorted({n.rpartition(".")[2] for n, m in model.named_modules() if isinstance(m, nn.Linear)})
    targets = lora.targets if isinstance(lora.targets, str) else list(lora.targets)
    if isinstance(targets, str) and lora.layers != "all":  # peft takes a choice of layers with a list only
        targets = [name for name in linear if name != "lm_head"]
    if model.config.tie_word_embeddings and "lm_head" in targets:
        raise InputError(
            "train.lora.targets: lm_head is this model's embedding too; an adapter on it cannot be merged.",
            "take lm_head out of train.lora.targets",
        )
    if not isinstance(targets, str):
        _refuse_targets(model, targets, linear)
    shape = LoraConfig(
        task_type="CAUSAL_LM",
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=targets,
        layers_to_transform=_layers(lora, model.config.num_hidden_layers),
        use_rslora=lora.rslora,
        use_dora=lora.dora,
        bias="none",
    )
    try:
        adapted = get_peft_model(model, shape, autocast_adapter_dtype=True)
    except ValueError as error:
        if "arget modules" not in str(error):
            raise
        raise InputError(
            f"train.lora.targets: the model has no layer {targets}.", f"it has: {', '.join(linear)}"
        ) from error
    for settings in adapted.peft_config.values():
        settings.target_modules = sorted(settings.target_modules)  # a set: another order in every process
        settings.base_model_name_or_path = base.source  # not where it lies on this machine
        settings.revision = base.revision or None
    return adapted
