"""What a package was made from and what was proven of it -> `manifest.json`.

The whole lineage, and no path of this machine.
"""

from __future__ import annotations

import re
from pathlib import PureWindowsPath
from typing import Any

from packager import __version__
from packager.artifacts.kinds import Adapter, Checkpoint, Dataset, GgufFile, Ggufs, Merged, Proof
from packager.artifacts.knowledge import Knowledge
from packager.llamacpp import vendored
from packager.package.bom import BOM
from packager.recipe.recipe import Recipe

PLACES = ("model", "source", "template", "encoder", "folder", "questions")
"""Fields of a recipe that may name a file or folder."""


def packed_name(recipe: Recipe, file: GgufFile) -> str:
    """What a quantized file is called in the package."""
    return f"{recipe.name}-{file.type}.gguf"


def manifest_of(
    recipe: Recipe,
    base: Checkpoint,
    data: Dataset,
    adapter: Adapter | None,
    merged: Merged,
    ggufs: Ggufs,
    proof: Proof,
    knowledge: Knowledge | None = None,
) -> dict[str, Any]:
    """manifest.json; the first of the files is the default one."""

    return {
        "packager": __version__,
        "name": recipe.name,
        "recipe": public(recipe.model_dump(mode="json")),
        "base": base.model_dump(mode="json", exclude={"folder", "content"}),
        "data": data.model_dump(mode="json", exclude={"folder", "content"}),
        "adapter": adapter.model_dump(mode="json", exclude={"folder", "content"}) if adapter else None,
        "merged": merged.model_dump(mode="json", exclude={"folder", "content"}),
        "llama.cpp": vendored.commit(),
        "files": [
            file.model_dump(mode="json") | {"name": packed_name(recipe, file), "default": number == 0}
            for number, file in enumerate(ggufs.files)
        ],
        "proof": {
            "passed": proof.passed,
            "failed": [c.id for c in proof.failed],
            "waived": [c.name for c in proof.checks if c.waived],
            "checks": [c.model_dump(mode="json") for c in proof.checks],
            "figures": [f.model_dump(mode="json") for f in proof.figures],
        },
        "licence": base.licence or "unknown",
        "bom": BOM,
    } | (
        {
            "knowledge": knowledge.model_dump(
                mode="json", exclude={"folder", "checks", "searches", "mistakes", "files"}
            )
            | {"mode": proof.mode, "mode_because": proof.mode_because}
        }
        if knowledge
        else {}
    )


def public(value: Any, field: str = "") -> Any:
    """A recipe, or a part of it, as the manifest shows it: files of this machine by their names only."""
    if isinstance(value, dict):
        return {key: public(one, key.rpartition(".")[2]) for key, one in value.items()}
    if isinstance(value, list):
        return [public(one, field) for one in value]
    if field not in PLACES or not isinstance(value, str) or re.search(r"{[{%]", value):
        return value
    parts = re.split(r"[/\\]", value.rstrip("/\\"))
    leads_away = value.startswith(("/", "~")) or PureWindowsPath(value).is_absolute() or ".." in parts
    return parts[-1] if leads_away else value
