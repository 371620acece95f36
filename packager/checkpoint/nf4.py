"""A matrix rounded to NF4 and back, as bitsandbytes loads it for QLoRA; the same bits on any CPU and GPU.

Blocks of 64 weights are divided by their largest, each quotient becomes the nearest of NF4's 16 values, and the
largest ones are themselves rounded to 8 bits in blocks of 256 (double quantization; Dettmers et al. 2023, QLoRA,
section 3). Every step is one IEEE operation a weight, and the mean that is taken from the largest ones is summed in
float64, so nothing depends on the number of threads or on the device. bitsandbytes sums it in float32: its values
are these within that sum's rounding, which a test holds. (Its own way back, on a CPU, mixes up the scales of a matrix
whose rows are not whole blocks; this one does not.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

BLOCK = 64
"""Weights that share a scale: bitsandbytes' default, which transformers keeps."""
BLOCK_OF_SCALES = 256
PIECE = 1 << 17
"""Weights that a CPU compares at once: they stay in its cache."""


def round_trip(matrix: Tensor) -> Tensor:
    """The matrix [rows, columns] in float32, rounded, on the device that it is on."""
    import torch
    from bitsandbytes import functional

    table: Tensor = functional.get_4bit_type("nf4", device=matrix.device)
    middles = (table[:-1] + table[1:]) / 2
    flat = matrix.reshape(-1)
    padded = torch.nn.functional.pad(flat, (0, -len(flat) % BLOCK)).view(-1, BLOCK)
    largest = padded.abs().amax(dim=1)
    scaled = (padded * (1.0 / largest.clamp(min=1e-38))[:, None]).clamp_(-1, 1)
    values = torch.index_select(table, 0, _nearest(scaled.view(-1), middles)).view(-1, BLOCK)
    values *= _rounded(largest)[:, None]
    return values.view(-1)[: len(flat)].view(matrix.shape)


def _nearest(scaled: Tensor, middles: Tensor) -> Tensor:
    """Which of NF4's values is nearest, int32: how many of the `middles` between them lie below.

    On a CPU numpy counts them one after the other, comparing whole vectors; torch searches for each weight.
    """
    import numpy as np
    import torch

    if scaled.device.type != "cpu":
        return torch.bucketize(scaled, middles, out_int32=True)
    found = np.zeros(len(scaled), np.uint8)
    for start in range(0, len(scaled), PIECE):
        piece = scaled[start : start + PIECE].numpy()
        for middle in middles.numpy():
            found[start : start + PIECE] += piece > middle
    return torch.from_numpy(found).int()


def _rounded(largest: Tensor) -> Tensor:
    """The scales [blocks], rounded to 8 bits about their mean; on the CPU, where they are few."""
    import numpy as np
    import torch
    from bitsandbytes import functional

    scales = largest.cpu()
    mean = torch.tensor(np.float32(scales.numpy().mean(dtype=np.float64)))
    packed, state = functional.quantize_blockwise(scales - mean, blocksize=BLOCK_OF_SCALES)
    found: Tensor = functional.dequantize_blockwise(packed, state) + mean
    return found.to(largest.device)
