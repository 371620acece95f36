"""The structure of the house: imports point downward only, and heavy ones are not made at the top."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "packager"
FLOORS = (
    ("errors",),
    ("progress",),
    ("proc", "worker"),
    ("artifacts", "recipe", "language", "plots"),
    ("chat", "licence", "scores"),
    ("weights", "lora", "llamacpp", "hub", "rows", "ollama", "divergence"),
    ("peft_merge",),
    ("base_model", "audit", "smoke", "card", "verify", "reference", "merging", "importance", "fit", "clinic"),
    ("report", "evaluation"),
    ("stages",),
    ("line",),
    ("plan",),
    ("preflight",),
    ("build",),
    ("push", "bundling", "summary", "talk", "doctor", "draft", "evaluated"),
    ("cli",),
    ("__main__",),
)
HEAVY = {"torch", "transformers", "peft", "bitsandbytes", "llama_cpp", "datasets", "gguf", "huggingface_hub", "pyarrow"}


def room_of(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def modules() -> list[Path]:
    return [p for p in sorted(PACKAGE.rglob("*.py")) if p != PACKAGE / "__init__.py"]


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("packager"):
            parts = (node.module or "").split(".")
            yield from ([parts[1]] if len(parts) > 1 else [alias.name for alias in node.names])


@pytest.mark.parametrize("path", modules(), ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_imports_point_downward(path: Path) -> None:
    floor = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
    room = room_of(path)
    assert room in floor, f"{room} has no floor: add it to FLOORS"
    upward = [
        other
        for other in imported(ast.parse(path.read_text(encoding="utf-8")))
        if other != room and not other.startswith("__") and floor[other] > floor[room]
    ]
    assert not upward


@pytest.mark.parametrize("path", sorted((PACKAGE / "stages").glob("*.py")), ids=lambda p: p.stem)
def test_no_stage_imports_another(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("packager.stages."):
            assert node.module.split(".")[2] == "training", f"{path.name} imports {node.module}"  # type: ignore[union-attr]
            assert path.stem == "train"


@pytest.mark.parametrize("path", modules(), ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_heavy_libraries_are_imported_where_they_are_used(path: Path) -> None:
    if "training" in path.parts:  # imported by the train stage's child process only
        return
    top = [n for n in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(n, (ast.Import, ast.ImportFrom))]
    names = {alias.name for n in top if isinstance(n, ast.Import) for alias in n.names}
    names |= {n.module or "" for n in top if isinstance(n, ast.ImportFrom)}
    assert not {name.split(".")[0] for name in names} & HEAVY


def test_one_file_imports_the_hub_and_one_starts_processes() -> None:
    def users(module: str) -> set[str]:
        found = set()
        for path in modules():
            text = path.read_text(encoding="utf-8")
            if f"import {module}" in text or f"from {module} " in text:
                found.add(room_of(path))
        return found

    assert users("huggingface_hub") <= {"hub"}
    assert users("llama_cpp") <= {"llamacpp"}
    assert users("subprocess") <= {"proc"}
