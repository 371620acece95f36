"""What a base says about its licence: in the head of its card, and in files that are to be passed on.

A folder -> the licence's name and link, and its texts (LICENSE, NOTICE and the like) copied beside a checkpoint
and read back. Nothing here fails: what is no text, or is a pointer to one, is not a licence file.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from packager.checkpoint.token_files import instead_of_a_file

PATTERNS = ("LICENSE*", "LICENCE*", "NOTICE*", "USE_POLICY*", "COPYING*")
"""The names that bases give such files."""
_NAME = re.compile(r"(LICEN[SC]E|NOTICE|USE_POLICY|COPYING)[\w.-]*", re.IGNORECASE)
CARD = "README.md"
LARGEST = 1_000_000
"""Bytes beyond which a file is no licence text."""


def card(folder: Path) -> dict[str, Any]:
    """What the model card says in its head (licence, base_model); empty where there is none."""
    path = folder / CARD
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    head = re.match(r"---\r?\n(.*?)\r?\n---", text, re.DOTALL)
    try:
        found = yaml.safe_load(head[1]) if head else None
    except yaml.YAMLError:
        found = None
    return found if isinstance(found, dict) else {}


def named(card: Mapping[str, Any]) -> tuple[str, str]:
    """Name and link of the licence, by the head of a model card; of one called `other`, the name it is given."""
    name, own, link = (card.get(field) for field in ("license", "license_name", "license_link"))
    if name == "other" and isinstance(own, str) and own:
        return own, link if isinstance(link, str) else ""
    return (name, "") if isinstance(name, str) else ("", "")


def in_wheel(name: str) -> bool:
    """Is this file of a wheel a licence text that lies beside its data? Those of the package's own code
    (*.dist-info) are not the model's."""
    path = PurePosixPath(name)
    return not path.parts[0].endswith(".dist-info") and bool(_NAME.fullmatch(path.name))


def files(folder: Path) -> list[Path]:
    """The licence texts in a folder, by name."""
    found = [p for p in folder.iterdir() if _NAME.fullmatch(p.name) and p.is_file()]
    return sorted(p for p in found if p.stat().st_size <= LARGEST and not instead_of_a_file(p))


def carry(folder: Path, out: Path) -> None:
    """Copy the licence texts of a base beside its checkpoint."""
    for path in files(folder):
        shutil.copyfile(path, out / path.name)


def beside(gguf: Path, parts: Collection[Path]) -> Path | None:
    """The folder whose licence texts are those of a GGUF file: its own, if no other model lies there.

    `parts` are the file's own, itself among them. What lies beside several models may be any one's.
    """
    folder = gguf.parent
    others = [p for p in folder.iterdir() if p.suffix in (".gguf", ".safetensors") and p not in parts]
    return None if others else folder


def read(folder: Path) -> dict[str, str]:
    """The licence texts beside a checkpoint, by file name."""
    return {path.name: path.read_text(encoding="utf-8", errors="replace") for path in files(folder)}
