"""Disk and memory that a build takes, held against what there is.

A recipe, its base and the longest row -> `Need`; `check_room` raises `MissingResource` with both figures and what to
change.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from packager.checkpoint.gguf_base import read_gguf
from packager.errors import MissingResource, PackagerError
from packager.process import cgroup, machine
from packager.process.memory import GIGABYTE
from packager.recipe.recipe import Recipe

# Bytes per parameter on disk of the base (dequantized), the merged checkpoint and the F16 file, each.
FP16_BYTES = 2.0
# Bytes per parameter and quantized file; the largest type, Q8_0, has 8.5 bits per weight.
QUANTIZED_BYTES = 1.07
# Positions at which predictions are kept beside the merged checkpoint, 2 bytes for each token of the vocabulary.
KEPT_POSITIONS = 1100
# Resident while training on a CPU: NF4 (0.56 bytes/parameter) or 32-bit weights.
NF4_BYTES, FULL_BYTES = 0.6, 4.0
LIBRARIES_BYTES = 1.8e9
"""torch and the others (0.6e9 after the first step of the default recipe), and what oneDNN keeps for each length of
batch: that recipe's training held 1.2e9 after one step and 2.4e9 after its 80 (bench/results/building.md)."""
HOST_BYTES = 1.2e9
"""Beside a GPU that trains."""
STAGES = ("base", "adapter", "merged", "f16", "gguf")
"""The stages that take much disk or memory."""


@dataclass(frozen=True)
class Need:
    """What a build will take, in bytes."""

    disk: int
    ram: int


def need(
    recipe: Recipe,
    parameters: int,
    waiting: Collection[str] = STAGES,
    *,
    per_token: float = 0.0,
    longest: int = 0,
    linked: bool = False,
    vocabulary: int = 0,
) -> Need:
    """Disk and memory that the stages in `waiting` take for a base of so many parameters, roughly.

    `per_token` bytes are kept for each token of a batch on a CPU (`kept_per_token`), whose rows have up to `longest`.
    A base that is `linked`, a folder of safetensors, takes no disk. Predictions are kept over a `vocabulary` of so many
    tokens.
    """
    copies = FP16_BYTES * len({"base", "merged", "f16"} & set(waiting) - ({"base"} if linked else set()))
    disk = parameters * (copies + QUANTIZED_BYTES * len(recipe.quantize.types) * ("gguf" in waiting))
    disk += 2 * KEPT_POSITIONS * vocabulary * ("merged" in waiting)
    ram = 0.0
    if recipe.train.method != "none" and "adapter" in waiting:
        ram = HOST_BYTES if machine.gpus() else of_training(recipe, parameters, per_token * longest)
    return Need(int(disk), int(ram))


def of_training(recipe: Recipe, parameters: int, row: float) -> float:
    """Bytes that training on a CPU holds, of which each row of a batch keeps `row`."""
    weights = NF4_BYTES if recipe.train.method == "qlora" else FULL_BYTES
    batch = recipe.train.batch
    return LIBRARIES_BYTES + parameters * weights + row * (batch.examples_per_micro_batch or batch.examples_per_step)


@dataclass(frozen=True)
class Shape:
    """What a base says of itself; zeros where it does not."""

    layers: int = 0
    hidden: int = 0
    inner: int = 0
    vocabulary: int = 0


def kept_per_token(shape: Shape) -> float:
    """Bytes that a forward pass keeps for the backward one, a token; 0 where the base does not say.

    Counted as in `training/memory.py`, without fusion: both norms' inputs and outputs, queries, keys, values and what
    attention gives; gate, up and their product; and the fp32 forms of norms and rotations.
    """
    fp16 = machine.computes_in_16_bits()
    values = 9 * shape.hidden + 3 * shape.inner
    return float(shape.layers * ((2 if fp16 else 4) * values + 2 * (8 * shape.hidden + 2 * shape.inner)))


def shape_of(base: Path) -> Shape:
    """The shape of a folder or of a GGUF file."""
    try:
        if not base.is_dir():
            info = read_gguf(base)
            names = ("block_count", "embedding_length", "feed_forward_length")
            found = [*(info.metadata.get(f"{info.architecture}.{name}") for name in names), info.n_vocab]
        else:
            config = json.loads((base / "config.json").read_text(encoding="utf-8"))
            config = config.get("text_config") or config
            fields = ("num_hidden_layers", "hidden_size", "intermediate_size", "vocab_size")
            found = [config.get(field) for field in fields]
    except (OSError, ValueError, AttributeError, PackagerError):
        return Shape()
    return Shape(*(value if isinstance(value, int) else 0 for value in found))


def check_room(needed: Need, folder: Path) -> None:
    """Raise `MissingResource` if the disk or the memory will not do."""
    free = machine.free_disk(folder)
    if free < needed.disk:
        raise MissingResource(
            f"Not enough disk: the build needs about {needed.disk / GIGABYTE:.1f} GB,"
            f" {free / GIGABYTE:.1f} GB are free for {folder}.",
            "free some space, or build on another disk with --build-dir",
        )
    ram = machine.available_ram()
    if ram and ram < needed.ram:
        limit = cgroup.memory_limit()
        within = f" (this container may hold {limit / GIGABYTE:.1f} GB in all)" if limit else ""
        raise MissingResource(
            f"Not enough memory: training needs about {needed.ram / GIGABYTE:.1f} GB,"
            f" {ram / GIGABYTE:.1f} GB are available{within}.",
            "close other programs, set train.batch.examples_per_micro_batch: 1, use train.method: qlora, or a smaller"
            " base" + (", or give the container more memory" if limit else ""),
        )
