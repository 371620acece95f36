"""Rows as tokens, in the order they are trained, as padded tensors.

`train.jsonl` -> `Encoded` rows -> steps of row numbers -> `Batch`. Fails with `InputError` on a row
that nothing can be learned from.
"""

from __future__ import annotations

import functools
import itertools
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from packager.artifacts.kinds import Dataset
from packager.errors import InputError
from packager.prompt import masking
from packager.prompt.masking import Encoded
from packager.prompt.template import load_template, load_tokenizer

WINDOW = 16
"""Steps whose rows are sorted by length together: little padding, and still a random order."""


@dataclass(frozen=True)
class Batch:
    """Rows side by side. A row's padding is on the right, where causal attention never looks."""

    prefix: Tensor
    """[1, p] int64: the tokens that all rows begin with, computed once (p may be 0)."""
    ids: Tensor
    """[rows, length] int64: the tokens after the prefix, padded."""
    positions: Tensor
    """[n] int64: places in the prefix and the flattened `ids` after it whose next token is trained."""
    targets: Tensor
    """[n] int64: those next tokens."""

    def to(self, device: torch.device) -> Batch:
        """On `device`, not waiting for the copy."""
        move = functools.partial(Tensor.to, device=device, non_blocking=True)
        return Batch(move(self.prefix), move(self.ids), move(self.positions), move(self.targets))


def read(path: Path, data: Dataset) -> list[Encoded]:
    """The conversations of a JSONL file of the data stage, as tokens with their mask."""
    template, tokenizer = load_template(data.folder), load_tokenizer(data.folder)
    rows = []
    with path.open(encoding="utf-8") as file:  # not splitlines: U+2028 is a character like any other here
        lines = list(file)
    for number, line in enumerate(lines, 1):
        row = masking.encode(template, tokenizer, data.end_of_turn, json.loads(line)["messages"])
        if not any(row.trained[1:]):
            raise InputError(f"{path.name}, row {number} has no answer to learn.", "leave the row out")
        rows.append(row)
    if not rows:
        raise InputError(f"{path.name} has no rows.", "give more data, or change data.split.fraction")
    return rows


def trained_tokens(rows: Sequence[Encoded]) -> int:
    """How many tokens the loss is summed over."""
    return sum(sum(row.trained[1:]) for row in rows)


def steps(lengths: Sequence[int], examples_per_step: int, seed: int, window: int = WINDOW) -> Iterator[list[int]]:
    """The row numbers of each optimizer step, epoch after epoch, without end.

    Rows are sorted by length within `window` steps (1: not at all). Depends on nothing but its
    arguments, so a resumed run continues in the same order.
    """
    epoch = 0
    while True:
        yield from _epoch(lengths, examples_per_step, random.Random(f"{seed}/{epoch}"), window)
        epoch += 1


def _epoch(lengths: Sequence[int], examples_per_step: int, chance: random.Random, span: int) -> list[list[int]]:
    """Every row once, in ceil(rows / examples_per_step) steps of equal size (give or take a row)."""
    order = list(range(len(lengths)))
    chance.shuffle(order)
    count = -(-len(order) // examples_per_step)
    edges = [len(order) * i // count for i in range(count + 1)]
    for first in range(0, count, span) if span > 1 else ():
        window = slice(edges[first], edges[min(first + span, count)])
        order[window] = sorted(order[window], key=lengths.__getitem__)
    planned = [order[start:stop] for start, stop in itertools.pairwise(edges)]
    chance.shuffle(planned)
    return planned


def pieces(rows: Sequence[Encoded], size: int) -> list[Sequence[Encoded]]:
    """`rows` in lots of at most `size`, of similar length."""
    ordered = sorted(rows, key=lambda row: len(row.ids))
    return [ordered[i : i + size] for i in range(0, len(ordered), size)]


def collate(rows: Sequence[Encoded], *, share_prefix: bool) -> Batch:
    """Rows -> tensors on the CPU; `share_prefix` sets apart what all rows begin with."""
    shared = _shared(rows) if share_prefix else 0
    width = max(len(row.ids) for row in rows) - shared
    ids = torch.zeros((len(rows), width), dtype=torch.int64)
    positions, targets = [], []
    for number, row in enumerate(rows):
        ids[number, : len(row.ids) - shared] = torch.tensor(row.ids[shared:])
        at = [i for i in range(1, len(row.ids)) if row.trained[i]]
        positions += [number * width + i - 1 for i in at]  # `shared` less in the row, and more before it
        targets += [row.ids[i] for i in at]
    prefix = torch.tensor([rows[0].ids[:shared]], dtype=torch.int64)
    return Batch(prefix, ids, torch.tensor(positions), torch.tensor(targets))


def _shared(rows: Sequence[Encoded]) -> int:
    """Tokens that all rows begin with and that predict nothing trained; 0 for a single row."""
    if len(rows) < 2:
        return 0
    first, last = min(row.ids for row in rows), max(row.ids for row in rows)  # what these share, all do
    common = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False)))
    return min(common, *(row.trained.index(True, 1) - 1 for row in rows))
