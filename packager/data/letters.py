"""Texts as they are compared: without case and accents; and whether words occur in one."""

from __future__ import annotations

import re
import unicodedata


def unaccented(text: str) -> str:
    """The text without case and accents, and ligatures and wide letters as plain ones ("Pressão" -> "pressao")."""
    plain = text.casefold()
    if plain.isascii():
        return plain
    return "".join(c for c in unicodedata.normalize("NFKD", plain) if not unicodedata.combining(c))


def occurs(word: str, text: str) -> bool:
    """Does it occur as whole words, case and accents ignored? A `*` stands for any letters and digits."""
    return bool(re.search(rf"(?<!\w){_pattern(word)}(?!\w)", _plain(text)))


def begins(word: str, text: str) -> bool:
    """Does the text begin with it, as `occurs` compares; quotation marks and brackets before it apart?"""
    return bool(re.match(rf"[^\w]*{_pattern(word)}(?!\w)", _plain(text)))


def _pattern(word: str) -> str:
    return r"\w*".join(re.escape(part) for part in _plain(word).split("*"))


def _plain(text: str) -> str:
    return " ".join(unaccented(text).split())
