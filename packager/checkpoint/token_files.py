"""The tokenizer's files of a base: are they what their names say, and does every token have a row?

A folder and the rows of its embedding -> what is wrong, in words. Looks at the first bytes for what a
download leaves instead of a file (a Git LFS pointer, a page of a website), walks through tokenizer.model
as SentencePiece would, and takes the largest id of every file that numbers tokens.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from packager.errors import InputError

POINTER = b"version https://git-lfs"
PAGES = (b"<!doctype html", b"<html", b"<?xml")
PIECE, LENGTH, FIXED32, FIXED64, VARINT = 1, 2, 5, 1, 0
"""Field of a piece in SentencePiece's ModelProto; protobuf's kinds of values."""
ID_FIELDS = ("bos_token_id", "eos_token_id", "pad_token_id")


def instead_of_a_file(path: Path) -> str:
    """What lies there in place of the file, in words ('' if it may be the file)."""
    with path.open("rb") as file:
        head = file.read(512)
    if head.startswith(POINTER):
        return "a Git LFS pointer, not the file itself"
    if head.lstrip().lower().startswith(PAGES):
        return "a page of a website, not the file itself"
    return ""


def stand_ins(folder: Path, names: Sequence[str]) -> list[InputError]:
    """One error for all of the named files that are something else; raises nothing."""
    paths = (folder / name for name in names)
    found = [(path.name, what) for path in paths if path.is_file() and (what := instead_of_a_file(path))]
    pointers = any("LFS" in what for _, what in found)
    fix = "fetch it with `git lfs pull`, or download it again" if pointers else "download it again"
    return [InputError("; ".join(f"{name} is {what}" for name, what in found) + ".", fix)] if found else []


def token_problems(folder: Path, config: Mapping[str, Any], rows: int) -> Iterator[InputError]:
    """Tokens without a row in the embedding of so many (0: unknown), and a tokenizer.model that is none."""
    ids = dict(_largest_ids(folder))
    model = folder / "tokenizer.model"
    if model.is_file() and not instead_of_a_file(model):
        pieces = pieces_of(model.read_bytes())
        if pieces is None:
            yield InputError(
                "tokenizer.model is no whole SentencePiece model.",
                "download it again; if the base has a tokenizer of another kind, take the file out of the folder",
            )
        else:
            ids["tokenizer.model"] = (pieces - 1, "its last piece")
    beyond = {name: (i, token) for name, (i, token) in ids.items() if rows and i >= rows}
    if beyond:
        found = "; ".join(f"{name} has {token!r} as {i}" for name, (i, token) in beyond.items())
        yield InputError(
            f"The embedding has {rows} rows, for tokens 0 to {rows - 1}, but {found}.",
            "use the tokenizer that belongs to these weights; tokens that were added need rows of their own"
            " (resize_token_embeddings), trained and saved with the base",
        )
    said = [(one, name) for one in (config, _object(folder / "generation_config.json")) for name in ID_FIELDS]
    numbers = dict.fromkeys((name, i) for one, name in said for i in _numbers(one.get(name)))
    wrong = [f"{name} is {i}" for name, i in numbers if rows and not 0 <= i < rows]
    if wrong:
        yield InputError(
            f"The embedding has {rows} rows, but {'; '.join(wrong)} (config.json, generation_config.json).",
            "correct the ids after the base's tokenizer",
        )


def pieces_of(model: bytes) -> int | None:
    """How many pieces a SentencePiece model holds; None if the bytes are no whole one."""
    at, pieces = 0, 0
    try:
        while at < len(model):
            key, at = _varint(model, at)
            kind = key & 7
            if kind == LENGTH:
                size, at = _varint(model, at)
                at += size
            elif kind == VARINT:
                _, at = _varint(model, at)
            elif kind in (FIXED32, FIXED64):
                at += 4 if kind == FIXED32 else 8
            else:
                return None
            pieces += key >> 3 == PIECE and kind == LENGTH
    except IndexError:
        return None
    return pieces if at == len(model) and pieces else None


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at
        if shift > 63:
            raise IndexError


def _largest_ids(folder: Path) -> Iterator[tuple[str, tuple[int, str]]]:
    """Of each file that numbers tokens, the largest number and its token."""
    tokenizer = _object(folder / "tokenizer.json")
    model = tokenizer.get("model")
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    pairs: list[tuple[Any, Any]] = []
    if isinstance(vocabulary, dict):
        pairs = [(i, token) for token, i in vocabulary.items()]
    elif isinstance(vocabulary, list):  # Unigram: pairs of piece and score
        pairs = [(len(vocabulary) - 1, "its last piece")]
    added = tokenizer.get("added_tokens")
    pairs += [(a.get("id"), a.get("content")) for a in added or () if isinstance(a, dict)]
    decoder = _object(folder / "tokenizer_config.json").get("added_tokens_decoder")
    listed = decoder.items() if isinstance(decoder, dict) else ()
    for name, found in (
        ("tokenizer.json", pairs),
        ("added_tokens.json", [(i, token) for token, i in _object(folder / "added_tokens.json").items()]),
        (
            "tokenizer_config.json",
            [(int(i), t.get("content")) for i, t in listed if i.isdigit() and isinstance(t, dict)],
        ),
    ):
        numbered = [(i, str(token)) for i, token in found if isinstance(i, int)]
        if numbered:
            yield name, max(numbered)


def _object(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty where there is none, or where another check names what is wrong."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _numbers(value: Any) -> list[int]:
    listed = value if isinstance(value, list) else [value]
    return [one for one in listed if isinstance(one, int) and not isinstance(one, bool)]
