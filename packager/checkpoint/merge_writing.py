"""Tensors and the pairs that are added to them -> the merged safetensors, and what changed in them.

Computed in float32, block by block, so memory stays bounded whatever the model's size; what lies on a GPU is merged
there, a matrix at a time, to the same bytes. Fails with `ProofFailed` if a merged weight does not fit FP16.
"""

from __future__ import annotations

import concurrent.futures
import functools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from packager.checkpoint import lora
from packager.checkpoint.change import Block, Tally, change_of, update_of
from packager.errors import ProofFailed
from packager.process import child
from packager.process.memory import keep_freed_memory

if TYPE_CHECKING:
    from packager.checkpoint.change import Bits
    from packager.checkpoint.matrices import Matrices
    from packager.checkpoint.weights import Float32, Reader, Tensor, Writer

BLOCK = 1 << 18
"""Elements computed at once: small enough for a core's cache, large enough for Python's calls not to count."""
JOB = 1 << 22
"""Elements that a thread takes at once: what is multiplied is prepared for all their blocks."""
KEPT_BYTES = 1 << 24
"""Arrays up to this size take memory that earlier ones gave back; to map each anew is more work than the arithmetic."""
LARGEST_BITS = 0x7BFF
"""65504, the largest finite FP16, as bits; without the sign, the order of bits is that of values."""


@dataclass(frozen=True)
class Merge:
    """What is merged into what; all by the names of the base's weights."""

    tensors: Mapping[str, Tensor]
    """What is written."""
    pairs: Mapping[str, lora.Pair]
    """What is added."""
    meant: Mapping[str, lora.Pair]
    """The same as training had it: what the change is measured along."""
    compare: Mapping[str, Tensor]
    """What some tensors are measured against, where another took their place."""
    matrices: Matrices | None
    """None where nothing is rounded, and all is computed on the CPU."""
    nf4: bool
    """Whether the linear layers of the body are rounded to NF4 first."""

    @functools.cached_property
    def rounded(self) -> frozenset[str]:
        """The matrices that QLoRA trains on in NF4: the linear layers of the body."""
        linear = [n for n, tensor in self.tensors.items() if len(tensor.shape) == 2 and ".layers." in n]
        return frozenset(linear if self.nf4 else ())

    @functools.cached_property
    def on_gpu(self) -> frozenset[str]:
        """The matrices that are merged on the GPU; those whose rows DoRA scales are not."""
        if self.matrices is None or not self.matrices.on_gpu:
            return frozenset()
        adapted = self.pairs.keys() | self.meant.keys()
        scaled = {
            name for each in (self.pairs, self.meant) for name, pair in each.items() if pair.magnitude is not None
        }
        return frozenset((self.rounded | adapted) - scaled - self.compare.keys())


def write_merged(merge: Merge, out: Path) -> Tally:
    """Write every tensor into `out` in FP16 (integers as they are), on all cores."""
    from threadpoolctl import threadpool_limits

    from packager.checkpoint import weights

    keep_freed_memory(KEPT_BYTES, 2 * KEPT_BYTES)
    tensors = merge.tensors.values()
    layout = [(t.name, "F16" if t.dtype in weights.FLOATS else t.dtype, t.shape) for t in tensors]
    tally = Tally(sum(math.prod(shape) * weights.WIDTHS[dtype] for _, dtype, shape in layout))
    whole = merge.on_gpu | merge.rounded  # the scales of a matrix that is rounded to NF4 are quantized together
    jobs = [(t, *rows) for t in tensors for rows in _parts(t, 0, t.rows, t.elements if t.name in whole else JOB)]
    with weights.Reader() as reader, weights.Writer(out, layout) as writer:

        def work(job: tuple[Tensor, int, int]) -> None:
            for block in _merged(merge, reader, writer, *job):
                tally.add(job[0].name, block)

        # Every thread multiplies blocks of its own: with BLAS's threads on top it takes 8 times as long.
        with threadpool_limits(1, "blas"), concurrent.futures.ThreadPoolExecutor(_threads(merge)) as pool:
            running = [pool.submit(work, job) for job in jobs]
            try:
                for one in running:
                    one.result()
            finally:
                pool.shutdown(cancel_futures=True)
    return tally


def _threads(merge: Merge) -> int:
    """One a core; fewer where each holds a matrix whole."""
    whole = [merge.tensors[name].elements for name in merge.on_gpu | merge.rounded]
    cores = child.physical_cores()
    return max(1, min(cores, merge.matrices.room_to_round(max(whole)))) if merge.matrices and whole else cores


