"""The tokens of a GGUF file -> tokenizer.model, which the converter makes the same tokens of again.

transformers unpacks a SentencePiece tokenizer into a tokenizer.json alone, which treats some spaces otherwise than
the file. llama.cpp's converter reads
tokenizer.model (pieces and scores) and, for what it must take whole, `added_tokens_decoder` in
tokenizer_config.json. Fails with `InputError` for tokens that are no SentencePiece model.
Format: https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packager.errors import InputError
from packager.llamacpp import gguf_file
from packager.llamacpp.gguf_arrays import read_arrays

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
"""Types of tokens: the same numbers in GGUF files and in SentencePiece models."""
MODEL, SETTINGS, TOKENIZER = "tokenizer.model", "tokenizer_config.json", "tokenizer.json"
SPACE = "▁"


@dataclass(frozen=True)
class Piece:
    """One token."""

    text: str
    score: float
    type: int


def restore(gguf: Path, folder: Path) -> int:
    """Write the tokenizer.model of a GGUF file into `folder`, and what else the converter reads.

    Returns the number of its pieces; 0 for a file whose tokenizer is of another kind, where nothing is written.
    """
    metadata = gguf_file.inspect(gguf).metadata
    if metadata.get("tokenizer.ggml.model") != "llama":
        return 0
    pieces = _pieces(gguf)
    prefix = bool(metadata.get("tokenizer.ggml.add_space_prefix", True))
    unknown = metadata.get("tokenizer.ggml.unknown_token_id")
    written = sentencepiece_model(_with_unknown(pieces, unknown if isinstance(unknown, int) else None), prefix=prefix)
    _check(written, gguf.name)
    (folder / MODEL).write_bytes(written)
    settings: dict[str, Any] = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    settings |= {"added_tokens_decoder": _taken_whole(pieces), "add_prefix_space": prefix}
    (folder / SETTINGS).write_text(json.dumps(settings, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    tokenizer = json.loads((folder / TOKENIZER).read_text(encoding="utf-8"))
    written_anew = tokenizer | {"normalizer": _spaces(prefix), "pre_tokenizer": None}
    (folder / TOKENIZER).write_text(json.dumps(written_anew, indent=2, ensure_ascii=False), encoding="utf-8")
    return len(pieces)


def sentencepiece_model(pieces: Iterable[Piece], *, prefix: bool) -> bytes:
    """A BPE model with these pieces; `prefix`: a space is put before every text."""
    pieces = list(pieces)
    trainer = _number(3, 2) + _number(4, len(pieces)) + _number(35, 1)  # BPE, vocab_size, byte_fallback
    normalizer = _block(1, b"identity") + _number(3, int(prefix)) + _number(4, 0) + _number(5, 1)
    return b"".join(_block(1, _piece(piece)) for piece in pieces) + _block(2, trainer) + _block(3, normalizer)


def _pieces(gguf: Path) -> list[Piece]:
    names = [f"tokenizer.ggml.{name}" for name in ("tokens", "scores", "token_type")]
    found = read_arrays(gguf, names)
    tokens, scores, types = (found.get(name, []) for name in names)
    if not len(tokens) == len(scores) == len(types):
        raise InputError(
            f"{gguf.name} has {len(tokens)} tokens, but {len(scores)} scores and {len(types)} types of tokens.",
            "use the original checkpoint (hf:org/name, or a folder)",
        )
    return [Piece(*one) for one in zip(tokens, scores, types, strict=True)]


def _with_unknown(pieces: Sequence[Piece], unknown: int | None) -> list[Piece]:
    """SentencePiece asks for exactly one unknown piece, which GGUF files may have as a control token."""
    at = next((i for i, piece in enumerate(pieces) if piece.type == UNKNOWN), unknown)
    kinds = [UNKNOWN if i == at else CONTROL if piece.type == UNKNOWN else piece.type for i, piece in enumerate(pieces)]
    return [Piece(piece.text, piece.score, kind) for piece, kind in zip(pieces, kinds, strict=True)]


def _spaces(prefix: bool) -> dict[str, Any]:
    """What llama.cpp does to a text before it is split. transformers' Llama tokenizer puts no space before a text
    that begins with one; llama.cpp does."""
    before = [{"type": "Prepend", "prepend": SPACE}] if prefix else []
    spaces = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
    return {"type": "Sequence", "normalizers": [*before, spaces]}


def _taken_whole(pieces: Sequence[Piece]) -> dict[str, dict[str, Any]]:
    """Control tokens and those that are found in a text before it is split, as tokenizer_config.json lists them."""
    return {
        str(number): {
            "content": piece.text.replace(" ", SPACE),
            "lstrip": False,
            "normalized": False,
            "rstrip": False,
            "single_word": False,
            "special": piece.type == CONTROL,
        }
        for number, piece in enumerate(pieces)
        if piece.type in (CONTROL, USER_DEFINED)
    }


def _check(model: bytes, name: str) -> None:
    import sentencepiece

    try:
        sentencepiece.SentencePieceProcessor(model_proto=model)
    except (RuntimeError, ValueError) as error:
        raise InputError(
            f"The tokens of {name} make no SentencePiece model: {error}",
            "use the original checkpoint (hf:org/name, or a folder)",
        ) from error


def _piece(piece: Piece) -> bytes:
    score = _varint(2 << 3 | 5) + struct.pack("<f", piece.score)
    return _block(1, piece.text.encode()) + score + _number(3, piece.type)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _block(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])
