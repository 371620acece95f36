"""A whole build at a real model's size, from random weights under its real vocabulary: seconds and memory by stage.

    python bench/whole.py phi3_3.8b [--steps 60] [--until package] [--work FOLDER] [--set a.b=c …] [--out FILE]

Nothing is downloaded: the base is that of proof_at_size.py, which looks for false alarms. What it says is
noise, so there are no smoke questions; all else is the recipe's. Needs, on the disk, about four times the weights in 16
bits. Prints a line a stage, beside what was recorded before (bench/results/whole.json), and the checks that failed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(Path(__file__).parent), str(ROOT)]

import measuring  # noqa: E402
import proof_at_size  # noqa: E402

from packager.artifacts.commit import read_record  # noqa: E402
from packager.pipeline.line import STAGES  # noqa: E402

RECORDED = ROOT / "bench" / "results" / "whole.json"


RECIPES = {"tiny_phi3": "phi3_aps", "qwen25_1.5b": "phi3_aps", "phi3_3.8b": "phi3_aps", "llama31_8b": "llama31_medquad"}
"""What is built on each shape of `proof_at_size`."""


def build(recipe: str, folder: Path, steps: int | None, until: str, sets: list[str]) -> int:
    """`packager build` of a recipe on the base in `folder`; its exit code."""
    own = ["smoke=[]", *([f"train.max_steps={steps}"] if steps else []), *sets]
    places = ["--base", str(folder / "base"), "--build-dir", str(folder / "build"), "--until", until]
    command = [sys.executable, "-m", "packager", "build", recipe, *places]
    return subprocess.run([*command, *(word for one in own for word in ("--set", one))], cwd=ROOT).returncode


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
    parser.add_argument("shape", choices=list(RECIPES))
    parser.add_argument("--steps", type=int, help="Training steps (default: the recipe's).")
    parser.add_argument("--until", choices=STAGES, default="package")
    parser.add_argument("--work", type=Path, help="Folder to work in, kept (default: a temporary one).")
    parser.add_argument("--set", dest="sets", action="append", default=[], metavar="a.b=c")
    parser.add_argument("--out", type=Path, help="Write the figures here, as JSON.")
    given = parser.parse_args()
    recipe = RECIPES[given.shape]
    with tempfile.TemporaryDirectory() as temporary:
        work = given.work or Path(temporary)
        if not (work / "base" / "config.json").is_file():
            proof_at_size.make_base(given.shape, work / "base")
        code = build(recipe, work, given.steps, given.until, given.sets)
        found = stages(work / "build" / recipe)
    recorded = json.loads(RECORDED.read_text(encoding="utf-8")) if RECORDED.is_file() else {}
    print(table(found, recorded.get(given.shape, {}).get("stages", {})))
    if given.out:
        result = {"machine": measuring.machine(), "shape": given.shape, "stages": found}
        given.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return code


if __name__ == "__main__":
    sys.exit(main())
