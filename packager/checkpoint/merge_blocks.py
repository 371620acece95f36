"""Tensors and adapter pairs -> FP16 weights on disk, computed block by block on all cores, and what changed.

W + s B A, and what DoRA makes of it, in float32; memory stays bounded whatever the model's size. The change is
measured on the bytes that are written. Fails with `ProofFailed` if a merged weight does not fit FP16.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import ctypes
import math
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from packager.checkpoint import lora
from packager.errors import ProofFailed
from packager.process import child, progress

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from packager.checkpoint.weights import Float32, Reader, Tensor, Writer

BLOCK = 1 << 17
"""Elements computed at once: small enough for a core's cache, large enough for Python's calls not to count."""
KEPT_BYTES = 1 << 24
"""Arrays up to this size take memory that earlier ones gave back."""
REPORT_SECONDS = 0.2
LARGEST_BITS = 0x7BFF
"""65504, the largest finite FP16, as bits; without the sign, the order of bits is that of values."""


@dataclass(frozen=True)
class Block:
    """What was found in some rows of a tensor."""

    written: int
    """Bytes."""
    largest_bits: int = 0
    """Largest |weight| as FP16 bits."""
    delta_square: float = 0.0
    """||change||^2 as written."""
    expected_square: float = 0.0
    """The same before rounding, for DoRA and for tensors that were trained whole."""


@dataclass
class Tally:
    """What the blocks found; threads add to it."""

    total: int
    written: int = 0
    delta_square: float = 0.0
    expected_square: float = 0.0
    """The same before rounding, where the adapter alone does not say it."""
    largest_bits: int = 0
    pairs: set[str] = field(default_factory=set)
    """Names of the weights that an adapter pair was added to."""
    _reported: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, found: Block, pair: str = "") -> None:
        with self._lock:
            self.pairs |= {pair} - {""}
            self.written += found.written
            self.delta_square += found.delta_square
            self.expected_square += found.expected_square
            self.largest_bits = max(self.largest_bits, found.largest_bits)
            now = time.monotonic()
            if now - self._reported > REPORT_SECONDS or self.written == self.total:
                self._reported = now
                progress.update(self.written / 1e6, self.total / 1e6, "MB")

    @property
    def largest_weight(self) -> float:
        import numpy as np

        return float(np.uint16(self.largest_bits).view(np.float16))


def write_merged(
    tensors: Mapping[str, Tensor],
    pairs: Mapping[str, lora.Pair],
    compare: Mapping[str, Tensor],
    out: Path,
    *,
    nf4: bool = False,
) -> Tally:
    """Write every tensor in FP16 (integers as they are), in blocks of rows, on all cores.

    The change is measured where there is a pair, or against `compare` where that names a tensor.
    With `nf4`, the linear layers of the body are rounded to NF4 first.
    """
    from threadpoolctl import threadpool_limits

    from packager.checkpoint import weights
    from packager.checkpoint.float32_model import round_trip

    _keep_memory()
    layout = [(t.name, "F16" if t.dtype in weights.FLOATS else t.dtype, t.shape) for t in tensors.values()]
    tally = Tally(sum(math.prod(shape) * weights.WIDTHS[dtype] for _, dtype, shape in layout))
    with weights.Reader() as reader, weights.Writer(out, layout) as writer:

        def work(job: tuple[Tensor, int, int]) -> None:
            tensor, start, stop = job
            if tensor.dtype not in weights.FLOATS:
                raw = reader.raw(tensor, start, stop)
                writer.write(tensor.name, start, raw)
                tally.add(Block(len(raw)))
                return
            pair, before = pairs.get(tensor.name), compare.get(tensor.name)
            rounded = round_trip(reader.rows(tensor)) if nf4 and _is_rounded(tensor) else None
            for _, first, last in _blocks(tensor) if rounded is not None else [(tensor, start, stop)]:
                old = rounded[first:last] if rounded is not None else None
                found = _block(reader, writer, tensor, first, last, pair, before, old)
                tally.add(found, tensor.name if pair or before else "")

        # Every thread multiplies blocks of its own: with BLAS's threads on top it takes 8 times as long.
        # A matrix that is rounded is held whole: one at a time.
        threads = 1 if nf4 else child.physical_cores()
        with threadpool_limits(1, "blas"), concurrent.futures.ThreadPoolExecutor(threads) as pool:
            jobs = [pool.submit(work, job) for tensor in tensors.values() for job in _blocks(tensor, whole=nf4)]
            try:
                for job in jobs:
                    job.result()
            finally:
                pool.shutdown(cancel_futures=True)
    return tally


def _keep_memory() -> None:
    """Have glibc keep what arrays give back. By default it returns a block's pages to the system, and the
    next block faults them in again, 4 KB at a time: more work than all of the arithmetic."""
    with contextlib.suppress(OSError, AttributeError):  # other C libraries
        mallopt, trim_threshold, mmap_threshold = ctypes.CDLL(None).mallopt, -1, -3  # <malloc.h>
        mallopt(mmap_threshold, KEPT_BYTES)
        mallopt(trim_threshold, 2 * KEPT_BYTES)


def _blocks(tensor: Tensor, *, whole: bool = False) -> Iterator[tuple[Tensor, int, int]]:
    """Blocks of rows; with `whole`, one for a matrix that is rounded to NF4 (its scales are quantized together)."""
    step = max(1, BLOCK * tensor.rows // max(1, tensor.elements))
    if whole and _is_rounded(tensor):
        step = tensor.rows
    for start in range(0, tensor.rows, step):
        yield tensor, start, min(start + step, tensor.rows)


def _is_rounded(tensor: Tensor) -> bool:
    """Is this a matrix that QLoRA trains on in NF4: a linear layer of the body?"""
    return len(tensor.shape) == 2 and ".layers." in tensor.name


def _block(
    reader: Reader,
    writer: Writer,
    tensor: Tensor,
    start: int,
    stop: int,
    pair: lora.Pair | None,
    before: Tensor | None,
    old: Float32 | None,
) -> Block:
    """Merge and write rows [start, stop).

    `old` are the rows to merge into, where they are not those of the file; `before` is the tensor whose
    place this one takes.
    """
    import numpy as np

    from packager.llamacpp.half_precision import from_half, to_half

    new: Float32 | None = None
    if tensor.dtype == "F16" and pair is None and old is None:  # nothing to compute; copied bit by bit
        bits: npt.NDArray[np.uint16] = np.frombuffer(reader.raw(tensor, start, stop), np.uint16)
    else:
        old = reader.rows(tensor, start, stop) if old is None else old
        new = old if pair is None else pair.merged(old, start, stop)
        bits = to_half(new)  # what overflows is found below, and named
    largest = int((bits & 0x7FFF).max(initial=0))
    if largest >= LARGEST_BITS:
        raise ProofFailed(
            f"merge.finite: a merged weight of {tensor.name} is not finite in FP16 (|w| >= 65504).",
            "train with a lower learning rate or alpha; a base made for bfloat16 may not fit FP16",
        )
    writer.write(tensor.name, start, bits.data)
    if before is not None:
        old = reader.rows(before, start, stop)
    if old is None or (pair is None and before is None):
        return Block(bits.nbytes, largest)
    written = from_half(bits.ravel())
    exact = written if new is None else new.ravel()
    computed = before is not None or (pair is not None and pair.magnitude is not None)
    return Block(
        bits.nbytes, largest, _square(written - old.ravel()), _square(exact - old.ravel()) if computed else 0.0
    )


def _square(change: Float32) -> float:
    import numpy as np

    return float(np.dot(change, change))
