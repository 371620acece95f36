"""A trained adapter, read: its pairs of matrices, checked against the base they belong to.

`adapter_model.safetensors` and `adapter_config.json` in peft's format -> `Pair`s by the name of the
base weight. Fails with `ProofFailed` (merge.pairs) if a matrix has no partner or no base weight.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packager.errors import InputError, ProofFailed

if TYPE_CHECKING:
    from packager.weights import Float32, Tensor

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
NEUTRAL = {
    "auto_mapping", "base_model_name_or_path", "bias", "ensure_weight_tying", "exclude_modules", "inference_mode",
    "init_lora_weights", "layers_pattern", "layers_to_transform", "lora_alpha", "lora_dropout", "megatron_core",
    "peft_type", "peft_version", "qalora_group_size", "r", "revision", "runtime_config", "target_modules",
    "task_type", "use_rslora",
}  # fmt: skip
"""Fields of adapter_config.json that do not change what s B A means."""
PAIR = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<side>[AB])\.weight")


@dataclass(frozen=True)
class Pair:
    """One adapted matrix: W [out, in] becomes W + scale B A."""

    a: Float32
    """[rank, in]"""
    b: Float32
    """[out, rank]"""
    scale: float

    @property
    def expected_square(self) -> float:
        """||scale B A||^2 (Frobenius) without forming B A: the trace of (B^T B)(A A^T)."""
        import numpy as np

        a, b = self.a.astype(np.float64), self.b.astype(np.float64)
        return float(self.scale**2 * np.sum((b.T @ b) * (a @ a.T)))


def unusual(folder: Path) -> str:
    """Why this adapter needs peft's own merge ('' if it is plain LoRA or rsLoRA)."""
    from packager import weights

    config = _config(folder)
    names = sorted(name for name, value in config.items() if value and name not in NEUTRAL)
    if config.get("peft_type") != "LORA":
        names.append(f"peft_type {config.get('peft_type')}")
    if config.get("bias", "none") != "none":
        names.append("bias")
    if config.get("init_lora_weights", True) not in (True, False, "gaussian"):
        names.append(f"init_lora_weights {config['init_lora_weights']}")  # such a start changes the base
    others = [n for n in weights.header(folder / WEIGHTS) if not PAIR.fullmatch(n)]
    return ", ".join(names + others[:1])


def read_pairs(folder: Path, tensors: Mapping[str, Tensor]) -> dict[str, Pair]:
    """The adapter's matrices by the name of the base weight they change.

    Raises `ProofFailed` (merge.pairs) unless every A has its B, and each pair one base weight of
    the right shape.
    """
    from packager import weights

    config = _config(folder)
    rank = int(config["r"])
    scale = config["lora_alpha"] / (math.sqrt(rank) if config.get("use_rslora") else rank)
    sides: dict[str, dict[str, Float32]] = {}
    with weights.Reader() as reader:
        for name, tensor in weights.header(folder / WEIGHTS).items():
            match = PAIR.fullmatch(name)
            assert match, "unusual() lets only pairs through"
            sides.setdefault(f"{match['module']}.weight", {})[match["side"]] = reader.rows(tensor)
    faults = [] if sides else ["the adapter holds no matrices"]
    for name, side in sides.items():
        shape = tensors[name].shape if name in tensors else None
        if set(side) != {"A", "B"}:
            faults.append(f"{name}: only {', '.join(side)} of A and B is there")
        elif shape is None:
            faults.append(f"{name}: the base has no such weight")
        elif (side["B"].shape[0], side["A"].shape[1]) != shape or side["A"].shape[0] != side["B"].shape[1]:
            faults.append(f"{name}: B {side['B'].shape} x A {side['A'].shape} does not fit {list(shape)}")
        elif side["A"].shape[0] != rank:
            faults.append(f"{name}: rank {side['A'].shape[0]}, but adapter_config.json says {rank}")
    if faults:
        some = "\n".join(f"  - {fault}" for fault in faults[:5])
        raise ProofFailed(
            f"merge.pairs: {len(faults)} of {max(1, len(sides))} adapter pairs do not fit the base.\n{some}",
            "merge into the base that the adapter was trained on",
        )
    return {name: Pair(side["A"], side["B"], scale) for name, side in sides.items()}


def adapted(folder: Path) -> set[str]:
    """Names of the base weights that an adapter of any kind changes."""
    from packager import weights

    names = weights.header(folder / WEIGHTS)
    return {f"{match['module']}.weight" for name in names if (match := PAIR.match(name))}


def _config(folder: Path) -> dict[str, Any]:
    try:
        config: dict[str, Any] = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{CONFIG} is not readable: {error}", "train again") from error
    return config
