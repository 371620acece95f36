"""A trained adapter, read: its pairs of matrices, checked against the base they belong to.

`adapter_model.safetensors` and `adapter_config.json` in peft's format -> `Pair`s by the name of the
base weight, and embeddings that were trained whole. Fails with `ProofFailed` (merge.pairs) if a matrix
has no partner or no base weight.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packager.errors import InputError, ProofFailed

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from packager.checkpoint.weights import Float32, Tensor

    Float64 = npt.NDArray[np.float64]

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
NEUTRAL = {
    "auto_mapping", "base_model_name_or_path", "bias", "ensure_weight_tying", "exclude_modules", "inference_mode",
    "init_lora_weights", "layers_pattern", "layers_to_transform", "lora_alpha", "lora_dropout", "megatron_core",
    "peft_type", "peft_version", "qalora_group_size", "r", "revision", "runtime_config", "target_modules",
    "task_type", "use_dora", "use_rslora",
}  # fmt: skip
"""Fields of adapter_config.json that do not change what s B A means, or are heeded here."""
SAVED = "modules_to_save"
FLOAT64_BITS = 53
"""float64 holds every whole number up to 2^53: rank x 2^n x 2^n for factors of n bits."""
PAIR = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<side>[AB])\.weight")
MAGNITUDE = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_magnitude_vector(\.weight)?")
WHOLE = re.compile(r"base_model\.model\.(?P<name>(lm_head|(.+\.)?embed_tokens)\.weight)")
"""Embedding and head, where modules_to_save names them."""


@dataclass(frozen=True)
class Pair:
    """One adapted matrix: W [out, in] becomes W + scale B A; with DoRA, its rows are then scaled to `magnitude`."""

    a: Float32
    """[rank, in]"""
    b: Float32
    """[out, rank]"""
    scale: float
    magnitude: Float32 | None = None
    """[out]"""

    def merged(self, rows: Float32, start: int, stop: int) -> Float32:
        """What rows [start, stop) of the base's matrix become."""
        import numpy as np

        b, a = self.factors(start, stop)
        new: Float32 = np.asarray(b @ a, np.float32)
        new += rows
        if self.magnitude is not None:
            new *= (self.magnitude[start:stop] / np.linalg.norm(new, axis=1))[:, None]
        return new

    def factors(self, start: int, stop: int) -> tuple[Float64, Float64]:
        """Rows [start, stop) of scale B, [rows, rank + 1], and A, [rank + 1, in], in so few bits that float64 holds
        every sum of their products exactly.

        So their product is the same bits on every machine, in whatever order a library or a GPU sums; at rank 16 they
        keep 24 bits, as float32 does, of the largest number in each row of B and of A. The last column of B and row of
        A are 0: whatever is summed with +0 is not -0.
        """
        import numpy as np

        rank = len(self.a)
        bits = (FLOAT64_BITS - (rank - 1).bit_length()) // 2
        rows = self.b[start:stop]
        b, a = np.zeros((len(rows), rank + 1)), np.zeros((rank + 1, self.a.shape[1]))
        # A's rows are made alike by powers of two, which B's columns take over.
        powers = np.ldexp(1.0, np.frexp(np.abs(self.a).max(axis=1, initial=0))[1])
        a[:rank] = np.rint(self.a * (2.0**bits / powers[:, None])) * 2.0**-bits
        scaled = rows * np.float32(self.scale) * powers
        unit = np.ldexp(1.0, np.frexp(np.abs(scaled).max(axis=1, initial=0, keepdims=True))[1] - bits)
        b[:, :rank] = np.rint(scaled / unit) * unit
        return b, a

    @property
    def expected_square(self) -> float:
        """||scale B A||^2 (Frobenius) without forming B A: the trace of (B^T B)(A A^T). With DoRA the change
        depends on the base, and this is no measure of it."""
        import numpy as np

        a, b = self.a.astype(np.float64), self.b.astype(np.float64)
        return float(self.scale**2 * np.sum((b.T @ b) * (a @ a.T)))


