"""A checkpoint's matrices as they are asked for: blocks of rows in float32 on the device that computes.

On a GPU a tensor is read and sent once, in its own type, and stays there while there is room, so that a stage
which asks several questions of one checkpoint reads its files once. On a CPU a block is read when it is asked for
and forgotten again. Fails as `weights.Reader` does.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from packager.checkpoint import weights
from packager.checkpoint.change import Block
from packager.checkpoint.lora import Pair
from packager.checkpoint.merge_on_device import merged_on_device
from packager.checkpoint.nf4 import round_trip

if TYPE_CHECKING:
    import torch

BLOCK_ELEMENTS = 8 << 20
"""Elements of a matrix in memory at once (32 MB)."""
ROUNDED_BYTES = 2 << 30
"""Memory that matrices which are being rounded to NF4 may take, all threads together."""
ROUNDING_BYTES = 20
"""Bytes a weight that rounding takes: itself, quotients, their numbers, and what they stand for."""
KINDS = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
"""Types that are sent as they lie in the file: safetensors' name, torch's."""
ROOM = 0.6
"""Share of a GPU's free memory that may hold weights; the rest is for what is computed."""


class Matrices:
    """Blocks of tensors. Made by `opened`; `rounded` may be asked by several threads."""

    def __init__(self, reader: weights.Reader, device: Any, room: int) -> None:
        self.device = device
        self._reader, self._room = reader, room
        self._kept: dict[tuple[str, int], torch.Tensor] = {}
        self._lock = threading.Lock()
        self._computing = threading.Lock()

    @property
    def on_gpu(self) -> bool:
        return bool(self.device.type == "cuda")

    def block(self, tensor: weights.Tensor, start: int, stop: int) -> torch.Tensor:
        """Rows [start, stop) as float32 [rows, elements per row]; not to be written to."""
        import torch

        if self.on_gpu:
            return self._on_gpu(tensor)[start:stop].float()
        rows = self._reader.rows(tensor, start, stop)
        return torch.from_numpy(rows if rows.flags.writeable else rows.copy())

    def rounded(self, tensor: weights.Tensor) -> torch.Tensor:
        """The whole matrix as float32, rounded to NF4, in the processor's memory."""
        import torch

        found = round_trip(self.block(tensor, 0, tensor.rows))
        if not self.on_gpu:
            return found
        sent = torch.empty(found.shape, pin_memory=True)  # the GPU writes there itself; torch keeps such memory
        return sent.copy_(found)

    def merged(
        self, tensor: weights.Tensor, pair: Pair | None, meant: Pair | None, *, nf4: bool
    ) -> tuple[torch.Tensor, Block]:
        """`merged_on_device` of the whole matrix, with `nf4` rounded to that first; its FP16 [out, in] in the
        processor's memory. One matrix at a time is computed: its float32 forms are several times its size."""
        import torch

        with self._computing:
            rows = self.block(tensor, 0, tensor.rows)
            halves, found = merged_on_device(round_trip(rows) if nf4 else rows, pair, meant)
            sent = torch.empty(halves.shape, dtype=torch.float16, pin_memory=self.on_gpu)
            return sent.copy_(halves), found

    def room_to_round(self, elements: int) -> int:
        """How many matrices of so many elements may be rounded and held at once."""
        return ROUNDED_BYTES // (elements * (4 if self.on_gpu else ROUNDING_BYTES))

    def rows(self, tensor: weights.Tensor, numbers: list[int]) -> torch.Tensor:
        """Some rows of an embedding as float32; only these are read."""
        import numpy as np
        import torch

        read = np.concatenate([self._reader.rows(tensor, i, i + 1) for i in numbers])
        return torch.from_numpy(read).to(self.device)

    def blocks(self, tensor: weights.Tensor, *, nf4: bool) -> Iterator[tuple[int, int, torch.Tensor]]:
        """All rows in blocks (start, stop, rows); rounding needs the whole matrix."""
        if nf4:
            yield 0, tensor.rows, round_trip(self.block(tensor, 0, tensor.rows))
            return
        step = max(1, BLOCK_ELEMENTS * tensor.rows // max(1, tensor.elements))
        for start in range(0, tensor.rows, step):
            stop = min(start + step, tensor.rows)
            yield start, stop, self.block(tensor, start, stop)

    def _on_gpu(self, tensor: weights.Tensor) -> torch.Tensor:
        name = (str(tensor.file), tensor.offset)
        with self._lock:
            if name not in self._kept:
                sent = self._sent(tensor)
                size = sent.numel() * sent.element_size()
                if size > self._room:
                    return sent
                self._room -= size
                self._kept[name] = sent
            return self._kept[name]

    def _sent(self, tensor: weights.Tensor) -> torch.Tensor:
        import torch

        if tensor.dtype not in KINDS:
            return torch.from_numpy(self._reader.rows(tensor)).to(self.device)
        size = tensor.rows * tensor.row_bytes
        staged = torch.empty(size, dtype=torch.uint8, pin_memory=True)
        self._reader.into(tensor, staged.numpy().data)
        return staged.to(self.device).view(getattr(torch, KINDS[tensor.dtype])).view(tensor.rows, -1)


@contextlib.contextmanager
def opened() -> Iterator[Matrices]:
    """Matrices on the GPU if there is one."""
    import torch

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    room = int(ROOM * torch.cuda.mem_get_info()[0]) if device.type == "cuda" else 0
    with weights.Reader() as reader:
        yield Matrices(reader, device, room)
