"""Rows of a matrix and the pairs that change it -> their FP16 bits and what changed, in one pass by compiled code.

`vendor/merge-rows.c` lies in llama.cpp's library of kernels where `make setup` compiled that. For pairs that scale no
rows it does what `Pair.merged` and `change.change_of` do, to the same bits. It is used only where it is found to do so
on a small matrix; otherwise numpy computes.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from packager.checkpoint.change import Block, Change, change_of, update_of
from packager.checkpoint.lora import Pair
from packager.llamacpp.half_precision import kernel_libraries, to_half

if TYPE_CHECKING:
    from packager.checkpoint.change import Bits
    from packager.checkpoint.weights import Float32

    Add = Callable[[Float32, int], tuple[Bits, Block]]

PANEL, LOT = 8, 16
"""Columns that lie together in what is multiplied, and of which a matrix must have a multiple."""


class _Factors(ctypes.Structure):
    """`struct factors` of vendor/merge-rows.c."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("b", "a", "meant_b", "meant_a")),
        *((name, ctypes.c_int64) for name in ("rank", "meant_rank", "columns")),
    )


class _Found(ctypes.Structure):
    """`struct found` of vendor/merge-rows.c: sums over the weights."""

    _fields_ = tuple(
        (name, ctypes.c_double)
        for name in ("square", "lost", "rounding", "along", "odd", "ties", "rounded", "largest")
    )  # fmt: skip


def added(pair: Pair, meant: Pair, start: int, stop: int) -> Add | None:
    """What merges some rows of [start, stop), float32 with the number of the first, by `pair` and measures them by
    `meant`; None where numpy has to: without the compiled code, with DoRA, or where columns are left over."""
    kernel = _kernel()
    return _bound(kernel, pair, meant, start, stop) if kernel and _suits(pair) and _suits(meant) else None


def _suits(pair: Pair) -> bool:
    return pair.magnitude is None and pair.a.shape[1] % LOT == 0


def _bound(kernel: Callable[..., None], pair: Pair, meant: Pair, start: int, stop: int) -> Add:
    b, a = pair.factors(start, stop)
    b, a = np.ascontiguousarray(b[:, :-1]), a[:-1]  # the kernel's sums begin with +0
    meant_b = np.ascontiguousarray(meant.scale * meant.b[start:stop], np.float32)
    panels, meant_panels = _panels(a), _panels(np.asarray(meant.a, np.float32))

    def add(old: Float32, first: int) -> tuple[Bits, Block]:
        old, bits, found = np.ascontiguousarray(old), np.empty(old.shape, np.uint16), _Found()
        rows = slice(first - start, first - start + len(old))
        arrays = (b[rows], panels, meant_b[rows], meant_panels)
        factors = _Factors(*(array.ctypes.data for array in arrays), len(a), len(meant.a), a.shape[1])
        kernel(ctypes.byref(factors), len(old), old.ctypes.data, bits.ctypes.data, found)
        return bits, _block(bits, found)

    return add


def _panels(a: Any) -> Any:
    """[rank, columns] -> [columns / PANEL, rank, PANEL], contiguous."""
    return np.ascontiguousarray(a.reshape(len(a), -1, PANEL).transpose(1, 0, 2))


def _block(bits: Bits, found: Any) -> Block:
    kept = found.square + found.lost
    change = Change(found.square, kept + found.along, kept, found.rounding, found.odd, found.ties)
    # |W' - W|^2, of W' - W = U + (R - T) + (W' - R)
    moved = kept + found.lost + found.rounding + 2 * (found.along + found.rounded) + found.odd
    return Block(bits.nbytes, int(found.largest), max(0.0, moved), change)


@functools.cache
def _kernel() -> Callable[..., None] | None:
    """The compiled code, where it is there and computes what numpy does."""
    for library in kernel_libraries():
        try:
            kernel: Any = library.packager_merge_rows
        except AttributeError:
            continue
        address = ctypes.c_void_p
        kernel.argtypes = [address, ctypes.c_int64, address, address, ctypes.POINTER(_Found)]
        kernel.restype = None
        return kernel if _agrees(kernel) else None
    return None


def _agrees(kernel: Callable[..., None]) -> bool:
    """Does it compute what numpy does, in whole tiles and in what is left of rows and columns?"""
    random = np.random.default_rng(0)
    rows, columns, rank = 11, 1024 + LOT, 5
    shapes = ((rank, columns), (rows, rank), (rows, columns))
    a, b, old = (random.normal(0, 0.1, shape).astype(np.float32) for shape in shapes)
    pair, meant = Pair(a, b, scale=0.5), Pair(a, b, scale=0.4)
    bits, found = _bound(kernel, pair, meant, 0, rows)(old, 0)
    wanted = to_half(pair.merged(old, 0, rows))
    change, moved = change_of(wanted, old, update_of(meant, old, 0, rows))
    told = [found.delta_square, *vars(found.change).values()] if found.change else []
    return bool((bits == wanted).all()) and np.allclose(told, [moved, *vars(change).values()], rtol=1e-4, atol=1e-6)
