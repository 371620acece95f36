"""Exports of the clinic's page (`clinic.feedback`) -> a data file of rows for a person to review.

Each note becomes a row with its question and an empty answer: what the model said and what a person remarked stand
beside it, and the reviewer writes the right answer. Identifiers are looked for once more and replaced. Fails with
`InputError` for a file that is no export, and for a data file that is there already.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from packager.artifacts.files import write_atomically
from packager.data.audit import identifiers
from packager.errors import InputError
from packager.recipe import loading

TEXTS = ("question", "answer", "comment", "mode", "passage")
SOURCES = ("recipe", "version", "model")


def rows(exports: Sequence[Path]) -> list[dict[str, str]]:
    """The notes of all exports, each once, in their order."""
    found: dict[str, dict[str, str]] = {}
    for path in exports:
        for note in _notes(path):
            row = {name: identifiers.redact(_said(note, name))[0] for name in TEXTS}
            row = {
                "question": row["question"],
                "answer": "",
                "said": row["answer"],
                "comment": row["comment"],
                "mode": row["mode"],
                "passage": row["passage"],
                "from": " ".join(_said(note, name) for name in SOURCES).strip(),
            }
            found[json.dumps(row, sort_keys=True)] = row
    return list(found.values())


def write(name: str, exports: Sequence[Path]) -> tuple[Path, int]:
    """Write NAME.jsonl beside the recipes' own folder's data, or here; returns its path and how many rows it has."""
    check_name(name)
    made = rows(exports)
    if not made:
        raise InputError(f"{exports[0]} holds no note.", "export them in the clinic's page first")
    path = loading.own_folder() / f"{name}.jsonl"
    if path.exists():
        raise InputError(f"{path} is there already.", "choose another name, or move it away")
    write_atomically(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in made))
    return path, len(made)


def check_name(name: str) -> None:
    """Raise `InputError` for what cannot name a recipe or its file."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9_.-]{0,63}", name):
        shown = name if len(name) <= 80 else f"{name[:77]}..."
        raise InputError(
            f"'{shown}' is no name for a recipe.",
            "use up to 64 lower-case letters, digits, '_', '.' and '-', beginning with a letter or digit",
        )


def _said(note: dict[str, Any], name: str) -> str:
    """What a note says of something; half of a pair of surrogates, which no file can hold, becomes `?`."""
    value = note.get(name)
    return "" if value is None else str(value).encode("utf-8", "replace").decode("utf-8")


def _notes(path: Path) -> Iterator[dict[str, Any]]:
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}", "give a file that the page exported") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            note = json.loads(line)
        except (ValueError, RecursionError):
            note = None
        if not isinstance(note, dict) or note.get("format") != 1 or not _said(note, "question").strip():
            raise InputError(f"{path.name}:{number} is no note of the clinic's page.", "give a file that it exported")
        yield note
