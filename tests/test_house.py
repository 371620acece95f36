"""The structure of the house: rooms in one order, imports downward only, nothing too large, heavy imports late."""

from __future__ import annotations

import ast
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "packager"
ROOMS = (
    "errors",
    "process",
    "recipe",
    "artifacts",
    "prompt",
    "llamacpp",
    "hub",
    "package",
    "data",
    "knowledge",
    "proof",
    "checkpoint",
    "training",
    "evaluation",
    "report",
    "clinic",
    "stages",
    "pipeline",
    "publish",
    "cli",
    "__main__",
)
"""From the ground up: a room imports from those before it."""
HEAVY = {"torch", "transformers", "peft", "bitsandbytes", "llama_cpp", "datasets", "gguf", "huggingface_hub", "pyarrow"}
CLOCKS = {"time", "monotonic", "perf_counter", "process_time", "thread_time"}
LOOSE = {"__init__.py", "__main__.py", "errors.py"}
ALL = [p for p in sorted(PACKAGE.rglob("*.py")) if p != PACKAGE / "__init__.py"]
every_module = pytest.mark.parametrize("path", ALL, ids=lambda p: p.relative_to(PACKAGE).as_posix())


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def lines_of(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def imported(path: Path) -> Iterator[str]:
    """Modules of ours that a module imports, at its top or later: "packager.room.module"."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("packager"):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_every_room_is_on_the_list_and_nothing_is_loose() -> None:
    there = {p.name for p in PACKAGE.iterdir() if p.is_dir() and p.name != "__pycache__"}
    assert there == set(ROOMS) - {"errors", "__main__"}
    assert {p.name for p in PACKAGE.glob("*.py")} == LOOSE
    assert len(ROOMS) - 1 <= 20


@every_module
def test_imports_point_downward(path: Path) -> None:
    floor = {room: number for number, room in enumerate(ROOMS)}
    rooms = {name.split(".")[1] for name in imported(path)} - {room_of(path), "__version__"}
    assert not {room for room in rooms if floor[room] > floor[room_of(path)]}


@every_module
def test_a_stage_is_imported_by_no_other(path: Path) -> None:
    if room_of(path) == "stages":
        assert not {name for name in imported(path) if name.startswith("packager.stages")}


@every_module
def test_faces_hand_nothing_on(path: Path) -> None:
    if path.name == "__init__.py":
        assert len(tree_of(path).body) == 1, "a room's face holds a docstring; import from the module"


def test_modules_and_functions_keep_to_their_size() -> None:
    sizes = [lines_of(path) for path in ALL if path.name != "__init__.py"]
    assert statistics.median(sizes) <= 150
    assert {p.name for p in [*ALL, *PACKAGE.rglob("*.[ch]")] if lines_of(p) > 300} == set()
    assert lines_of(PACKAGE / "pipeline" / "line.py") <= 150
    long = [
        f"{path.relative_to(PACKAGE)}:{node.lineno} {node.name}"
        for path in ALL
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno + 1 > 50
    ]
    assert not long


@every_module
def test_heavy_libraries_are_imported_where_they_are_used(path: Path) -> None:
    if room_of(path) == "training":  # imported by the train stage's child process only
        return
    top = [n for n in tree_of(path).body if isinstance(n, (ast.Import, ast.ImportFrom))]
    names = {alias.name for n in top if isinstance(n, ast.Import) for alias in n.names}
    names |= {n.module or "" for n in top if isinstance(n, ast.ImportFrom)}
    assert not {name.split(".")[0] for name in names} & HEAVY


@pytest.mark.parametrize(
    ("library", "rooms"),
    [("huggingface_hub", {"hub", "publish"}), ("llama_cpp", {"llamacpp"}), ("subprocess", {"process"})],
)
def test_some_libraries_are_known_in_one_place(library: str, rooms: set[str]) -> None:
    users = {room_of(p) for p in ALL if f"import {library}" in p.read_text() or f"from {library} " in p.read_text()}
    assert users <= rooms


def durations(tree: ast.Module) -> Iterator[int]:
    """The lines where a moment that was read from a clock is taken from another, to be judged."""

    def called(node: ast.expr | None) -> str:
        function = node.func if isinstance(node, ast.Call) else None
        return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")

    nodes = list(ast.walk(tree))
    read = [target for n in nodes if isinstance(n, ast.Assign) and called(n.value) in CLOCKS for target in n.targets]
    moments = {target.id for target in read if isinstance(target, ast.Name)}
    for statement in nodes:
        if isinstance(statement, (ast.Assert, ast.Assign, ast.Return)):
            for n in ast.walk(statement):
                if isinstance(n, ast.BinOp) and isinstance(n.op, ast.Sub) and getattr(n.right, "id", "") in moments:
                    yield n.lineno


def test_no_test_depends_on_how_fast_the_machine_is() -> None:
    """A clock may end a wait that would be endless; how long something took is for bench/."""
    tests = sorted(Path(__file__).parent.rglob("*.py"))
    assert not [f"{path.name}:{line}" for path in tests for line in durations(tree_of(path))]
    timed = "began = time.monotonic()\nwork()\nend = time.monotonic()\nassert end - began < 5\n"
    assert list(durations(ast.parse(timed))) == [4]
