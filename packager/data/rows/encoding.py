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
_NO_TEXT = (
    (b"PK\x03\x04", "a spreadsheet (.xlsx, .ods) or another ZIP archive"),
    (b"PAR1", "a Parquet file (.parquet)"),
    (b"\xd0\xcf\x11\xe0", "an old Excel file (.xls)"),
    (b"\x1f\x8b", "a compressed file (.gz)"),
)
"""How files begin that are no text, whatever their names say."""
_ACCENTED = frozenset("áàâãäéèêíïóòôõöúùüçñÁÀÂÃÉÊÍÓÔÕÚÜÇÑªº“”‘’–—…°§«»")


def read_text(path: Path, encoding: str) -> str:
    """The text of a file with `\\n` line ends; a byte order mark is dropped.

    Raises `InputError` for an unknown encoding, or for a file that is not in the one given: also for UTF-8 that an
    8-bit encoding would read as other letters, without an error.
    """
    content = path.read_bytes()
    if kind := next((kind for begin, kind in _NO_TEXT if content.startswith(begin)), ""):
        raise InputError(
            f"{path.name} is no text: it is {kind}.", "give it the ending of what it is, or export it as text (UTF-8)"
        )
    name = checked_name(encoding)
    if name != "utf-8" and is_utf8(content) and _is_eight_bit(name):
        raise InputError(
            f"{path.name} is UTF-8, not {encoding}: its accented letters would become others.",
            "data.encoding: utf-8 in a recipe, otherwise --encoding utf-8",
        )
    try:
        text = content.decode(name)
    except UnicodeDecodeError as error:
        raise InputError(_not_in(path, encoding, content, error), _convert(guess(content))) from error
    except UnicodeError as error:  # codecs with rules of their own
        raise InputError(f"{path.name} is not {encoding} text: {error}.", _convert(guess(content))) from error
    if "\0" in text:
        raise _has_nul(path, encoding, content, text)
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def checked_name(encoding: str) -> str:
    """Python's name of an encoding. Raises `InputError` for what is none of text (rot13, hex, undefined)."""
    try:
        found = codecs.lookup(encoding)
        if found._is_text_encoding and found.name != "undefined":  # what `bytes.decode` itself asks
            return found.name
    except (LookupError, ValueError):  # a NUL or another odd character in the name
        pass
    raise InputError(f"'{encoding}' is not an encoding of text.", "use utf-8, cp1252, ...")


def _is_eight_bit(name: str) -> bool:
    """Does every byte stand for a letter of its own?"""
    try:
        return not name.startswith("utf") and len(bytes(range(256)).decode(name, "replace")) == 256
    except UnicodeError:
        return False


def is_utf8(content: bytes) -> bool:
    """Is it UTF-8 beyond doubt: with letters of several bytes, all of them right, or with its byte order mark?"""
    if content.isascii():
        return False
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return content.startswith(codecs.BOM_UTF8)
    return True


def _has_nul(path: Path, encoding: str, content: bytes, text: str) -> InputError:
    """Many NULs are another encoding, a few are damage: then its line is what helps."""
    if guess(content).startswith("utf-"):
        said = f"it holds NUL characters; it looks like {guess(content)}."
        return InputError(f"{path.name} is not {encoding} text: {said}", _convert(guess(content)))
    line = text.count("\n", 0, text.index("\0")) + 1
    return InputError(f"{path.name} holds a NUL character on line {line}, which is no text.", "delete it there")


def encoding_of(path: Path) -> str:
    """The encoding of a text file: utf-8, where all of it is that, else the likeliest."""
    content = path.read_bytes()
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return guess(content)
    likely = guess(content) if bom_of(content) or b"\0" in content else "utf-8"
    return likely if likely.startswith("utf-") else "utf-8"


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
