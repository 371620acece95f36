"""Damage of encodings and exports in text: how it is recognized, and what `data.clean` puts in its place.

A text and the kinds to mend -> the mended text. Nothing is mended that the recipe does not name.
"""

from __future__ import annotations

import contextlib
import html
import re
from collections.abc import Callable, Sequence
from html.entities import html5
from typing import Any

from packager.errors import MissingResource

_SUSPECT = re.compile(r"[ÃÂâÅÄÐÑðŸ├√\x80-\x9f]|ï¿½|ï»¿")
_RARE = {"├": "cp850", "√": "mac_roman"}
"""What UTF-8's first byte of an accented letter becomes in encodings that ftfy lacks, or does not see in a few."""
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_NAMES = (
    "a abbr b blockquote body br center code dd div dl dt em font footer form h1 h2 h3 h4 h5 h6 head header hr html i"
    " img input label li link main meta nav o:p ol option p pre s script section select small span strike strong style"
    " sub sup table tbody td tfoot th thead title tr tt u ul"
)
_TAG = re.compile(rf"</?(?:{'|'.join(_NAMES.split())})(?:\s[^<>]*|/)?/?>|<!--.*?-->|<!DOCTYPE[^>]*>", re.I | re.S)
_HIDDEN = re.compile(r"<(script|style)\b.*?</\1\s*>", re.I | re.S)
_BREAK = re.compile(r"\s*<(?:br\s*/?|/(?:p|div|tr|h[1-6]|ul|ol|table|blockquote|section))\s*>\s*", re.I)
_LIST = re.compile(r"\s*<(?:ul|ol)(?:\s[^<>]*)?>\s*", re.I)
_ITEM = re.compile(r"\s*<li(?:\s[^<>]*)?>\s*", re.I)
_EXCEL = re.compile(r"_x([0-9A-Fa-f]{4})_")
_ESCAPE = re.compile(r"\\u[0-9a-fA-F]{4}|\\[nrt](?![a-z])|[%=][Cc][23][%=][89ABab][0-9A-Fa-f]")
_ADDRESS = re.compile(r"https?://\S+")
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]"
)


def has_mojibake(text: str) -> bool:
    """Does it hold UTF-8 that was read as another encoding (`orientaÃ§Ã£o`)?"""
    return _SUSPECT.search(text) is not None and _without_mojibake(text) != text


def has_html(text: str) -> bool:
    """Does it hold HTML's tags or named characters? `<5 mg` and `A&B` are none."""
    return _TAG.search(text) is not None or any(_is_entity(found[0]) for found in _ENTITY.finditer(text))


def has_excel_escape(text: str) -> bool:
    """Does it hold Excel's way to write a control character (`_x000D_`)?"""
    return _EXCEL.search(text) is not None


def has_escape(text: str) -> bool:
    """Does it hold what should have become a letter or a line end (`\\u00e3`, `\\n`, `%C3%A3`, `=C3=A3`)?"""
    return _ESCAPE.search(_ADDRESS.sub("", text)) is not None


def has_control(text: str) -> bool:
    """Does it hold control characters, or invisible ones that no reader sees?"""
    return _CONTROL.search(text) is not None


def mended(text: str, kinds: Sequence[str]) -> str:
    """The text with the damage of the given kinds mended, in the order in which exports add it."""
    for kind, (has, mend) in MENDING.items():
        if kind in kinds and has(text):
            text = mend(text)
    return text


def _is_entity(found: str) -> bool:
    return found[1] == "#" or found[1:] in html5


def _without_mojibake(text: str) -> str:
    found = str(_ftfy().fix_encoding(text))
    for sign, encoding in _RARE.items():
        if sign in found:
            with contextlib.suppress(UnicodeError):
                return found.encode(encoding).decode("utf-8")
    return found


def _without_html(text: str) -> str:
    text = _BREAK.sub("\n", _LIST.sub("", _HIDDEN.sub("", text)))
    text = re.sub(r"\n+- ", "\n- ", _ITEM.sub("\n- ", text))
    text = html.unescape(_TAG.sub("", text)).replace("\u00a0", " ")
    return re.sub(r"\n{3,}", "\n\n", re.sub(r"[ \t]+\n", "\n", text)).strip()


def _without_excel_escapes(text: str) -> str:
    plain = _EXCEL.sub(lambda found: chr(int(found[1], 16)), text)
    return plain.replace("\r\n", "\n").replace("\r", "\n")


def _without_control(text: str) -> str:
    return _CONTROL.sub("", text)


def _ftfy() -> Any:
    try:
        import ftfy
    except ImportError as error:
        raise MissingResource("Finding and mending mojibake needs ftfy.", "pip install ftfy") from error
    return ftfy


MENDING: dict[str, tuple[Callable[[str], bool], Callable[[str], str]]] = {
    "excel": (has_excel_escape, _without_excel_escapes),
    "html": (has_html, _without_html),
    "mojibake": (has_mojibake, _without_mojibake),
    "control": (has_control, _without_control),
}
"""By the name that `data.clean` has for it: is it there, and the text without it."""
