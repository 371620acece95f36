"""Training rows through the merged checkpoint -> `imatrix.gguf`: which columns of each matrix matter.

The quantizer keeps small the error that the mean squared input of each column weighs. Rows are the
recipe's own, rendered with its chat template, and never held-out ones, on which the result is judged.
A model whose layers llama.cpp's converter renames in a way of its own gets no file, and a note.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from packager.artifacts.kinds import Checkpoint, Dataset
from packager.data.conversations import TRAIN
from packager.llamacpp.imatrix import IMATRIX, tensor_names, write_imatrix
from packager.process import progress
from packager.prompt.corpus import answer_samples
from packager.prompt.masking import Encoded

if TYPE_CHECKING:
    import torch

    from packager.checkpoint.reference import Reference

TOKENS = 2048
"""Tokens of training rows that are run: see docs/quantizing.md for what more would bring."""
LONGEST = 512
"""Of a longer row, its first so many tokens."""
_BLOCK = re.compile(r"\.(\d+)\.")


def collect(made: Reference, model: Checkpoint, data: Dataset, out: Path) -> None:
    """Write `imatrix.gguf` into `out` for the checkpoint that `made` computes."""
    samples = list(training_samples(data))
    sums: dict[str, torch.Tensor] = {}

    def add(layer: str, inputs: torch.Tensor) -> None:
        square = inputs.double().square().sum(dim=0)
        sums[layer] = sums[layer] + square if layer in sums else square

    made.observe(samples, add)
    blocks = 1 + max((int(m[1]) for layer in sums if (m := _BLOCK.search(layer))), default=-1)
    names = tensor_names(model.architecture, sums, blocks)
    if not names:
        progress.note(f"no importance matrix: llama.cpp names the layers of {model.architecture} otherwise")
        return
    tokens = sum(len(s.ids) for s in samples)
    found = {name: sums[layer].cpu().numpy() for layer, name in names.items()}
    write_imatrix(out / IMATRIX, found, tokens, "training rows")
    progress.note(f"importance of the columns of {len(found)} matrices, from {tokens:,} tokens of training rows")


def training_samples(data: Dataset) -> Iterator[Encoded]:
    """Training rows, spread evenly over them, TOKENS tokens in all."""
    left = TOKENS
    for row in answer_samples(data.folder / TRAIN, data.end_of_turn, TOKENS):
        ids = row.ids[: min(left, LONGEST)]
        yield Encoded(ids)
        left -= len(ids)
        if left <= 0:
            return
