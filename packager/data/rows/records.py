"""What every reader of files yields: a record with its line, or a bad one with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Record:
    """One row as it stands in the file. In Parquet and Arrow files, `line` is the number of the row."""

    file: str
    line: int
    values: Mapping[str, Any]


@dataclass(frozen=True)
class UnusableRow:
    """A row that cannot be used, and why (never what it says)."""

    file: str
    line: int
    reason: str


def kind_of(value: Any) -> str:
    """What a value of a file is called."""
    kinds = {
        int: "a number",
        float: "a number",
        bool: "true or false",
        str: "a text",
        bytes: "bytes",
        list: "a list",
        dict: "an object",
    }
    return kinds.get(type(value), "nothing" if value is None else f"a {type(value).__name__}")
