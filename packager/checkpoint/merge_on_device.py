"""A matrix that lies on the GPU and its pair -> the FP16 bits that the CPU would write, and what changed in them.

What is multiplied has so few bits that no sum of products is rounded (`Pair.factors`), so a merge gives the same bytes
wherever it was computed. Nothing fails here; what does not fit FP16 is seen in `Block.largest_bits`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from packager.checkpoint.change import Block, Change
from packager.checkpoint.lora import Pair

if TYPE_CHECKING:
    from torch import Tensor, device

ROWS_ELEMENTS = 8 << 20
"""Elements merged at once: the float32 forms of a whole matrix would take several times its size."""


def merged_on_device(old: Tensor, pair: Pair | None, meant: Pair | None) -> tuple[Tensor, Block]:
    """FP16 [out, in] of the rows `old` (float32, [out, in]) with `pair` added to them, on their device, and what of the
    update that was `meant` is in it. Neither pair may scale rows (DoRA)."""
    import torch

    written = torch.empty_like(old, dtype=torch.float16)
    found = Block(written.numel() * 2, change=Change() if meant else None)
    step = max(1, ROWS_ELEMENTS // old.shape[1])
    for start in range(0, len(old), step):
        rows = old[start : start + step]
        new = rows if pair is None else _product(pair, start, start + step, rows.device).add_(rows)
        bits = written[start : start + step].copy_(new)
        found += _measured(bits, rows, meant, start)
    return written, found


def _product(pair: Pair, start: int, stop: int, where: device) -> Tensor:
    """Rows [start, stop) of scale B A, in float32."""
    import torch

    b, a = (torch.from_numpy(factor).to(where) for factor in pair.factors(start, stop))
    return (b @ a).float()


def _measured(bits: Tensor, old: Tensor, meant: Pair | None, start: int) -> Block:
    """What `change.change_of` and `merge` measure on a CPU."""
    import torch

    largest = (bits.view(torch.int16) & 0x7FFF).amax()
    if meant is None:
        return Block(0, int(largest))
    b = torch.from_numpy(meant.b[start : start + len(old)].copy()).to(old.device)
    update = (meant.scale * b) @ torch.from_numpy(meant.a.copy()).to(old.device)
    target = old + update
    nearest = target.half().float()
    rounding, odd = nearest - target, bits.float() - nearest
    moved = bits.float() - old
    pairs = ((update, update), (rounding, update), (rounding, rounding), (odd, odd), (odd, update), (moved, moved))
    sums = [(one * other).sum(dtype=torch.float64) for one, other in pairs]
    sums += [(odd * update).square().sum(dtype=torch.float64), largest.double()]
    square, lost, rounded, odd_square, odd_along, moved_square, ties, largest_bits = torch.stack(sums).tolist()
    change = Change(square, square + lost + odd_along, square + lost, rounded, odd_square, ties)
    return Block(0, int(largest_bits), moved_square, change)
