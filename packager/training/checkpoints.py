"""Resumable checkpoints: `checkpoints/step-N/`, each with a manifest of sizes and hashes written last.

A checkpoint that is not whole, for whatever reason, is skipped and the one before it is used.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch

from packager.artifacts.files import fresh, sha256_of, write_json
from packager.process import progress

MANIFEST, STATE, BEST = "manifest.json", "state.pt", "best.pt"
KEPT = 2


def save(folder: Path, step: int, state: dict[str, Any]) -> None:
    """Write `state` (tensors, numbers, strings, lists and dicts of them) as `folder/step-N/`."""
    final = folder / f"step-{step:07d}"
    aside = fresh(final.with_name(final.name + ".partial"))
    with (aside / STATE).open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    described = {"size": (aside / STATE).stat().st_size, "sha256": sha256_of(aside / STATE)}
    write_json(aside / MANIFEST, {"step": step, "files": {STATE: described}})
    shutil.rmtree(final, ignore_errors=True)  # a damaged one of the same step
    aside.rename(final)
    for old in _newest_first(folder)[KEPT:]:
        shutil.rmtree(old)


def save_best(folder: Path, state: dict[str, Any]) -> None:
    """Write the adapter with the least held-out loss so far, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    aside = folder / f"{BEST}.partial"
    torch.save(state, aside)
    aside.replace(folder / BEST)


def best(folder: Path) -> dict[str, Any] | None:
    """What `save_best` wrote last, on the CPU."""
    if not (folder / BEST).is_file():
        return None
    state: dict[str, Any] = torch.load(folder / BEST, map_location="cpu", weights_only=True)
    return state


def newest(folder: Path) -> dict[str, Any] | None:
    """The state of the newest checkpoint that is whole, on the CPU; None if there is none."""
    for checkpoint in _newest_first(folder):
        if _whole(checkpoint):
            state: dict[str, Any] = torch.load(checkpoint / STATE, map_location="cpu", weights_only=True)
            return state
        progress.note(f"checkpoint {checkpoint.name} is damaged and is skipped")
    return None


def _newest_first(folder: Path) -> list[Path]:
    return sorted((p for p in folder.glob("step-*") if p.suffix != ".partial"), reverse=True)


def _whole(checkpoint: Path) -> bool:
    try:
        files = json.loads((checkpoint / MANIFEST).read_text(encoding="utf-8"))["files"]
        return all(
            (checkpoint / name).stat().st_size == file["size"] and sha256_of(checkpoint / name) == file["sha256"]
            for name, file in files.items()
        )
    except (OSError, ValueError, KeyError):
        return False