def unusual(folder: Path, base: Path) -> str:
    """Why this adapter of the model in `base` needs peft's own merge ('' for LoRA, rsLoRA, DoRA, and an
    embedding and a head of its own where the base does not tie them)."""
    from packager.checkpoint import weights

    config = _config(folder)
    names = sorted(name for name, value in config.items() if value and name not in {*NEUTRAL, SAVED})
    if config.get("peft_type") != "LORA":
        names.append(f"peft_type {config.get('peft_type')}")
    if config.get("bias", "none") != "none":
        names.append("bias")
    if config.get("init_lora_weights", True) not in (True, False, "gaussian"):
        names.append(f"init_lora_weights {config['init_lora_weights']}")  # such a start changes the base
    known = (
        [PAIR, MAGNITUDE] if _config(base, "config.json").get("tie_word_embeddings", True) else [PAIR, MAGNITUDE, WHOLE]
    )
    others = [n for n in weights.header(folder / WEIGHTS) if not any(kind.fullmatch(n) for kind in known)]
    return ", ".join(names + ([SAVED] if config.get(SAVED) and others else []) + others[:1])


def read_pairs(folder: Path, tensors: Mapping[str, Tensor]) -> dict[str, Pair]:
    """The adapter's matrices by the name of the base weight they change.

    Raises `ProofFailed` (merge.pairs) unless every A has its B (and with DoRA its magnitude), and each
    pair one base weight of the right shape.
    """
    from packager.checkpoint import weights

    config = _config(folder)
    rank = int(config["r"])
    scale = config["lora_alpha"] / (math.sqrt(rank) if config.get("use_rslora") else rank)
    sides: dict[str, dict[str, Float32]] = {}
    magnitudes: dict[str, Float32] = {}
    with weights.Reader() as reader:
        for name, tensor in weights.header(folder / WEIGHTS).items():
            if match := PAIR.fullmatch(name):
                sides.setdefault(f"{match['module']}.weight", {})[match["side"]] = reader.rows(tensor)
            elif match := MAGNITUDE.fullmatch(name):
                magnitudes[f"{match['module']}.weight"] = reader.rows(tensor).reshape(-1)
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
        elif config.get("use_dora", False) != (name in magnitudes) or len(magnitudes.get(name, side["B"])) != shape[0]:
            faults.append(f"{name}: the magnitude is not that of {shape[0]} rows")
    if faults:
        some = "\n".join(f"  - {fault}" for fault in faults[:5])
        raise ProofFailed(
            f"merge.pairs: {len(faults)} of {max(1, len(sides))} adapter pairs do not fit the base.\n{some}",
            "merge into the base that the adapter was trained on",
        )
    return {name: Pair(side["A"], side["B"], scale, magnitudes.get(name)) for name, side in sides.items()}


def read_whole(folder: Path, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Embedding and head that were trained whole, by the name of the base weight whose place they take."""
    from packager.checkpoint import weights

    header = weights.header(folder / WEIGHTS).items()
    found = {match["name"]: tensor for name, tensor in header if (match := WHOLE.fullmatch(name))}
    for name, tensor in found.items():
        if name not in tensors or tensors[name].shape != tensor.shape:
            raise ProofFailed(
                f"merge.pairs: {name} of the adapter has {list(tensor.shape)}, which is not in the base.",
                "merge into the base that the adapter was trained on",
            )
    return {name: replace(tensor, name=name) for name, tensor in found.items()}


def adapted(folder: Path) -> set[str]:
    """Names of the base weights that an adapter of any kind changes."""
    from packager.checkpoint import weights

    names = weights.header(folder / WEIGHTS)
    return {f"{match['module']}.weight" for name in names if (match := PAIR.match(name))}


def _config(folder: Path, name: str = CONFIG) -> dict[str, Any]:
    try:
        config: dict[str, Any] = json.loads((folder / name).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{name} is not readable: {error}", "train again") from error
    return config
