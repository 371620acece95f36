"""Quantizing eight blocks at a time against one after the other, on one core, in one run; equal bytes.

    python bench/quantizer_lanes.py [--out bench/results/quantizer_lanes.json]

Both sides are functions of the library that `make setup` compiles (vendor/ggml-quants-by-lanes.c). Prints nanoseconds
a weight and their ratio, of five rounds the fastest. Takes a minute; needs a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

import measuring  # noqa: E402

from packager.llamacpp import binding  # noqa: E402

ROWS, COLUMNS, ROUNDS = 256, 4096, 5
TYPES = ("q4_K", "q5_K", "q6_K")


def run() -> dict[str, Any]:
    """Nanoseconds a weight of each type, with and without the importance of columns."""
    folder = Path(binding.library().__file__).with_name("lib")
    library = ctypes.CDLL(str(next(folder.glob("*ggml-base*"))))
    random = np.random.default_rng(0)
    weights = random.normal(0, 0.02, (ROWS, COLUMNS)).astype(np.float32)
    importance = random.gamma(0.5, 1, COLUMNS).astype(np.float32)
    found: dict[str, Any] = {"machine": measuring.machine(), "ns_a_weight": {}}
    for name in TYPES:
        for columns in (importance, None):
            sides = (f"quantize_{name}", f"quantize_{name}_one_by_one")
            best, bytes_of = dict.fromkeys(sides, float("inf")), {}
            for side in sides * ROUNDS:
                out = np.zeros(ROWS * COLUMNS, np.uint8)
                began = time.perf_counter()
                getattr(library, side)(
                    weights.ctypes.data_as(ctypes.c_void_p),
                    out.ctypes.data_as(ctypes.c_void_p),
                    ctypes.c_int64(ROWS),
                    ctypes.c_int64(COLUMNS),
                    None if columns is None else columns.ctypes.data_as(ctypes.c_void_p),
                )
                best[side] = min(best[side], 1e9 * (time.perf_counter() - began) / weights.size)
                bytes_of[side] = out.tobytes()
            ours, theirs = (round(best[side], 1) for side in sides)
            case = f"{name}, {'with' if columns is not None else 'without'} importance"
            equal = len(set(bytes_of.values())) == 1
            found["ns_a_weight"][case] = {"lanes": ours, "one_by_one": theirs, "equal_bytes": equal}
            print(f"{case}: {ours} against {theirs}: {ours / theirs:.2f}; {'equal' if equal else 'OTHER'} bytes")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="Write the figures here, as JSON.")
    given = parser.parse_args()
    found = run()
    if given.out:
        given.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0 if all(case["equal_bytes"] for case in found["ns_a_weight"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
