"""What a stage's result depends on, as one hash and as the values behind it, so that a change can be named.

A key is made of the stage's section of the recipe, the content of its inputs, the installed versions that
matter, what it reads from outside, and its own source code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

from pydantic import BaseModel

from packager.artifacts.files import key_of
from packager.artifacts.kinds import Artifact
from packager.artifacts.source import source_of
from packager.artifacts.stage import Stage

SHOWN = 60
"""Characters of a value that a reason shows."""


def depends(
    stage: Stage[Any], section: BaseModel | None, inputs: Sequence[Artifact | None], sources: object
) -> dict[str, Any]:
    """Everything that the result of a stage depends on, as it is written to its record."""
    return {
        "config": section.model_dump(mode="json") if section else {},
        "inputs": {i.folder.name: i.content for i in inputs if i},
        "versions": {name: metadata.version(name) for name in stage.versions},
        "sources": json.loads(json.dumps(sources, default=str)),
        "code": source_of(stage.door),
    }


def stage_key(name: str, depends: Mapping[str, Any]) -> str:
    """One hash of all of it."""
    return key_of(name, depends)


def content_of(made: Mapping[str, Any], files: Sequence[Mapping[str, Any]]) -> str:
    """One hash of what a stage made: its facts, and the names and hashes of its files."""
    return key_of(made, [(file["name"], file["sha256"]) for file in files])


def change(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What is not as it was when the stage was last built, in words."""
    old, new = before.get("config") or {}, now["config"]
    for path, was, is_ in _differences(old, new):
        return f"{path} changed from {_short(was)} to {_short(is_)}"
    if before.get("sources") != now["sources"]:
        return "what it reads changed"
    old_inputs, new_inputs = before.get("inputs") or {}, now["inputs"]
    for name in new_inputs.keys() | old_inputs.keys():
        if old_inputs.get(name) != new_inputs.get(name):
            return f"what {name} made changed"
    for name, version in now["versions"].items():
        if (was := (before.get("versions") or {}).get(name)) != version:
            return f"{name} changed from {was} to {version}"
    old_code, new_code = before.get("code") or {}, now["code"]
    changed = sorted(n for n in new_code.keys() | old_code.keys() if old_code.get(n) != new_code.get(n))
    return f"its code changed ({changed[0]}{', …' if len(changed) > 1 else ''})" if changed else "its record is older"


def _differences(old: Any, new: Any, path: str = "") -> list[tuple[str, Any, Any]]:
    if isinstance(old, dict) and isinstance(new, dict):
        names = list(dict.fromkeys([*new, *old]))
        return [d for n in names for d in _differences(old.get(n), new.get(n), f"{path}.{n}" if path else n)]
    return [] if old == new else [(path, old, new)]


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
