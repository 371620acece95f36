"""The source code that makes an artifact: a front door -> the modules it reaches, each with its hash.

A result depends on the code that made it, so a stage's key holds the hash of every module of ours that
its front door imports, directly or not, and of the templates beside them. What only carries a result
(processes, records, errors, the recipe's fields, which are in the key as values) does not count. A
changed comment counts as a change: the stage runs again, and if it makes the same bytes, nothing after
it does. Nothing is imported here; files are read as text.
"""

from __future__ import annotations

import functools
import hashlib
import re
import sys
from collections.abc import Callable
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
CARRIERS = ("__init__", "errors", "process", "artifacts", "recipe")
_IMPORT = re.compile(r"^\s*from packager((?:\.\w+)*) import (?:\(([^)]*)\)|(.*))", re.MULTILINE)


def source_of(door: Callable[..., object]) -> dict[str, str]:
    """Path within the package -> sha256 of every file that the module of `door` reaches.

    A door that is not part of the package is known by its own file.
    """
    name = door.__module__
    if name.partition(".")[0] != PACKAGE.name:
        file = getattr(sys.modules.get(name), "__file__", None)
        return {name: hashlib.sha256(Path(file).read_bytes()).hexdigest()} if file else {}
    return dict(_reached(PACKAGE.parent.joinpath(*name.split(".")).with_suffix(".py")))


@functools.cache
def _reached(start: Path) -> tuple[tuple[str, str], ...]:
    seen: dict[Path, str] = {}
    waiting = [start]
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen[path], imported = _read(path)
        waiting += imported
    return tuple(sorted((path.relative_to(PACKAGE).as_posix(), digest) for path, digest in seen.items()))


@functools.cache
def _read(path: Path) -> tuple[str, tuple[Path, ...]]:
    """A file's hash, and the files that belong to its result too: what it imports, and templates beside it."""
    data = path.read_bytes()
    if path.suffix != ".py":
        return hashlib.sha256(data).hexdigest(), ()
    found = [p for p in path.parent.iterdir() if p.is_file() and p.suffix not in (".py", ".pyc")]
    for module, several, single in _IMPORT.findall(data.decode("utf-8")):
        folder = PACKAGE.joinpath(*module.split(".")[1:])
        if folder.with_suffix(".py").is_file():
            found.append(folder.with_suffix(".py"))
        names = re.findall(r"(\w+)(?: as \w+)?", (several or single).partition("#")[0])
        found += [file for name in names if (file := folder / f"{name}.py").is_file()]
    kept = [p for p in found if p.relative_to(PACKAGE).parts[0].removesuffix(".py") not in CARRIERS]
    return hashlib.sha256(data).hexdigest(), tuple(kept)
