"""Texts as they are compared: without case and accents; and whether words occur in one."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator


def unaccented(text: str) -> str:
    """The text without case and accents, and ligatures and wide letters as plain ones ("Pressão" -> "pressao")."""
    folded = text.casefold()
    if folded.isascii():
        return folded
    return "".join(c for c in unicodedata.normalize("NFKD", folded) if not unicodedata.combining(c))


def occurs(word: str, text: str) -> bool:
    """Does it occur as whole words, case and accents ignored? A `*` stands for any letters and digits."""
    return any(True for _ in places(word, text))


def places(word: str, text: str) -> Iterator[int]:
    """Where it occurs, as `occurs` finds it: the beginnings in `plain(text)`."""
    for found in re.finditer(rf"(?<!\w){_pattern(word)}(?!\w)", plain(text)):
        yield found.start()


def _pattern(word: str) -> str:
    return r"\w*".join(re.escape(part) for part in plain(word).split("*"))


def plain(text: str) -> str:
    """The text as it is compared: `unaccented`, with single blanks."""
    return " ".join(unaccented(text).split())