def _parts(tensor: Tensor, start: int, stop: int, elements: int) -> Iterator[tuple[int, int]]:
    """Rows [start, stop) of a tensor in parts of so many elements, or of one row."""
    step = max(1, elements * tensor.rows // max(1, tensor.elements))
    for first in range(start, stop, step):
        yield first, min(first + step, stop)


def _merged(merge: Merge, reader: Reader, writer: Writer, tensor: Tensor, start: int, stop: int) -> Iterator[Block]:
    """Write rows [start, stop) of a tensor, and yield what was found in them, block by block."""
    from packager.checkpoint import weights
    from packager.checkpoint.merge_kernel import adder

    name = tensor.name
    pair, meant = merge.pairs.get(name), merge.meant.get(name)
    if tensor.dtype not in weights.FLOATS:
        raw = reader.raw(tensor, start, stop)
        writer.write(name, start, raw)
        yield Block(len(raw))
    elif merge.matrices and name in merge.on_gpu:
        halves, found = merge.matrices.merged(tensor, pair, meant, nf4=name in merge.rounded)
        _refuse_overflow(name, found.largest_bits)
        writer.write(name, 0, halves.numpy().data)
        yield found
    else:
        whole = merge.matrices.rounded(tensor).numpy() if merge.matrices and name in merge.rounded else None
        before = merge.compare.get(name)
        add = adder(pair, meant, start, stop) if pair and meant and before is None else None
        for first, last in _parts(tensor, start, stop, BLOCK):
            old = None if whole is None else whole[first:last]
            if add:
                bits, found = add(reader.rows(tensor, first, last) if old is None else old, first)
                _refuse_overflow(name, found.largest_bits)
                writer.write(name, first, bits.data)
                yield found
            else:
                bits, old = _written(reader, writer, tensor, first, last, pair, old)
                yield _measured(reader, bits, old, first, last, meant, before)


def _written(
    reader: Reader, writer: Writer, tensor: Tensor, start: int, stop: int, pair: lora.Pair | None, old: Float32 | None
) -> tuple[Bits, Float32 | None]:
    """Merge and write rows [start, stop): as FP16 bits, and what they were merged into (None: copied as they are).

    `old` are the rows to merge into, where they are not those of the file.
    """
    import numpy as np

    from packager.llamacpp.half_precision import to_half

    if tensor.dtype == "F16" and pair is None and old is None:  # nothing to compute; copied bit by bit
        bits: Bits = np.frombuffer(reader.raw(tensor, start, stop), np.uint16)
    else:
        old = reader.rows(tensor, start, stop) if old is None else old
        bits = to_half(old if pair is None else pair.merged(old, start, stop))  # what overflows is found below
    _refuse_overflow(tensor.name, _largest_bits(bits))
    writer.write(tensor.name, start, bits.data)
    return bits, old


def _largest_bits(bits: Bits) -> int:
    """Of the largest |weight|, without its sign."""
    # Among these numbers the largest is that of a negative weight, where there is one; with a sign, of a positive one.
    return max(int(bits.max(initial=0)) & 0x7FFF, int(bits.view("int16").max(initial=0)))


def _refuse_overflow(name: str, largest_bits: int) -> None:
    if largest_bits >= LARGEST_BITS:
        raise ProofFailed(
            f"merge.finite: a merged weight of {name} is not finite in FP16 (|w| >= 65504).",
            "train with a lower learning rate or alpha; a base made for bfloat16 may not fit FP16",
        )


def _measured(
    reader: Reader,
    bits: Bits,
    old: Float32 | None,
    start: int,
    stop: int,
    meant: lora.Pair | None,
    before: Tensor | None,
) -> Block:
    """What was found in rows [start, stop): `bits` in place of `old`, by the pair that was `meant`, or in place of
    `before`'s rows."""
    from packager.llamacpp.half_precision import from_half

    largest = _largest_bits(bits)
    if before is not None:
        new = from_half(bits).reshape(stop - start, -1) if old is None else old
        old = reader.rows(before, start, stop)
        update = new - old
    elif meant is not None:
        old = from_half(bits).reshape(stop - start, -1) if old is None else old  # copied, so as it was
        update = update_of(meant, old, start, stop)
    else:
        return Block(bits.nbytes, largest)
    change, moved = change_of(bits, old, update)
    return Block(bits.nbytes, largest, moved, change)
