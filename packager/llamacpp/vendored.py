"""llama.cpp's source in vendor/: fetched and checked.

`vendor/llama.cpp.lock` pins the sdist of llama-cpp-python that the source is taken from. Fails with
`MissingResource` when the source is not there or cannot be fetched.
"""

from __future__ import annotations

import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import yaml

from packager.artifacts.files import fresh, sha256_of
from packager.errors import InputError, MissingResource
from packager.process import progress
from packager.process.pip_download import download
from packager.recipe.loading import ROOT

VENDOR = ROOT / "vendor"
MARKER = ".complete"
LEFT_OUT = ("docs", "media", "benches", ".git")
"""Top-level folders of llama.cpp that nothing here needs (half of its bytes)."""
DOWNLOAD_SECONDS = 1800.0


@dataclass(frozen=True)
class Lock:
    """What vendor/llama.cpp.lock pins."""

    package: str
    version: str
    sha256: str
    commit: str


def lock(vendor: Path = VENDOR) -> Lock:
    """The pinned sdist; raises `InputError` if the file is damaged."""
    path = vendor / "llama.cpp.lock"
    try:
        return Lock(**yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError, TypeError) as error:
        raise InputError(f"{path} is not readable: {error}", "restore it with git checkout vendor") from error


def commit() -> str:
    """The commit of llama.cpp that converter and runtime are built from."""
    return lock().commit


def fetch_source(vendor: Path = VENDOR) -> Path:
    """Bring llama.cpp's source into `vendor`, if it is not there yet; returns its folder.

    The sdist is taken from `vendor` itself if it lies there, else from the package index. Raises
    `MissingResource` without network, `InputError` if its checksum differs from the lock's.
    """
    pinned = lock(vendor)
    target = vendor / "llama.cpp"
    if _is_complete(target, pinned):
        return target
    name = f"{pinned.package}-{pinned.version}.tar.gz"
    with tempfile.TemporaryDirectory(dir=vendor, suffix=".partial") as aside:
        sdist = vendor / name
        if not sdist.is_file():
            sdist = _download(pinned, Path(aside))
        if (found := sha256_of(sdist)) != pinned.sha256:
            raise InputError(
                f"{name} has sha256 {found}, but vendor/llama.cpp.lock pins {pinned.sha256}.",
                "do not use this file; find out which is right before going on",
            )
        progress.note(f"unpacking llama.cpp {pinned.commit[:9]}")
        partial = fresh(Path(aside) / "llama.cpp")
        _unpack(sdist, partial)
        (partial / MARKER).write_text(pinned.sha256 + "\n", encoding="utf-8")
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)
    return target


def converter() -> Path:
    """convert_hf_to_gguf.py, of the same commit as the installed runtime; raises `MissingResource`."""
    pinned = lock()
    script = VENDOR / "llama.cpp" / "convert_hf_to_gguf.py"
    if not (_is_complete(script.parent, pinned) and script.is_file()):
        raise MissingResource("llama.cpp's source is not in vendor/llama.cpp yet.", "make setup")
    try:
        installed = metadata.version(pinned.package)
    except metadata.PackageNotFoundError:
        installed = "none"
    if installed != pinned.version:
        raise MissingResource(
            f"The runtime is {pinned.package} {installed}, but the converter is of {pinned.version}.", "make setup"
        )
    return script


def _is_complete(folder: Path, pinned: Lock) -> bool:
    marker = folder / MARKER
    return marker.is_file() and marker.read_text(encoding="utf-8").strip() == pinned.sha256


def _download(pinned: Lock, into: Path) -> Path:
    progress.note(f"fetching the source of {pinned.package} {pinned.version} (77 MB)")
    advice = "check the network and run `make setup` again; or put its .tar.gz into vendor/"
    return download(pinned.package, pinned.version, into, source=True, timeout=DOWNLOAD_SECONDS, advice=advice)


def _unpack(sdist: Path, folder: Path) -> None:
    """Extract vendor/llama.cpp of an sdist into `folder`; raises `InputError` if it holds none."""
    with tarfile.open(sdist) as archive:
        root = f"{sdist.name.removesuffix('.tar.gz')}/vendor/llama.cpp/"
        try:
            for member, name in _wanted(archive, root):
                _extract(archive, member, folder / name)
        except tarfile.TarError as error:
            raise InputError(f"{sdist.name} cannot be unpacked: {error}", "do not use this file") from error
    if not (folder / "convert_hf_to_gguf.py").is_file():
        raise InputError(f"{sdist.name} holds no vendor/llama.cpp.", "check version in vendor/llama.cpp.lock")


def _wanted(archive: tarfile.TarFile, root: str) -> Iterator[tuple[tarfile.TarInfo, str]]:
    """The files below `root`, each with its name there."""
    for member in archive:
        inner = member.name.removeprefix(root)
        if inner == member.name or inner.split("/")[0] in LEFT_OUT or member.isdir():
            continue
        if ".." in inner.split("/"):
            raise tarfile.TarError(f"{member.name} lies outside")
        yield member, inner


def _extract(archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    """One file; `extractall` with its filter is not in every Python 3.11 (Debian 12 has 3.11.2)."""
    source = archive.extractfile(member) if member.isfile() else None
    if source is None:
        raise tarfile.TarError(f"{member.name} is no file")
    path.parent.mkdir(parents=True, exist_ok=True)
    with source, path.open("wb") as target:
        shutil.copyfileobj(source, target)
