"""Several processes that train one adapter: each takes its share of a step's rows, gradients are added up.

Every process holds the adapter and takes the same optimizer step, so nothing else is exchanged.
Where a card cannot hold the base, each process keeps a slice of every frozen matrix, and all give
theirs when one is used (`shard`): frozen weights have no gradients, so this is all there is to it.
Alone, everything here does nothing. Started by `launch`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed

from packager.prompt.masking import Encoded


@dataclass(frozen=True)
class World:
    """This process's place among all."""

    rank: int = 0
    size: int = 1
    writes: bool = True
    """Whether it is the one that writes files on its host."""

    def share(self, rows: Sequence[Encoded]) -> list[Encoded]:
        """This process's rows of a step: about as many tokens for each. Every process computes the same division."""
        if self.size == 1:
            return list(rows)
        shares: list[list[Encoded]] = [[] for _ in range(self.size)]
        tokens = [0] * self.size
        for row in sorted(rows, key=lambda row: -len(row.ids)):
            least = min(range(self.size), key=tokens.__getitem__)
            shares[least].append(row)
            tokens[least] += len(row.ids)
        return shares[self.rank]

    def add_up(self, *tensors: Tensor) -> None:
        """Replace each tensor by its sum over all processes."""
        for tensor in tensors if self.size > 1 else ():
            distributed.all_reduce(tensor)

    def agree(self, device: torch.device, *flags: bool) -> list[bool]:
        """Which of the flags hold in any process."""
        if self.size == 1:
            return list(flags)
        found = torch.tensor(flags, dtype=torch.float32, device=device)
        distributed.all_reduce(found)
        return [count > 0 for count in found.tolist()]

    def most(self, count: int, device: torch.device) -> int:
        """The greatest count of any process."""
        if self.size == 1:
            return count
        found = torch.tensor(count, device=device)
        distributed.all_reduce(found, distributed.ReduceOp.MAX)
        return int(found)

    def from_first(self, value: Any) -> Any:
        """The first process's value, in all."""
        if self.size == 1:
            return value
        box = [value]
        distributed.broadcast_object_list(box, src=0)
        return box[0]


ALONE = World()


def shard(weight: Tensor, world: World) -> Tensor:
    """This process's slice of a frozen matrix, flat; all of it where it cannot be divided."""
    flat = weight.reshape(-1)
    if flat.numel() % world.size:
        return weight
    return flat.chunk(world.size)[world.rank].clone()


def whole(piece: Tensor) -> Tensor:
    """What `shard` divided, flat."""
    gathered = piece.new_empty(piece.numel() * distributed.get_world_size())
    distributed.all_gather_into_tensor(gathered, piece)
    return gathered
