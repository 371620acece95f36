"""Hashes, files that are written whole or not at all, files under a second name, and the folder of the cache."""

from __future__ import annotations

import concurrent.futures
import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from packager.errors import MissingResource


def sha256_of(path: Path) -> str:
    """The sha256 of a file, as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hashes_of(paths: Sequence[Path]) -> list[str]:
    """The sha256 of each file, on several cores."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        return list(pool.map(sha256_of, paths))


def key_of(*parts: object) -> str:
    """The sha256 of the canonical JSON of `parts`."""
    text = json.dumps(parts, sort_keys=True, default=str, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def write_atomically(path: Path, text: str) -> None:
    """Write aside, sync, rename: readers see the old file or the new one."""
    aside = path.with_name(path.name + ".partial")
    with aside.open("w", encoding="utf-8", newline="\n") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)


def json_text(value: object) -> str:
    """As our files hold it."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def json_lines(path: Path) -> list[Any]:
    """The values of a JSONL file, a line each; U+2028 and its like, at which `splitlines` splits, end none."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def write_json(path: Path, value: object) -> None:
    write_atomically(path, json_text(value))


def fresh(folder: Path) -> Path:
    """An empty folder at `folder`, whatever was there."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def link_or_copy(source: Path, target: Path) -> None:
    """The same file under another name: a hard link costs no disk; where the file system has none, a copy.

    A `source` that is itself a link stays one.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copyfile(source, target, follow_symlinks=False)


def cache_folder(*parts: str) -> Path:
    """Where downloads are kept between builds: `~/.cache/packager`, or below XDG_CACHE_HOME; `parts` within it.

    Raises `MissingResource` where there is no home to keep it in, or where it cannot be made.
    """
    root = Path(os.environ["XDG_CACHE_HOME"]) if os.environ.get("XDG_CACHE_HOME") else None
    if root is None and (home := home_folder()) is not None:
        root = home / ".cache"
    why = "there is no home folder"
    if root is not None:
        try:
            (root / "packager").mkdir(parents=True, exist_ok=True)
            return root.joinpath("packager", *parts)
        except OSError as error:
            why = f"{root}: {error.strerror}"
    raise MissingResource(
        f"Downloads have no place to be kept ({why}).", "set XDG_CACHE_HOME to a folder that you may write to"
    )


def home_folder() -> Path | None:
    """The user's home; None where HOME is unset or no folder, as for a container's uid without a name."""
    try:
        home = Path.home()
    except RuntimeError:
        return None
    return home if home.is_dir() else None
