"""FP16 to float32 and back at the speed of memory, by the converters of llama.cpp's library.

numpy converts element by element on most x86 CPUs, 50 times as slowly. The library is loaded by itself,
without a model or a backend, and used only if it agrees with numpy; otherwise numpy converts.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]
Bits = npt.NDArray[np.uint16]
Convert = Callable[[int, int, int], None]
"""(address of the source, address of the result, how many elements)"""


LANES = 16
"""The library converts whole lots of so many; for the rest it uses a table that only a backend fills."""


def from_half(bits: Bits) -> Float32:
    """FP16, given as bits, to float32."""
    converters, whole = _converters(), bits.size - bits.size % LANES
    if not converters:
        return bits.view(np.float16).astype(np.float32)
    source, found = np.ascontiguousarray(bits), np.empty(bits.shape, np.float32)
    converters[0](source.ctypes.data, found.ctypes.data, whole)
    found.reshape(-1)[whole:] = source.reshape(-1)[whole:].view(np.float16)
    return found


def to_half(values: Float32) -> Bits:
    """float32 to the bits of the nearest FP16, ties to even; what is too large becomes infinite."""
    converters, whole = _converters(), values.size - values.size % LANES
    with np.errstate(over="ignore"):
        if not converters:
            return values.astype(np.float16).view(np.uint16)
        source, found = np.ascontiguousarray(values), np.empty(values.shape, np.uint16)
        converters[1](source.ctypes.data, found.ctypes.data, whole)
        found.reshape(-1)[whole:] = source.reshape(-1)[whole:].astype(np.float16).view(np.uint16)
    return found


def kernel_libraries() -> Iterator[ctypes.CDLL]:
    """llama.cpp's library of kernels, by itself: loading it loads no model and no backend."""
    spec = importlib.util.find_spec("llama_cpp")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for path in sorted(Path(folder, "lib").glob("*ggml-cpu*")):
            with contextlib.suppress(OSError):
                yield ctypes.CDLL(str(path))


def converts_exactly() -> bool:
    """Whether the library's conversions are there and right; `from_half` and `to_half` use them then."""
    return _converters() is not None


@functools.cache
def _converters() -> tuple[Convert, Convert] | None:
    """The library's functions for both directions; None where there are none, or they compute otherwise."""
    for library in kernel_libraries():
        try:
            found = _declared(library.ggml_cpu_fp16_to_fp32), _declared(library.ggml_cpu_fp32_to_fp16)
        except AttributeError:
            continue
        return found if _agree(*found) else None
    return None


def _declared(function: Callable[..., None]) -> Convert:
    function.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]  # type: ignore[attr-defined]
    function.restype = None  # type: ignore[attr-defined]
    return function


def _agree(widen: Convert, narrow: Convert) -> bool:
    """Do both compute what numpy does, for every finite FP16 and for ties?"""
    bits = np.arange(1 << 16, dtype=np.uint16)
    bits = bits[(bits & 0x7C00) != 0x7C00]
    halves = bits.view(np.float16).astype(np.float32)
    widened = np.zeros_like(halves)
    widen(bits.ctypes.data, widened.ctypes.data, bits.size)
    between = (halves[1:] + halves[:-1]) / 2
    between = between[: between.size - between.size % LANES].copy()
    narrowed = np.zeros(between.shape, np.uint16)
    narrow(between.ctypes.data, narrowed.ctypes.data, between.size)
    wanted = between.astype(np.float16).view(np.uint16)
    return bool((widened == halves).all() and (narrowed == wanted).all())
