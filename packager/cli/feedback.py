"""Exports of the clinic's page (`clinic.feedback`) -> a data file of rows for a person to review.

Each note becomes a row with its question and an empty answer: what the model said and what a person remarked stand
beside it, and the reviewer writes the right answer. Identifiers are looked for once more and replaced. Fails with
`InputError` for a file that is no export, and for a data file that is there already.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

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
            row = {name: identifiers.redact(str(note.get(name, "")))[0] for name in TEXTS}
            row = {
                "question": row["question"],
                "answer": "",
                "said": row["answer"],
                "comment": row["comment"],
                "mode": row["mode"],
                "passage": row["passage"],
                "from": " ".join(str(note.get(name, "")) for name in SOURCES).strip(),
            }
            found[json.dumps(row, sort_keys=True)] = row
    return list(found.values())


def write(name: str, exports: Sequence[Path]) -> tuple[Path, int]:
    """Write NAME.jsonl beside the recipes' own folder's data, or here; returns its path and how many rows it has."""
    made = rows(exports)
    if not made:
        raise InputError(f"{exports[0]} holds no note.", "export them in the clinic's page first")
    path = loading.own_folder() / f"{name}.jsonl"
    try:
        with path.open("x", encoding="utf-8") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in made)
    except FileExistsError as error:
        raise InputError(f"{path} is there already.", "choose another name, or move it away") from error
    return path, len(made)


def _notes(path: Path) -> Iterator[dict[str, Any]]:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}", "give a file that the page exported") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            note = json.loads(line)
        except ValueError:
            note = None
        if not isinstance(note, dict) or note.get("format") != 1 or not str(note.get("question", "")).strip():
            raise InputError(f"{path.name}:{number} is no note of the clinic's page.", "give a file that it exported")
        yield note
