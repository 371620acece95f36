"""vendor/ggml-quants-by-lanes.c writes what llama.cpp's own functions write, byte for byte."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from packager.llamacpp import binding

ROWS, COLUMNS = 16, 1024
BITS = {"q4_K": 4.5, "q5_K": 5.5, "q6_K": 6.5625}

Float32 = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def library() -> ctypes.CDLL:
    found = ctypes.CDLL(str(next(Path(binding.library().__file__).with_name("lib").glob("*ggml-base*"))))
    if not hasattr(found, "quantize_q4_K_one_by_one"):
        pytest.skip("this llama-cpp-python was not compiled by `make setup` of this version")
    return found


def drawn(kind: str) -> Float32:
    """Weights [rows, columns]."""
    random = np.random.default_rng(7)
    x = random.normal(0, 0.02, (ROWS, COLUMNS)).astype(np.float16).astype(np.float32)
    if kind == "one sign":
        x = np.abs(x) + np.float32(0.01)
    if kind == "outliers":
        x[random.random(x.shape) < 0.01] *= 100
    if kind == "blocks of zeros":
        x.reshape(-1, 32)[::3] = 0
        x.reshape(-1, 16)[::5] = 0
    if kind == "rows of one value":
        x[::2] = 0
        x[1::4] = 0.03
        x[3::4] = -0.03
    if kind == "three values":
        x = np.sign(x).astype(np.float32) * np.float32(0.01)
    if kind == "tiny and huge":
        x[random.random(x.shape) < 0.5] *= np.float32(1e-17)
        x[::4] *= np.float32(1e20)
        x[1::4] *= np.float32(1e-24)
    return np.ascontiguousarray(x, np.float32)


def columns(kind: str) -> Float32 | None:
    """The importance of each column."""
    weights = np.random.default_rng(8).gamma(0.3, 1, COLUMNS).astype(np.float32)
    if kind == "most zero":
        weights[np.arange(COLUMNS) % 37 > 0] = 0
    if kind == "zero":
        weights[:] = 0
    return None if kind == "none" else weights


@pytest.mark.parametrize("importance", ["none", "some", "most zero", "zero"])
@pytest.mark.parametrize(
    "weights",
    ["normal", "one sign", "outliers", "blocks of zeros", "rows of one value", "three values", "tiny and huge"],
)
@pytest.mark.parametrize("name", list(BITS))
def test_the_same_bytes_as_one_block_after_the_other(
    library: ctypes.CDLL, name: str, weights: str, importance: str
) -> None:
    x, of_columns = drawn(weights), columns(importance)
    size = int(ROWS * COLUMNS * BITS[name] / 8)
    written = []
    for function in (f"quantize_{name}", f"quantize_{name}_one_by_one"):
        quantize = getattr(library, function)
        quantize.restype = ctypes.c_size_t
        out = np.zeros(size, np.uint8)
        assert quantize(
            x.ctypes.data_as(ctypes.c_void_p),
            out.ctypes.data_as(ctypes.c_void_p),
            ctypes.c_int64(ROWS),
            ctypes.c_int64(COLUMNS),
            None if of_columns is None else of_columns.ctypes.data_as(ctypes.c_void_p),
        ) == size  # fmt: skip
        written.append(out)
    np.testing.assert_array_equal(*written)
