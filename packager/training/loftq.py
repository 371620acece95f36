"""LoftQ: adapters that begin as what NF4 rounding lost, saved so that they merge into the clean base.

`start`: a model in NF4 and its 16-bit weights -> A0, B0 in place, Q + s B0 A0 as near to W as rank r
allows. `rebase`: the trained adapter -> a plain one of rank 2r whose update is s (B A - B0 A0), what
training changed. Source: LoftQ (Li et al. 2023), Algorithm 1 with one iteration: Q is NF4(W), as it
was loaded. Fails with `InputError` if the base has no weight of an adapted layer's name.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import bitsandbytes as bnb
import torch
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file, save_file
from torch import Tensor

from packager.artifacts.files import write_json
from packager.artifacts.kinds import Checkpoint
from packager.checkpoint import lora, weights
from packager.errors import InputError
from packager.process import progress
from packager.training.model import Trainee

BEGUN = "checkpoints/loftq.safetensors"
"""A0 and B0 of every layer: the same ones for a resumed run, on whatever machine."""


def start(trainee: Trainee, base: Checkpoint, out: Path) -> None:
    """Set the fresh adapters of `trainee` to A0, B0 and keep these in `out`, or take those kept there."""
    kept = out / BEGUN
    if not kept.is_file():
        _approximate(trainee, base)
        kept.parent.mkdir(exist_ok=True)
        partial = kept.with_suffix(f".{os.getpid()}.partial")  # every process of a parallel run writes its own
        save_file({_saved(n): p.detach().contiguous() for n, p in trainee.parameters.items()}, partial)
        partial.replace(kept)
    begun = load_file(kept)
    with torch.no_grad():
        for name, parameter in trainee.parameters.items():
            parameter.copy_(begun[_saved(name)])


def factors(lost: Tensor, rank: int, scale: float) -> tuple[Tensor, Tensor]:
    """A [k, in] and B [out, k], k = min(rank, out, in), with scale B A the nearest of its rank to `lost`.

    U S V' cut to rank k (Eckart and Young), found by subspace iteration (Halko et al. 2011); the
    root of S goes to either side.
    """
    with torch.random.fork_rng():  # the training's own random numbers stay as they are
        torch.manual_seed(0)
        u, s, v = torch.svd_lowrank(lost, q=min(2 * rank, *lost.shape), niter=8)
    root = (s[:rank] / scale).sqrt()
    return (v[:, :rank] * root).t(), u[:, :rank] * root


def rebase(out: Path) -> None:
    """Rewrite the adapter saved in `out`, which stands on NF4 weights with A0, B0, for the clean base.

    [B, -B0] [A; A0] = B A - B0 A0; alpha grows so that alpha / r (or alpha / sqrt r) stays as it was.
    """
    begun, trained = load_file(out / BEGUN), load_file(out / lora.WEIGHTS)
    doubled = {
        name: torch.cat((tensor, begun[name])) if ".lora_A." in name else torch.cat((tensor, -begun[name]), dim=1)
        for name, tensor in trained.items()
    }
    config: dict[str, Any] = json.loads((out / lora.CONFIG).read_text(encoding="utf-8"))
    config["r"] *= 2
    config["lora_alpha"] *= math.sqrt(2) if config["use_rslora"] else 2
    save_file(doubled, out / lora.WEIGHTS, metadata={"format": "pt"})
    write_json(out / lora.CONFIG, config)


def _approximate(trainee: Trainee, base: Checkpoint) -> None:
    """A0 and B0 of every adapted NF4 layer; B stays 0 where a layer is not quantized."""
    tensors = weights.checkpoint(base.folder)
    layers = {
        name: module
        for name, module in trainee.peft.named_modules()
        if isinstance(module, LoraLayer) and isinstance(module.get_base_layer(), bnb.nn.Linear4bit)
    }
    with torch.no_grad(), weights.Reader() as reader:
        for number, (name, layer) in enumerate(layers.items(), 1):
            _begin(layer, torch.from_numpy(reader.rows(_tensor(tensors, name))))
            progress.update(number, len(layers), "layers of LoftQ")


def _begin(layer: Any, clean: Tensor) -> None:
    (adapter,) = layer.active_adapters
    a, b, quantized = layer.lora_A[adapter].weight, layer.lora_B[adapter].weight, layer.get_base_layer().weight
    rounded = bnb.functional.dequantize_4bit(quantized.data, quantized.quant_state).float()
    a0, b0 = factors(clean.to(rounded.device) - rounded, a.shape[0], layer.scaling[adapter])
    a[: len(a0)].copy_(a0)
    b[:, : len(a0)].copy_(b0)


def _tensor(tensors: Mapping[str, weights.Tensor], module: str) -> weights.Tensor:
    name = f"{module.removeprefix('base_model.model.')}.weight"
    if name not in tensors:
        raise InputError(f"train.lora.loftq: the base has no weight {name}.", "train without loftq")
    return tensors[name]


def _saved(name: str) -> str:
    """A parameter's name as peft writes it to the file."""
    return name.replace(".default.", ".")
