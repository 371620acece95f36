"""Rows end to end in tensors of a few sizes, so that what is compiled or recorded for a size is used again.

`Encoded` rows -> `Flat`, on the CPU, pinned where a GPU will fetch it. Nothing here can fail.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from packager.prompt.masking import Encoded

ROWS = 16
"""Room for rows is made in multiples of this."""


@dataclass(frozen=True)
class Flat:
    """Rows end to end, the room that is left filled with rows of zeros that nobody looks at."""

    ids: Tensor
    """[1, size] int64."""
    positions: Tensor
    """[1, size] int64, from 0 in each row."""
    starts: Tensor
    """[rows + 1] int32: where each row begins, then `size` as often as it takes."""
    where: Tensor
    """[n] int64: places in `ids` whose next token is trained."""
    targets: Tensor
    """[n] int64: those next tokens."""
    longest: int
    """No row is longer."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """What work on it depends on, as long as it leaves `where` and `targets` alone."""
        return self.ids.shape[1], self.starts.shape[0], self.longest

    def to(self, device: torch.device) -> Flat:
        """On `device`, not waiting for the copy."""
        tensors = (self.ids, self.positions, self.starts, self.where, self.targets)
        ids, positions, starts, where, targets = (t.to(device, non_blocking=True) for t in tensors)
        return Flat(ids, positions, starts, where, targets, self.longest)

    def pinned(self) -> Flat:
        """In memory that a GPU fetches from by itself."""
        tensors = (self.ids, self.positions, self.starts, self.where, self.targets)
        ids, positions, starts, where, targets = (t.pin_memory() for t in tensors)
        return Flat(ids, positions, starts, where, targets, self.longest)


def size_for(tokens: int) -> int:
    """The least size for so many: 8 to 15 times a power of two, so that at most an eighth is wasted."""
    step = 16
    while tokens > 16 * step:
        step *= 2
    return -(-tokens // step) * step


def split(rows: Sequence[Encoded], most: int) -> list[list[Encoded]]:
    """`rows` in as few lots as have at most `most` tokens each, about equal; a longer row is a lot of its own."""
    lots = -(-sum(len(row.ids) for row in rows) // most)
    while True:
        bins: list[list[Encoded]] = [[] for _ in range(lots)]
        filled = [0] * lots
        for row in sorted(rows, key=lambda row: -len(row.ids)):
            emptiest = min(range(lots), key=filled.__getitem__)
            bins[emptiest].append(row)
            filled[emptiest] += len(row.ids)
        if all(tokens <= most or len(lot) == 1 for lot, tokens in zip(bins, filled, strict=True)):
            return [lot for lot in bins if lot]
        lots += 1


def lay_out(rows: Sequence[Encoded], longest: int, *, pin: bool) -> Flat:
    """`rows` end to end; `longest` is the longest row there will be."""
    longest = size_for(longest)
    lengths = [len(row.ids) for row in rows]
    total = sum(lengths)
    size = size_for(total)
    spare = size - total
    lengths += [longest] * (spare // longest) + ([spare % longest] if spare % longest else [])
    room = -(-(len(lengths)) // ROWS) * ROWS
    starts = list(itertools.accumulate(lengths, initial=0)) + [size] * (room - len(lengths))
    ids = list(itertools.chain.from_iterable(row.ids for row in rows)) + [0] * spare
    trained = [i for i, on in enumerate(itertools.chain.from_iterable(_next_trained(row) for row in rows)) if on]
    positions = torch.cat([torch.arange(length) for length in lengths])
    flat = torch.tensor(ids)
    where = torch.tensor(trained)
    laid = Flat(flat[None], positions[None], torch.tensor(starts, dtype=torch.int32), where, flat[where + 1], longest)
    return laid.pinned() if pin else laid


def _next_trained(row: Encoded) -> Sequence[bool]:
    return (*row.trained[1:], False)
