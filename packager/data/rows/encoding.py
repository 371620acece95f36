"""Text files: bytes -> text, or an error that names the encoding the file is likely in."""

from __future__ import annotations

import codecs
import unicodedata
from pathlib import Path

from packager.errors import InputError

_BOMS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_EIGHT_BIT = ("cp1252", "cp850", "mac_roman")
_ACCENTED = frozenset("áàâãäéèêíïóòôõöúùüçñÁÀÂÃÉÊÍÓÔÕÚÜÇÑªº“”‘’–—…°§«»")


def read_text(path: Path, encoding: str) -> str:
    """The text of a file with `\\n` line ends; a byte order mark is dropped.

    Raises `InputError` for an unknown encoding, or for a file that is not in the one given.
    """
    content = path.read_bytes()
    try:
        codecs.lookup(encoding)
    except LookupError as error:
        raise InputError(f"'{encoding}' is not an encoding.", "use utf-8, cp1252, ...") from error
    bom = bom_of(content)
    try:
        text = content.decode("utf-8-sig" if encoding.lower() in {"utf-8", "utf8"} and not bom else encoding)
    except UnicodeDecodeError as error:
        raise InputError(_not_in(path, encoding, content, error), _convert(guess(content))) from error
    if "\0" in text:
        raise InputError(
            f"{path.name} is not {encoding} text: it holds NUL characters; it looks like {guess(content)}.",
            _convert(guess(content)),
        )
    return text.replace("\r\n", "\n").replace("\r", "\n")


def encoding_of(path: Path) -> str:
    """The encoding of a text file: utf-8, where all of it is that, else the likeliest."""
    content = path.read_bytes()
    if not bom_of(content) and b"\0" not in content:
        try:
            content.decode("utf-8")
        except UnicodeDecodeError:
            return guess(content)
        return "utf-8"
    return guess(content)


def bom_of(content: bytes) -> str:
    """The encoding a byte order mark states, or ''."""
    return next((name for bom, name in _BOMS if content.startswith(bom)), "")


def guess(content: bytes) -> str:
    """The likeliest encoding of text that is not UTF-8.

    UTF-16 shows in its byte order mark or in NULs at every other byte; 8-bit encodings are told
    apart by which of them turns the bytes above 127 into letters that Portuguese uses.
    """
    if bom := bom_of(content):
        return bom
    sample = content[:100_000]
    if sample.count(0) > len(sample) // 8:
        return "utf-16-le" if sample[1::2].count(0) >= sample[::2].count(0) else "utf-16-be"
    high = bytes(b for b in content if b > 127)[:100_000]

    def score(encoding: str) -> int:
        decoded = high.decode(encoding, errors="replace")
        return sum(
            2 if c in _ACCENTED else (-2 if c == "\ufffd" or unicodedata.category(c)[0] == "C" else -1) for c in decoded
        )

    return max(_EIGHT_BIT, key=score)


def _not_in(path: Path, encoding: str, content: bytes, error: UnicodeDecodeError) -> str:
    line = content.count(b"\n", 0, error.start) + 1
    return (
        f"{path.name} is not {encoding.upper()} text: byte 0x{content[error.start]:02x} on line {line}; "
        f"it looks like {guess(content)}."
    )


def _convert(likely: str) -> str:
    return f"save it as UTF-8, or name its encoding: data.encoding: {likely} in a recipe, otherwise --encoding {likely}"
