"""Rows of a matrix and the pairs that change it -> their FP16 bits and what changed, in one pass by compiled code.

`vendor/merge-rows.c` lies in llama.cpp's library of kernels where `make setup` compiled that. For pairs that scale no
rows it does what `Pair.merged` and `change.change_of` do: the same bits, and the same sums but for their own rounding.
It is used only where it is found to do so on a small matrix; otherwise numpy computes.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from packager.checkpoint.change import Block, change_of, from_sums, update_of
from packager.checkpoint.lora import Pair
from packager.llamacpp.half_precision import LANES, converts_exactly, kernel_libraries, to_half

if TYPE_CHECKING:
    from packager.checkpoint.change import Bits
    from packager.checkpoint.weights import Float32

    Add = Callable[[Float32, int], tuple[Bits, Block]]

PANEL = 8
"""Columns that lie together in what is multiplied."""
SUMS = ("square", "lost", "rounding", "along", "odd", "ties", "odd_rounding")
"""What the kernel sums, as `change.from_sums` takes it."""
KERNEL = "packager_merge_rows"


class _Factors(ctypes.Structure):
    """`struct factors` of vendor/merge-rows.c."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("b", "a", "meant_b", "meant_a")),
        *((name, ctypes.c_int64) for name in ("rank", "meant_rank", "columns")),
    )


class _Found(ctypes.Structure):
    """`struct found` of vendor/merge-rows.c: sums over the weights."""

    _fields_ = tuple((name, ctypes.c_double) for name in (*SUMS, "largest"))


def adder(pair: Pair, meant: Pair, start: int, stop: int) -> Add | None:
    """What merges some rows of [start, stop), float32 with the number of the first, by `pair` and measures them by
    `meant`; None where numpy has to: without the compiled code, with DoRA, or where columns are left over."""
    kernel = _kernel()
    return _bound(kernel, pair, meant, start, stop) if kernel and _suits(pair) and _suits(meant) else None


def _suits(pair: Pair) -> bool:
    return pair.magnitude is None and pair.a.shape[1] % LANES == 0


def _bound(kernel: Callable[..., None], pair: Pair, meant: Pair, start: int, stop: int) -> Add:
    b, a = pair.factors(start, stop)
    b = np.ascontiguousarray(b[:, :-1])  # the zeros at the end are for sums that begin otherwise than the kernel's +0
    meant_b = np.ascontiguousarray(meant.scale * meant.b[start:stop], np.float32)
    panels, meant_panels = _panels(a[:-1]), _panels(np.asarray(meant.a, np.float32))
    extents = (b.shape[1], meant_b.shape[1], a.shape[1])

    def add(old: Float32, first: int) -> tuple[Bits, Block]:
        old = np.ascontiguousarray(old, np.float32).reshape(-1, extents[-1])
        bits, found = np.empty(old.shape, np.uint16), _Found()
        rows = slice(first - start, first - start + len(old))
        arrays = (b[rows], panels, meant_b[rows], meant_panels)
        factors = _Factors(*(array.ctypes.data for array in arrays), *extents)
        kernel(factors, len(old), old.ctypes.data, bits.ctypes.data, found)
        return bits, _block(bits, found)

    return add


def _panels(a: Any) -> Any:
    """[rank, columns] -> [columns / PANEL, rank, PANEL], contiguous."""
    return np.ascontiguousarray(a.reshape(len(a), -1, PANEL).transpose(1, 0, 2))


def _block(bits: Bits, found: Any) -> Block:
    change, moved = from_sums(*(getattr(found, name) for name in SUMS))
    return Block(bits.nbytes, int(found.largest), moved, change)


@functools.cache
def _kernel() -> Callable[..., None] | None:
    """The compiled code, where it is there and computes what numpy does."""
    for library in kernel_libraries():
        if hasattr(library, KERNEL):
            kernel: Any = getattr(library, KERNEL)
            address = ctypes.c_void_p
            kernel.argtypes = [
                ctypes.POINTER(_Factors), ctypes.c_int64, address, address, ctypes.POINTER(_Found)
            ]  # fmt: skip
            kernel.restype = None
            return kernel if converts_exactly() and _agrees(kernel) else None
    return None


def _agrees(kernel: Callable[..., None]) -> bool:
    """Does it compute what numpy does, in whole tiles and in what is left of rows and columns?"""
    random = np.random.default_rng(0)
    rows, columns, rank = 11, 1024 + LANES, 5
    shapes = ((rank, columns), (rows, rank), (rows, columns))
    a, b, old = (random.normal(0, 0.1, shape).astype(np.float32) for shape in shapes)
    pair, meant = Pair(a, b, scale=0.5), Pair(a, b, scale=0.4)
    bits, found = _bound(kernel, pair, meant, 0, rows)(old, 0)
    wanted = to_half(pair.merged(old, 0, rows))
    change, moved = change_of(wanted, old, update_of(meant, old, 0, rows))
    told = [found.delta_square, *vars(found.change).values()] if found.change else []
    return bool((bits == wanted).all()) and np.allclose(told, [moved, *vars(change).values()], rtol=1e-3, atol=0)
