"""Commits of the Hub that a run folder is made of: an unpinned base or data set is resolved once and kept.

A branch moves on; what was built from it does not. `pins.json` of the run folder holds which commit each
source stood for when it was first asked for, and every later build takes that commit, also where the
cache was emptied meanwhile. `--update` asks again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

from packager.artifacts.files import write_json
from packager.process import progress
from packager.recipe.recipe import Recipe

PINS = "pins.json"
_COMMIT = re.compile(r"[0-9a-f]{40}")


def known(recipe: Recipe, folder: Path) -> Recipe:
    """The recipe with the commits that the run folder holds; the network is not touched."""
    kept = _read(folder)
    return _with(recipe, lambda source, revision, _: kept.get(_name(source, revision)))


def resolved(recipe: Recipe, folder: Path, *, update: bool = False) -> Recipe:
    """The recipe with a commit for every source on the Hub, asked for where the run folder holds none.

    Raises `InputError` (no such repo or revision) or `MissingResource` (no network, nothing known).
    """
    kept = {} if update else _read(folder)

    def commit(source: str, revision: str | None, is_dataset: bool) -> str:
        name = _name(source, revision)
        if name not in kept:
            from packager.hub import reading

            kept[name] = (reading.dataset_commit if is_dataset else reading.model_commit)(source[3:], revision)
            progress.note(f"{source} is taken at commit {kept[name]}")
        return kept[name]

    before = _read(folder)
    pinned = _with(recipe, commit)
    if kept != before:
        write_json(folder / PINS, kept)
    return pinned


def _with(recipe: Recipe, commit: Callable[[str, str | None, bool], str | None]) -> Recipe:
    base, data = recipe.base, recipe.data
    if base.model.startswith("hf:") and not _COMMIT.fullmatch(base.revision or ""):
        base = base.model_copy(update={"revision": commit(base.model, base.revision, False) or base.revision})
    if data.source.startswith("hf:") and not _COMMIT.fullmatch(data.revision or ""):
        data = data.model_copy(update={"revision": commit(data.source, data.revision, True) or data.revision})
    return recipe.model_copy(update={"base": base, "data": data})


def _name(source: str, revision: str | None) -> str:
    return f"{source}@{revision or 'main'}"


def _read(folder: Path) -> dict[str, str]:
    try:
        kept = json.loads((folder / PINS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(name): str(commit) for name, commit in kept.items()} if isinstance(kept, dict) else {}
