"""Merging an adapter: ours against peft's `merge_and_unload` and save, in one run, on a model made on the spot.

    python bench/merge.py [--shape qwen25_1.5b] [--out bench/results/merge.json]

Prints ratios: time, anonymous memory, and the error of the merged weights against float64; and how long
the disk takes for as many bytes of nothing (`disk`), which neither side can beat. `--work /dev/shm`
leaves the disk out. What proves a merge in a build (predictions, held-out loss) is in neither side. Takes
some minutes and 13 GB for the 1.5B shape; needs a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

import file_sides  # noqa: E402
import measuring  # noqa: E402
import shapes  # noqa: E402

from packager.artifacts.kinds import Adapter, Checkpoint  # noqa: E402
from packager.checkpoint.merge import merge_adapter  # noqa: E402

ROWS = 64
"""Rows of each adapted matrix on which the error is computed."""


def errors(base: Checkpoint, adapter: Adapter, *merged: Path) -> list[float]:
    """RMS error of each merged checkpoint's adapted weights against W + s B A in float64."""
    import numpy as np

    from packager.checkpoint import lora, weights

    before = weights.checkpoint(base.folder)
    pairs = lora.read_pairs(adapter.folder, before)
    after = [weights.checkpoint(folder) for folder in merged]
    squares, count = [0.0] * len(merged), 0
    with weights.Reader() as reader:
        for name, pair in pairs.items():
            stop = min(ROWS, before[name].rows)
            product = pair.b[:stop].astype(np.float64) @ pair.a.astype(np.float64)
            exact = reader.rows(before[name], 0, stop).astype(np.float64) + pair.scale * product
            for i, tensors in enumerate(after):
                squares[i] += float(np.square(reader.rows(tensors[name], 0, stop) - exact).sum())
            count += exact.size
    return [float((square / count) ** 0.5) for square in squares]


def run(shape: str, work: Path) -> dict[str, Any]:
    """Both sides, ours first and again last, so that what the disk remembers favours neither."""
    base = shapes.base(shape, work / "base")
    adapter, data = shapes.adapter(base, work / "adapter"), shapes.data(base, work / "data")
    measuring.on_disk(work)
    machine, costs = measuring.machine(), {}
    for name in ("ours", "peft", "again"):
        out = work / name
        out.mkdir()
        if name == "peft":
            costs[name] = measuring.child(file_sides.by_peft, base.folder, adapter.folder, out)
        else:
            costs[name] = measuring.child(merge_adapter, base, data, adapter, out)
        measuring.on_disk(work)
    size = sum(path.stat().st_size for path in (work / "ours").glob("*.safetensors"))
    costs["disk"] = measuring.child(file_sides.plain_writes, work / "zeros", size)
    ours, peft = errors(base, adapter, work / "ours", work / "peft")
    best = min(costs["ours"], costs["again"], key=lambda cost: cost.seconds)
    return {
        "machine": machine,
        "shape": shape,
        "parameters": base.parameters,
        "sides": {name: asdict(cost) for name, cost in costs.items()},
        "rms_error": {"ours": ours, "peft": peft},
        "ratios": {
            "time": round(best.seconds / costs["peft"].seconds, 3),
            "time_first_run": round(costs["ours"].seconds / costs["peft"].seconds, 3),
            "cpu_time": round(best.cpu_seconds / costs["peft"].cpu_seconds, 3),
            "anonymous_memory": round(best.anonymous_gb / costs["peft"].anonymous_gb, 3),
            "error": round(ours / peft, 4),
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=list(shapes.SHAPES), default="qwen25_1.5b")
    parser.add_argument("--work", type=Path, help="Folder on the disk to measure on (default: the system's).")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.work) as work:
        text = json.dumps(run(given.shape, Path(work)), indent=2)
    print(text)
    if given.out:
        given.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
