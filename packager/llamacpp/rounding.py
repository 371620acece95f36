"""How this machine's quantizer rounds -> a hash: the same on every machine whose quantizer gives the same bytes.

llama.cpp's quantizer is plain C. A compiler that fuses products and sums gives it other roundings, so that two builds
of one commit may write different weights (vendor/only-libllama.cmake forbids it for ours).
"""

from __future__ import annotations

import ctypes
import hashlib
from pathlib import Path

from packager.llamacpp import binding

TYPES = (2, 6, 8, 11, 12, 13, 14, 23)
"""Q4_0, Q5_0, Q8_0, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_XS, by ggml's numbers."""
COLUMNS, ROWS = 4096, 8


def fingerprint() -> str:
    """A sha256 over fixed numbers in each of `TYPES`, with and without column weights."""
    import numpy as np

    libraries = Path(binding.library().__file__).with_name("lib")
    quantize = ctypes.CDLL(str(next(libraries.glob("*ggml-base*")))).ggml_quantize_chunk
    quantize.restype = ctypes.c_size_t
    # Not from numpy's generator, whose stream its authors may change: a linear congruence, and halves of it summed.
    states = np.empty(3 * COLUMNS * ROWS, np.uint64)
    state = 1
    for at in range(len(states)):
        state = (state * 1664525 + 1013904223) % 2**32
        states[at] = state
    drawn = ((states >> np.uint64(8)).astype(np.int64) - 2**23).astype(np.float32) / np.float32(2**23)
    numbers = np.ascontiguousarray(drawn.reshape(-1, 3).sum(axis=1, dtype=np.float64).astype(np.float32) / 32)
    weighing = np.ascontiguousarray(np.abs(drawn[:COLUMNS]) + np.float32(0.01))
    out = ctypes.create_string_buffer(numbers.nbytes)
    found = hashlib.sha256()
    floats = ctypes.POINTER(ctypes.c_float)
    for kind in TYPES:
        for weights in (None, weighing.ctypes.data_as(floats)):
            size = quantize(ctypes.c_int(kind), numbers.ctypes.data_as(floats), out, ctypes.c_int64(0),
                            ctypes.c_int64(ROWS), ctypes.c_int64(COLUMNS), weights)  # fmt: skip
            found.update(out.raw[:size])
    return found.hexdigest()
