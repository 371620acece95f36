"""Training speed: the originals' way, Unsloth's, a plain packed step and ours, on one machine.

    python bench/training.py peak guard original plain step free > results.jsonl

Each word is an experiment (see `EXPERIMENTS`; `all` is all of them); a JSON line each is printed and,
with --out FILE, written. Needs a CUDA device, but for `cpu` and `cpu_recipe`
(the default recipe's rows and examples a step; needs its build). `unsloth` needs that package.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

import measuring  # noqa: E402
import shapes  # noqa: E402
import training_models as models  # noqa: E402
import training_sides as sides  # noqa: E402
from training_guard import guard  # noqa: E402

from packager.artifacts.kinds import Dataset  # noqa: E402
from packager.prompt.masking import Encoded  # noqa: E402
from packager.training import batches  # noqa: E402

QWEN, PHI = models.SHAPES["qwen25_1.5b"], models.SHAPES["phi3_mini"]


def step(**changes: Any) -> dict[str, Any]:
    """The flashcards original's 16 examples a step."""
    return sides.ours(QWEN, models.rows(QWEN, 4096), 200, **changes)


def free(**changes: Any) -> dict[str, Any]:
    """Examples per step free: about 32,768 tokens a step."""
    return sides.ours(QWEN, models.rows(QWEN, 4096), 16, examples=270, compiled=True, **changes)


def capped(shape: models.Shape, gib: float, longest: int) -> dict[str, Any]:
    """The original with all memory (it does not fit), ours with so much, rows up to `longest` tokens."""
    rows = models.rows(shape, 256, longer_to=longest)
    return {
        "original": sides.original(shape, rows, 1, pad_to=longest),
        "ours": sides.ours(shape, rows, 40, cap_gib=gib),
    }


def two_devices() -> dict[str, Any]:
    """One device, and two with twice the examples a step."""
    from packager.training import launch

    rows = models.rows(QWEN, 4096)
    return {
        "one": launch.together(sides.both, 1, QWEN, rows, 400, 16),
        "two": launch.together(sides.both, 2, QWEN, rows, 400, 32),
        "one_free": launch.together(sides.both, 1, QWEN, rows, 12, 135),
        "two_free": launch.together(sides.both, 2, QWEN, rows, 12, 270),
    }


def cpu(rows: Sequence[Encoded], examples: int) -> dict[str, Any]:
    """SmolLM2-135M on this CPU, the loss on answers only on both sides."""
    shape = replace(models.SHAPES["smollm2_135m"], examples_per_step=examples)
    ways = {
        "naive": (sides.naive_cpu, shape, rows),
        "ours_lora": (sides.ours_cpu, shape, rows, "lora"),
        "ours_qlora": (sides.ours_cpu, shape, rows, "qlora"),
    }
    found = sides.in_turn(ways, 192 // examples)
    return {
        "threads": torch.get_num_threads(),
        "dtype": str(sides.model.compute_dtype(torch.device("cpu"))),
        "tokens_per_second": found,
        "ratio": {name: found[name] / found["naive"] for name in ways},
    }


def unsloth() -> dict[str, Any]:
    """The peer, in a process of its own, on a checkpoint of the same shape."""
    from transformers import AutoTokenizer

    with tempfile.TemporaryDirectory() as folder:
        made = shapes.base("qwen25_1.5b", Path(folder) / "base").folder
        tokenizer = AutoTokenizer.from_pretrained(made)
        tokenizer.pad_token, tokenizer.eos_token = "<|endoftext|>", "<|im_end|>"  # Unsloth does not load without
        tokenizer.save_pretrained(made)
        command = [sys.executable, str(Path(__file__).with_name("training_unsloth.py")), str(made)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def recipe_rows() -> list[Encoded]:
    """The rows that the default recipe trains on, from its build."""
    folder = Path("build/smollm2_aps/data")
    recorded = json.loads((folder / "stage.json").read_text(encoding="utf-8"))
    data = Dataset(folder=folder, content=recorded["content"], **recorded["artifact"])
    return batches.read(folder / "train.jsonl", data)


EXPERIMENTS = {
    "cpu": lambda: cpu(models.rows(models.SHAPES["smollm2_135m"], 64), 8),
    "cpu_recipe": lambda: cpu(recipe_rows(), 4),
    "peak": lambda: {"tflops": sides.matmul_peak() / 1e12},
    "original": lambda: sides.original(QWEN, models.rows(QWEN, 512), 3),
    "unsloth": unsloth,
    "plain": lambda: sides.plain(QWEN, models.rows(QWEN, 512), 5),
    "step": lambda: step(compiled=True),
    "step_not_compiled": step,
    "free": free,
    "free_no_dropout": lambda: free(dropout=0.0),
    "guard": lambda: guard(QWEN, models.rows(QWEN, 64), compiled=True),
    "guard_fresh": lambda: guard(QWEN, models.rows(QWEN, 64), fresh=True, compiled=True),
    "guard_t4": lambda: guard(QWEN, models.rows(QWEN, 64), t4=True),
    "step_t4": lambda: sides.ours(QWEN, models.rows(QWEN, 2048), 60, t4=True, cap_gib=15),
    "original_phi3": lambda: sides.original(PHI, models.rows(PHI, 128), 3),
    "plain_phi3": lambda: sides.plain(PHI, models.rows(PHI, 128), 5),
    "step_phi3": lambda: sides.ours(PHI, models.rows(PHI, 2000), 120, compiled=True),
    "guard_phi3": lambda: guard(PHI, models.rows(PHI, 32)),
    "capped_qwen_512": lambda: capped(QWEN, 6, 512),
    "capped_qwen_1024": lambda: capped(QWEN, 6, 1024),
    "capped_phi3_512": lambda: capped(PHI, 7.5, 512),
    "capped_phi3_1024": lambda: capped(PHI, 7.5, 1024),
    "profile_step": lambda: step(compiled=True, profile=True),
    "profile_free": lambda: free(profile=True),
    "two_devices": two_devices,
}


def machine() -> dict[str, Any]:
    """What the figures hold for."""
    versions = {n: metadata.version(n) for n in ("torch", "transformers", "peft", "bitsandbytes")}
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {"gpu": gpu, "python": platform.python_version(), "cpu": measuring.cpu(), **versions}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiments", nargs="+", choices=[*EXPERIMENTS, "all"])
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    lines = [{"machine": machine()}]
    for name in EXPERIMENTS if "all" in given.experiments else given.experiments:
        try:
            lines.append({name: EXPERIMENTS[name]()})
        except Exception:
            lines.append({name: {"failed": traceback.format_exc()[-1500:]}})
        sides.cap(None)
        print(json.dumps(lines[-1]), flush=True)
        if given.out:
            given.out.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


if __name__ == "__main__":
    main()
