"""From adapter to quantized file: ours against the bare converter and the bare quantizer, in one run.

    python bench/quantize.py [--shape qwen25_1.5b] [--type Q4_K_M] [--bare-library FOLDER] [--out FILE]

Ours merges, converts and quantizes; the bare tools start from the merged checkpoint. The bare quantizer is the one that
`make setup` compiles, which is faster than llama.cpp's own (docs/quantizing.md); that one is in the `--bare-library` of
who compiles llama-cpp-python without vendor/only-libllama.cmake. What proves the
result (reference predictions, hashes, divergence) is not in either side. Prints ratios. Takes some
minutes and 11 GB of disk for the 1.5B shape; needs a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

import file_sides  # noqa: E402
import measuring  # noqa: E402
import shapes  # noqa: E402

from packager.checkpoint.merge import merge_adapter  # noqa: E402
from packager.llamacpp import vendored  # noqa: E402
from packager.llamacpp.converter import run_converter  # noqa: E402
from packager.llamacpp.quantizer import quantize_files  # noqa: E402
from packager.process import child  # noqa: E402


def run(shape: str, kind: str, work: Path, bare_library: Path | None, *, ours_only: bool) -> dict[str, Any]:
    """Ours, then the bare tools on the checkpoint that ours merged."""
    base = shapes.base(shape, work / "base")
    adapter, data = shapes.adapter(base, work / "adapter"), shapes.data(base, work / "data")
    measuring.on_disk(work)
    machine, said = measuring.machine(), work / "said.json"
    said.write_text("{}", encoding="utf-8")
    merged, f16, small = work / "merged", work / "ours-F16.gguf", work / f"ours-{kind}.gguf"
    merged.mkdir()
    ours = {"merge": measuring.child(merge_adapter, base, data, adapter, merged)}
    shutil.rmtree(base.folder)
    ours |= {
        "convert": measuring.child(run_converter, merged, f16, said),
        "quantize": measuring.child(quantize_files, f16, {kind: small}, child.physical_cores()),
    }
    found = {
        "machine": machine,
        "shape": shape,
        "parameters": base.parameters,
        "type": kind,
        "ours": {name: asdict(cost) for name, cost in ours.items()},
        "most_anonymous_gb": max(cost.anonymous_gb for cost in ours.values()),
    }
    if ours_only:
        return found
    measuring.on_disk(work)
    plain = [sys.executable, vendored.converter(), merged, "--outtype", "f16", "--outfile", work / "bare-F16.gguf"]
    bare = {"convert": measuring.command(plain)}
    if bare_library:
        os.environ["LLAMA_CPP_LIB_PATH"] = str(bare_library)  # where the binding looks first
    bare["quantize"] = measuring.child(file_sides.bare_quantizer, f16, work / f"bare-{kind}.gguf", kind)
    together = sum(cost.seconds for cost in ours.values())
    return found | {
        "bare_library": "llama.cpp's own" if bare_library else "ours",
        "bare": {name: asdict(cost) for name, cost in bare.items()},
        "ratios": {
            "time": round(together / sum(cost.seconds for cost in bare.values()), 3),
            "cpu_time": round(
                sum(cost.cpu_seconds for cost in ours.values()) / sum(cost.cpu_seconds for cost in bare.values()), 3
            ),
        },
        "same_bytes": small.read_bytes()[-(1 << 20) :] == (work / f"bare-{kind}.gguf").read_bytes()[-(1 << 20) :],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=list(shapes.SHAPES), default="qwen25_1.5b")
    parser.add_argument("--type", default="Q4_K_M")
    parser.add_argument("--bare-library", type=Path, help="A folder of llama.cpp's libraries, for the bare side.")
    parser.add_argument("--ours-only", action="store_true", help="Only ours: what a large model takes of memory.")
    parser.add_argument("--work", type=Path, help="Folder on the disk to measure on (default: the system's).")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.work) as work:
        found = run(given.shape, given.type, Path(work), given.bare_library, ours_only=given.ours_only)
    text = json.dumps(found, indent=2)
    print(text)
    if given.out:
        given.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
