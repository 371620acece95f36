"""A bundle -> a folder on a USB stick, read back and compared; begun again, it goes on where it stopped.

Sticks are often FAT32: no file of 4 GiB, and some names are impossible. Fails with `InputError` for such a
name, `MissingResource` for a stick without room, `ProofFailed` for one that does not give back what was written.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from packager.artifacts.files import sha256_of, write_atomically
from packager.errors import InputError, MissingResource, ProofFailed
from packager.package.signing import SIGNATURE
from packager.package.verify import CHECKSUMS, checksums, left_behind
from packager.process import progress

LARGEST = 4 * 10**9
"""Bytes of the largest file that is put into a bundle."""
LAUNCHERS = ("iniciar.sh", "iniciar.bat")
"""What a stick holds beside its folders: they start the newest one that verifies."""
OPENED = b"FIRST=."
"""In the start scripts: whose program is started, of the folders below."""
CHUNK = 4 << 20
TRIES = 3
PARTIAL = ".partial"
_RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))}
_FORBIDDEN = frozenset('<>:"\\|?*') | {chr(code) for code in range(32)}
LONGEST_NAME, LONGEST_PATH = 120, 200
"""Characters; Windows refuses paths of more than 259 with the folder they are in."""


def refused_names(names: Iterable[str]) -> list[str]:
    """What keeps each of these names from a FAT32 stick or from Windows."""
    faults: list[str] = []
    seen: dict[str, str] = {}
    for name in names:
        for part in PurePosixPath(name).parts:
            if _FORBIDDEN & set(part) or part[-1] in " ." or len(part) > LONGEST_NAME:
                faults.append(f"{name}: '{part}' cannot be the name of a file on Windows")
            elif part.partition(".")[0].lower() in _RESERVED:
                faults.append(f"{name}: Windows keeps the name '{part.partition('.')[0]}' for itself")
        if len(name) > LONGEST_PATH:
            faults.append(f"{name}: is longer than {LONGEST_PATH} characters")
        if (other := seen.setdefault(name.casefold(), name)) != name:
            faults.append(f"{name}: a stick holds it to be the same as {other}")
    return faults


def copy(bundle: Path, stick: Path) -> Path:
    """Copy `bundle` to `stick`/RECIPE-VERSION, whole; returns that folder.

    What is there already and reads back right is kept. SHA256SUMS goes last: until then nothing on the
    stick passes for a bundle.
    """
    facts = json.loads((bundle / "runtime" / "config.json").read_text(encoding="utf-8"))
    sums, _ = checksums((bundle / CHECKSUMS).read_text(encoding="utf-8"))
    last = [name for name in (SIGNATURE, CHECKSUMS) if (bundle / name).is_file()]
    wanted = {**sums, **{name: sha256_of(bundle / name) for name in last}}
    target = stick / f"{facts['recipe']}-{facts['version']}"
    target.mkdir(parents=True, exist_ok=True)
    _refuse_others(target, wanted)
    wrong = _wrong(target, wanted)
    _need_room(bundle, target, wrong)
    for _ in range(TRIES):
        if not wrong:
            break
        (target / CHECKSUMS).unlink(missing_ok=True)
        _copy_files(bundle, target, [*(n for n in wrong if n != CHECKSUMS), CHECKSUMS])
        wrong = _wrong(target, wanted)
    if wrong:
        raise ProofFailed(
            f"{target} does not read back as it was written: {', '.join(wrong)}.", "use another stick; this one is bad"
        )
    _launchers(bundle, stick, target.name, facts["version"])
    return target


def _wrong(target: Path, wanted: Mapping[str, str]) -> list[str]:
    """The files that are not there, or do not read as they should."""
    there = {name: (target / name).stat().st_size for name in wanted if (target / name).is_file()}
    done, total = 0, sum(there.values())
    right = set()
    for name, size in there.items():
        if sha256_of(target / name) == wanted[name]:
            right.add(name)
        done += size
        progress.update(done / 1e6, total / 1e6, "MB read back")
    return [name for name in wanted if name not in right]


def _refuse_others(target: Path, wanted: Mapping[str, str]) -> None:
    """Half copies of an earlier try go; anything else that is no part of the bundle stops the copy."""
    for path in sorted(p for p in target.rglob("*") if not p.is_dir()):
        name = path.relative_to(target).as_posix()
        if name in wanted or name.removesuffix(PARTIAL) in wanted or left_behind(name):
            continue
        raise InputError(f"{path} does not belong to the bundle.", f"move it away, or delete {target}")


def _need_room(bundle: Path, target: Path, names: Sequence[str]) -> None:
    def left(name: str) -> int:
        begun = [p for p in (target / name, target / (name + PARTIAL)) if p.is_file()]
        return (bundle / name).stat().st_size - sum(p.stat().st_size for p in begun)

    needed, free = sum(map(left, names)), shutil.disk_usage(target).free
    if needed > free:
        raise MissingResource(
            f"{target} needs {needed / 1e6:,.0f} MB more, and {free / 1e6:,.0f} MB are free.",
            "delete old versions from the stick, or use a larger one",
        )


def _copy_files(bundle: Path, target: Path, names: Sequence[str]) -> None:
    total = sum((bundle / name).stat().st_size for name in names)
    done = 0
    for name in names:
        for count in _copy_file(bundle / name, target / name):
            done += count
            progress.update(done / 1e6, total / 1e6, "MB copied")


def _copy_file(source: Path, target: Path) -> Iterator[int]:
    """Copy aside and rename, yielding bytes; an earlier half copy is kept as far as it is right."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + PARTIAL)
    partial.touch()
    with source.open("rb") as original, partial.open("r+b") as out:
        while (data := original.read(CHUNK)) and out.read(len(data)) == data:
            yield len(data)
        at = original.tell() - len(data)
        original.seek(at)
        out.seek(at)
        out.truncate()
        while data := original.read(CHUNK):
            out.write(data)
            yield len(data)
        out.flush()
        os.fsync(out.fileno())
        if hasattr(os, "posix_fadvise"):  # so that reading back reads the stick, not this machine's memory
            os.posix_fadvise(out.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    with contextlib.suppress(OSError):  # FAT32 knows no right to execute; a disk does
        shutil.copymode(source, partial)
    partial.replace(target)


def _launchers(bundle: Path, stick: Path, folder: str, version: str) -> None:
    """The start scripts at the top of the stick are those of its newest folder, and name it: its program is asked
    which of the folders may be started, never that of a folder that somebody laid beside it."""
    whole = [path.parent for path in stick.glob(f"*/{CHECKSUMS}")]
    if version < max(_version(path / "runtime" / "config.json") for path in whole):
        return
    for name in LAUNCHERS:
        if (bundle / name).is_file():
            text = (bundle / name).read_bytes().replace(OPENED, f"FIRST={folder}".encode())
            write_atomically(stick / name, text.decode())
            with contextlib.suppress(OSError):
                shutil.copymode(bundle / name, stick / name)


def _version(config: Path) -> str:
    """The version that a folder states; the lowest where it cannot be read, for it may be anybody's."""
    try:
        return str(json.loads(config.read_text(encoding="utf-8"))["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
