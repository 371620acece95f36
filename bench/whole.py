"""A whole build at a real model's size, from random weights under its real vocabulary: seconds and memory by stage.

    python bench/whole.py phi3_3.8b [--steps 60] [--until package] [--work FOLDER] [--set a.b=c …] [--out FILE]

Nothing is downloaded: the base is a stand-in (tests/standins.py) with the real model's sizes. What it says is
noise, so there are no smoke questions; all else is the recipe's. Needs, on the disk, about four times the weights in 16
bits. Prints a line a stage, beside what was recorded before (bench/results/whole.json), and the checks that failed.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(Path(__file__).parent), str(ROOT)]

import measuring  # noqa: E402

from packager.artifacts.commit import read_record  # noqa: E402
from packager.checkpoint import weights  # noqa: E402
from packager.pipeline.line import STAGES  # noqa: E402
from tests import standins  # noqa: E402

RECORDED = ROOT / "bench" / "results" / "whole.json"
POOL = 1 << 23
"""Random numbers that are drawn; every block of weights is some stretch of them."""


@dataclass(frozen=True)
class Shape:
    """A stand-in's architecture, the sizes of the real model, and the recipe that is built on it."""

    architecture: str
    recipe: str
    sizes: dict[str, Any]


SHAPES = {
    "tiny": Shape("phi3", "phi3_aps", {}),
    "qwen25_1.5b": Shape("qwen2", "phi3_aps", {
        "hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 28, "num_attention_heads": 12,
        "num_key_value_heads": 2}),
    "phi3_3.8b": Shape("phi3", "phi3_aps", {
        "hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 32}),
    "llama31_8b": Shape("llama3", "llama31_medquad", {
        "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 8}),
}  # fmt: skip


def base(shape: Shape, folder: Path) -> Path:
    """The stand-in's folder with random bfloat16 weights of the real sizes."""
    import numpy as np
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    standins.make(shape.architecture, folder)
    settings = json.loads((folder / "config.json").read_text(encoding="utf-8")) | shape.sizes
    settings.pop("head_dim", None)
    settings.pop("layer_types", None)
    (folder / "config.json").write_text(json.dumps(settings, indent=2), encoding="utf-8")
    for old in folder.glob("*.safetensors"):
        old.unlink()
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder, trust_remote_code=False))
    tied = settings.get("tie_word_embeddings")
    shapes = {n: tuple(t.shape) for n, t in model.state_dict().items() if not (tied and n == "lm_head.weight")}
    noise = np.random.default_rng(0)
    drawn = noise.standard_normal(POOL, np.float32) * 0.02
    pool = torch.from_numpy(drawn).to(torch.bfloat16).view(torch.uint16).numpy()
    one = np.uint16(0x3F80)  # 1.0 in bfloat16
    with weights.Writer(folder, [(name, "BF16", size) for name, size in shapes.items()]) as writer:
        for name, size in shapes.items():
            columns = math.prod(size[1:])
            for start in range(0, size[0], step := max(1, POOL // 2 // columns)):
                count = min(step, size[0] - start) * columns
                at = int(noise.integers(POOL - count))
                values = np.full(count, one) if "norm" in name else pool[at : at + count]
                writer.write(name, start, values.data)
    return folder


def build(shape: Shape, folder: Path, steps: int | None, until: str, sets: list[str]) -> int:
    """`packager build` of the shape's recipe on the base in `folder`; its exit code."""
    own = ["smoke=[]", *([f"train.max_steps={steps}"] if steps else []), *sets]
    words = [
        "build",
        shape.recipe,
        "--base",
        str(folder / "base"),
        "--build-dir",
        str(folder / "build"),
        "--until",
        until,
    ]
    return subprocess.run(
        [sys.executable, "-m", "packager", *words, *(word for one in own for word in ("--set", one))], cwd=ROOT
    ).returncode


def stages(run: Path) -> dict[str, dict[str, Any]]:
    """What each finished stage took, and its failed checks."""
    found = {}
    for name in STAGES:
        record = read_record(run / name / "stage.json") or read_record(run / f"{name}.stage.json")
        if record is None:
            continue
        checks = [check for check in record["artifact"].get("checks", ()) if not check["passed"]]
        found[name] = {"seconds": record["seconds"], "peak_gb": round((record["peak_ram_bytes"] or 0) / 1e9, 2),
                       "failed": [f"{c['id']}: {c['says']}" for c in checks]}  # fmt: skip
    return found


def table(found: dict[str, dict[str, Any]], before: dict[str, dict[str, Any]]) -> str:
    """A line a stage."""
    lines = [f"{'stage':<12}{'seconds':>9}{'peak GB':>9}{'recorded s':>12}"]
    for name, cost in found.items():
        old = before.get(name, {}).get("seconds")
        lines.append(f"{name:<12}{cost['seconds']:>9.1f}{cost['peak_gb']:>9.2f}{old if old is not None else '-':>12}")
    lines.append(f"{'in all':<12}{sum(cost['seconds'] for cost in found.values()):>9.1f}")
    failed = [one for cost in found.values() for one in cost["failed"]]
    return "\n".join(
        [*lines, *(f"FAILED {one}" for one in failed), *([] if failed or not found else ["no check failed"])]
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shape", choices=list(SHAPES))
    parser.add_argument("--steps", type=int, help="Training steps (default: the recipe's).")
    parser.add_argument("--until", choices=STAGES, default="package")
    parser.add_argument("--work", type=Path, help="Folder to work in, kept (default: a temporary one).")
    parser.add_argument("--set", dest="sets", action="append", default=[], metavar="a.b=c")
    parser.add_argument("--out", type=Path, help="Write the figures here, as JSON.")
    given = parser.parse_args()
    shape = SHAPES[given.shape]
    with tempfile.TemporaryDirectory() as temporary:
        work = given.work or Path(temporary)
        if not (work / "base" / "config.json").is_file():
            base(shape, work / "base")
        code = build(shape, work, given.steps, given.until, given.sets)
        found = stages(work / "build" / shape.recipe)
    recorded = json.loads(RECORDED.read_text(encoding="utf-8")) if RECORDED.is_file() else {}
    print(table(found, recorded.get(given.shape, {}).get("stages", {})))
    if given.out:
        result = {"machine": measuring.machine(), "shape": given.shape, "stages": found}
        given.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return code


if __name__ == "__main__":
    sys.exit(main())
