"""What the importance matrix gains: every type with and without it, on all held-out rows of a finished build.

    python bench/imatrix.py build/smollm2_aps [--types Q4_K_M,IQ4_XS] [--out bench/results/imatrix.json]

Both files of a type are compared with the F16 file over the same tokens: mean KL divergence on held-out
answers, what the matrix takes off it, and the standard error of that. The build is read, not changed.
Some minutes a type.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

import measuring  # noqa: E402
import numpy as np  # noqa: E402

from packager.artifacts.kinds import Dataset, Merged  # noqa: E402
from packager.checkpoint import importance, reference  # noqa: E402
from packager.llamacpp import gguf_file  # noqa: E402
from packager.llamacpp.imatrix import IMATRIX, read_imatrix  # noqa: E402
from packager.llamacpp.model import GgufModel  # noqa: E402
from packager.llamacpp.quantizer import quantize_files  # noqa: E402
from packager.process import child  # noqa: E402
from packager.prompt.corpus import answer_samples  # noqa: E402
from packager.prompt.masking import Encoded  # noqa: E402
from packager.proof import divergence  # noqa: E402

TYPES = "Q4_K_M,Q4_K_S,IQ4_XS,IQ4_NL,Q4_0,Q4_1,Q5_0,Q5_K_M,Q3_K_M"
EVERYTHING = 10**9


def log_p(path: Path, samples: list[Encoded]) -> np.ndarray[Any, Any]:
    """Log-probabilities [positions, vocabulary] of a file at all positions of all samples, as FP16."""
    rows, context = [], max(len(s.ids) for s in samples)
    with GgufModel.open(path, context=context, threads=child.physical_cores()) as model:
        for sample in samples:
            wanted = [i in set(sample.at) for i in range(len(sample.ids))]
            rows += [divergence.log_softmax(r).astype(np.float16) for _, r in model.logits(sample.ids, wanted)]
    return np.concatenate(rows)


def divergences(wanted: np.ndarray[Any, Any], path: Path, samples: list[Encoded]) -> np.ndarray[Any, Any]:
    """KL divergence at every position."""
    found = log_p(path, samples)
    blocks = [slice(i, i + 64) for i in range(0, len(wanted), 64)]
    pairs = ((wanted[b].astype(np.float32), found[b].astype(np.float32)) for b in blocks)
    return np.concatenate([(np.exp(p) * (p - q)).sum(axis=-1) for p, q in pairs])


def artifact(folder: Path, kind: type[Any]) -> Any:
    """What a finished stage recorded."""
    recorded = json.loads((folder / "stage.json").read_text(encoding="utf-8"))
    return kind(folder=folder, key=recorded["key"], **recorded["artifact"])


def collected(run: Path, data: Dataset, work: Path) -> tuple[dict[str, Any], float]:
    """The importance of columns as the merge stage notes it, and the seconds that this took."""
    merged, began = artifact(run / "merged", Merged), time.perf_counter()
    with reference.opened(merged.folder) as made:
        importance.collect(made, merged, data, work)
    return dict(read_imatrix(work / IMATRIX)), time.perf_counter() - began


def compare(
    original: Path, kind: str, columns: dict[str, Any], wanted: Any, samples: Any, work: Path
) -> dict[str, Any]:
    """One type with and without importance."""
    found, seconds = [], []
    for chosen in ({}, columns):
        path, began = work / f"{kind}.gguf", time.perf_counter()
        quantize_files(original, {kind: path}, child.physical_cores(), importance=chosen)
        seconds.append(round(time.perf_counter() - began, 1))
        info = gguf_file.inspect(path)
        found.append(divergences(wanted, path, samples))
        path.unlink()
    plain, weighed = found
    gain = 1 - weighed.mean() / plain.mean()
    error = (weighed - (1 - gain) * plain).std(ddof=1) / math.sqrt(len(plain)) / plain.mean()
    return {
        "type": kind,
        "bits_per_weight": round(info.bits_per_weight, 2),
        "tensors": dict(info.tensor_types),
        "kl_without": round(float(plain.mean()), 5),
        "kl_with": round(float(weighed.mean()), 5),
        "gain": round(float(gain), 3),
        "gain_error": round(float(error), 3),
        "quantize_seconds": seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--types", default=TYPES)
    parser.add_argument("--tokens", type=int, default=EVERYTHING, help="Held-out answer tokens (default: all).")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    data = artifact(given.run / "data", Dataset)
    original = given.run / "f16" / "model-F16.gguf"
    samples = answer_samples(data.folder / "heldout.jsonl", data.end_of_turn, given.tokens)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        columns, seconds = collected(given.run, data, work)
        found: dict[str, Any] = {
            "machine": measuring.machine(),
            "held_out_tokens": sum(len(s.at) for s in samples),
            "imatrix_tokens": importance.TOKENS,
            "imatrix_seconds": round(seconds, 1),
            "types": [],
        }
        wanted = log_p(original, samples)
        for kind in given.types.split(","):
            found["types"].append(compare(original, kind, columns, wanted, samples, work))
            print(json.dumps(found["types"][-1]), flush=True)
    if given.out:
        given.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
