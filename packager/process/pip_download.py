"""A pinned package of the package index -> its wheel or source archive in a folder; `PackagerError` if pip cannot."""

from __future__ import annotations

import sys
from pathlib import Path

from packager.errors import Interrupted, MissingResource, PackagerError
from packager.process import child


def download(
    name: str, version: str, into: Path, *, source: bool, timeout: float, advice: str, platform: str = ""
) -> Path:
    """The wheel (or, with `source`, the .tar.gz) of one version, without what it depends on; the wheel for another
    `platform` than this one, if that is given.

    Raises `MissingResource` with the `advice`, if it cannot be had within `timeout` seconds.
    """
    form = ["--no-binary", name] if source else ["--only-binary", ":all:"]
    form += ["--platform", platform] if platform else []
    command: list[str | Path] = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", *form, "--dest", into]
    try:
        child.run([*command, f"{name}=={version}"], timeout=timeout)
    except Interrupted:
        raise
    except PackagerError as error:
        message = f"Could not download {name} {version} from the package index.\n{error.message}"
        raise MissingResource(message, advice) from error
    return next(into.glob("*.tar.gz" if source else "*.whl"))
