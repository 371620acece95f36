"""The text of a cell: cleaned, or the reason why it is none.

The text is stripped, line ends become `\\n`, and letters are composed (NFC: the same `ã` whatever wrote it). What
an export writes for an empty cell (`nan`, `None`, `#REF!`) is one.
"""

from __future__ import annotations

import datetime
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from packager.data.rows.columns import value_of
from packager.data.rows.records import kind_of

_EMPTY_TEXT = """
    nan none null n/a na #n/a <na> #n/d nat nil undefined - -- — – (null) (vazio) (blank) [null]
    n/d s/n ? ?? ??? ... … [] {} tbd xxx xxxx
    #ref! #valor! #value! #name? #nome? #nombre? #div/0! #num! #núm! #null! #nulo! #spill! #calc! #getting_data
"""
_EMPTY_WORDS = ("sem resposta", "não informado", "nao informado", "a definir", "a preencher", "no answer")
EMPTY = frozenset((*_EMPTY_TEXT.split(), *_EMPTY_WORDS))
"""Whole cells that stand for an empty one: what pandas, SQL, Excel, LibreOffice and people write, in Portuguese and
English."""
NO_TEXT = re.compile(r"[\0\ud800-\udfff]")
"""A NUL, and half of a pair of surrogates: no file can hold it as text."""


class Unusable(Exception):
    """Why a record makes no row."""


def text_of(values: Mapping[str, Any], *names: str, where: str = "", required: bool = True) -> str:
    """The cleaned text of a column (the first of `names` that is there); raises `Unusable` if it is missing,
    empty or no text."""
    name, value = value_of(values, *names)
    if value is None:
        if required:
            raise Unusable(f"empty '{name}'{where}" if name in values else f"missing field '{name}'{where}")
        return ""
    if not isinstance(value, str):
        raise Unusable(f"'{name}'{where} is not text, but {_kind(value)}")
    return checked(value, f"'{name}'{where}", required=required)


def checked(value: str, name: str, *, required: bool = True) -> str:
    """The cleaned text; raises `Unusable` if it is empty or holds what is no text."""
    text = cleaned(value)
    if required and not text:
        raise Unusable(f"empty {name}")
    if text.casefold() in EMPTY:
        if required:
            raise Unusable(
                f"empty {name}: it says what is written for an empty cell (nan, None, #REF!, n/d and the like)"
            )
        return ""
    if NO_TEXT.search(text):
        raise Unusable(f"{name} holds characters that are no text")
    return text


def cleaned(text: str) -> str:
    """Composed (NFC), with line ends of one kind, and nothing blank around it: as chat templates pass it on."""
    return unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n")).strip()


def _kind(value: Any) -> str:
    if isinstance(value, (datetime.date, datetime.time, datetime.timedelta)):
        return "a date or time (a spreadsheet's cell must be formatted as text)"
    return kind_of(value)
