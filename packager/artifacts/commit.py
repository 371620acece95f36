"""A folder that was written aside takes its place, and is whole whenever the program is killed.

A commit is: files synced, the record written last, the new folder exchanged with the old one in one step
of the file system, the old one deleted. Where the record may not lie in the folder, because the folder is
handed to people, it is written beside it first under another name (`NAME.next.json`) and renamed after the
exchange; `settle` finishes or takes back what a kill left between the two.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import ctypes
import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from packager.artifacts.files import sha256_of, write_json

RECORD = "stage.json"
SCRATCH = ("key", "checkpoints")
"""What a stage that was interrupted keeps for itself; no part of its result."""
_EXCHANGE, _HERE = 2, -100
"""RENAME_EXCHANGE and AT_FDCWD of Linux (linux/fs.h, linux/fcntl.h)."""


def listed(partial: Path, sha256: Callable[[Path], str] = sha256_of) -> list[dict[str, Any]]:
    """The files of a result, each with its name, size in bytes and sha256; hashed on several cores."""
    not_made = {partial / RECORD, *(partial / name for name in SCRATCH)}
    files = sorted(p for p in partial.rglob("*") if p.is_file() and not {p, *p.parents} & not_made)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        hashes = pool.map(sha256, files)
    return [
        {"name": p.relative_to(partial).as_posix(), "size": p.stat().st_size, "sha256": found}
        for p, found in zip(files, hashes, strict=True)
    ]


def commit(run: Path, name: str, record: dict[str, Any], *, beside: bool) -> None:
    """Make `NAME.partial` of the run folder the folder NAME, with its record in it or beside it.

    What a resumed stage would need is deleted after the record was written: a kill before the record
    repeats the end of the stage, a kill after it leaves only the exchange to be done.
    """
    partial = run / f"{name}.partial"
    for file in record["files"]:
        _sync(partial / file["name"])
    write_json(run / f"{name}.next.json" if beside else partial / RECORD, record)
    _delete_scratch(partial)
    _sync(partial)
    _finish(run, name)


def settle(run: Path, name: str) -> None:
    """Finish a commit that a kill cut off, or take it back; nothing happens where there was none."""
    partial, next_record = run / f"{name}.partial", run / f"{name}.next.json"
    if (run / f"{name}.old").is_dir() and not (run / name).exists():
        (run / f"{name}.old").rename(run / name)
    if not next_record.is_file():
        return
    record = read_record(next_record)
    if record is None or not (_is(run / name, record) or _is(partial, record)):
        next_record.unlink()
    elif _is(run / name, record):
        _delete(partial)
        next_record.replace(run / f"{name}.{RECORD}")
    else:
        _delete_scratch(partial)
        _finish(run, name)


def finish_if_whole(run: Path, name: str, key: str) -> None:
    """Put a folder in its place that has its record for `key` already: only the exchange was missing."""
    record = read_record(run / f"{name}.partial" / RECORD)
    if record and record.get("key") == key and _is(run / f"{name}.partial", record):
        _delete_scratch(run / f"{name}.partial")
        _finish(run, name)


def read_record(path: Path) -> dict[str, Any] | None:
    """A record, or None if there is none that can be read."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) else None


def _finish(run: Path, name: str) -> None:
    partial, place = run / f"{name}.partial", run / name
    if place.exists():
        _exchange(partial, place)
    else:
        partial.rename(place)
    with contextlib.suppress(FileNotFoundError):
        (run / f"{name}.next.json").replace(run / f"{name}.{RECORD}")
    _delete(partial)
    _delete(run / f"{name}.old")
    _sync(run)


def _exchange(new: Path, old: Path) -> None:
    """Swap two folders in one step; where the file system cannot, the old one is set aside first."""
    try:
        if ctypes.CDLL(None, use_errno=True).renameat2(_HERE, bytes(new), _HERE, bytes(old), _EXCHANGE) == 0:
            return
        number = ctypes.get_errno()
    except AttributeError:  # no such call in this C library
        number = errno.ENOSYS
    if number not in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
        raise OSError(number, os.strerror(number), str(new))
    aside = old.with_name(f"{old.name}.old")
    _delete(aside)
    old.rename(aside)
    new.rename(old)


def _is(folder: Path, record: dict[str, Any]) -> bool:
    """Whether the folder holds the files of the record, by their hashes."""
    files = [(folder / file["name"], file) for file in record["files"]]
    return folder.is_dir() and all(
        path.is_file() and path.stat().st_size == file["size"] and sha256_of(path) == file["sha256"]
        for path, file in files
    )


def _delete_scratch(partial: Path) -> None:
    for name in SCRATCH:
        if (partial / name).is_dir():
            shutil.rmtree(partial / name)
        else:
            (partial / name).unlink(missing_ok=True)


def _delete(folder: Path) -> None:
    """The record goes first: what is left by a kill does not look whole."""
    (folder / RECORD).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
