"""Passages -> `knowledge.jsonl` and `knowledge.bin` in a folder, and back.

`knowledge.jsonl` has a passage a line, for people and other programs; `knowledge.bin` (layout in source/search.h) is
what the search reads: passages, vectors, hubness, thresholds and the words people type. Fails with `InputError` on
files that are damaged or do not belong together.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from packager.artifacts.files import json_lines
from packager.errors import InputError
from packager.knowledge import engine
from packager.knowledge.passages import Passage

PASSAGES = "knowledge.jsonl"
INDEX = "knowledge.bin"
_HEADER = struct.Struct("<8sIIiiIQ")
_MAGIC = b"PKNOW002"


@dataclass(frozen=True)
class Threshold:
    """Scores, in millionths, that the best passage must reach."""

    near: int
    """To be shown as the closest."""
    sure: int
    """To be shown as the answer."""


NONE = Threshold(0, 0)


def write(passages: Sequence[Passage], folder: Path, programs: Path, threshold: Threshold = NONE) -> None:
    """Both files into `folder`, without hubness. `programs` keeps the compiled search."""
    clean = [replace(p, question=p.question.replace("\0", " "), text=p.text.replace("\0", " ")) for p in passages]
    expressions = engine.EXPRESSIONS.read_bytes()
    texts = b"".join(engine.c_text(part) + b"\0" for p in clean for part in (p.question, p.text))
    header = _HEADER.pack(
        _MAGIC, len(clean), engine.DIMENSIONS, threshold.near, threshold.sure, len(expressions), len(texts)
    )
    head = header + expressions + texts
    vectors = engine.vectors(programs, [(p.question, p.text) for p in clean])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / PASSAGES).write_text(
        "".join(json.dumps(asdict(p), ensure_ascii=False) + "\n" for p in clean), encoding="utf-8"
    )
    (folder / INDEX).write_bytes(head + b"\0" * (-len(head) % 4) + vectors + bytes(4 * len(clean)))


def set_threshold(folder: Path, threshold: Threshold) -> None:
    """Write other scores into `knowledge.bin`."""
    data = bytearray((folder / INDEX).read_bytes())
    fields = list(_header(bytes(data), folder / INDEX))
    fields[3:5] = threshold.near, threshold.sure
    data[: _HEADER.size] = _HEADER.pack(*fields)
    (folder / INDEX).write_bytes(bytes(data))


def set_hubness(folder: Path, hubness: Sequence[int]) -> None:
    """Write the hubness of every passage, in millionths, into `knowledge.bin`."""
    data = (folder / INDEX).read_bytes()
    (folder / INDEX).write_bytes(data[: -4 * len(hubness)] + struct.pack(f"<{len(hubness)}i", *hubness))


def threshold(folder: Path) -> Threshold:
    """The scores in `knowledge.bin`."""
    return Threshold(*_header((folder / INDEX).read_bytes(), folder / INDEX)[3:5])


def read(folder: Path) -> list[Passage]:
    """The passages of `knowledge.jsonl`, held against those of `knowledge.bin`."""
    try:
        passages = [Passage(**row) for row in json_lines(folder / PASSAGES)]
    except (ValueError, TypeError) as error:
        raise InputError(f"{folder / PASSAGES} is damaged: {error}", "build the package again") from error
    data = (folder / INDEX).read_bytes()
    _, count, _, _, _, expressions, texts = _header(data, folder / INDEX)
    start = _HEADER.size + expressions
    held = b"".join(engine.c_text(part) + b"\0" for p in passages for part in (p.question, p.text))
    if count != len(passages) or data[start : start + texts] != held:
        raise InputError(
            f"{PASSAGES} and {INDEX} in {folder} do not hold the same passages.", "build the package again"
        )
    return passages


def _header(data: bytes, path: Path) -> tuple[bytes, int, int, int, int, int, int]:
    if len(data) < _HEADER.size or data[:8] != _MAGIC:
        raise InputError(f"{path} does not begin as a knowledge file.", "build the package again")
    magic, count, dimensions, near, sure, expressions, texts = _HEADER.unpack_from(data)
    return magic, count, dimensions, near, sure, expressions, texts
