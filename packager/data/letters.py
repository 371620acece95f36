"""Texts as they are compared: without case and accents."""

from __future__ import annotations

import unicodedata


def unaccented(text: str) -> str:
    """The text without case and accents, and ligatures and wide letters as plain ones ("Pressão" -> "pressao")."""
    plain = text.casefold()
    if plain.isascii():
        return plain
    return "".join(c for c in unicodedata.normalize("NFKD", plain) if not unicodedata.combining(c))
