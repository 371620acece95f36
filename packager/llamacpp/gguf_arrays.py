"""The metadata of a GGUF file, entry by entry: where each lies, and the arrays, such as its tokens, as lists.

gguf's own reader makes a view of every element, which takes 15 s for a large vocabulary; this takes a second.
Fails with `ValueError` for a file that is cut short or is none.
Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Collection
from pathlib import Path
from typing import Any

STRING, ARRAY = 8, 9
FORMS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""The number of a scalar type -> its letter for `struct`."""


def read_arrays(path: Path, names: Collection[str]) -> dict[str, list[Any]]:
    """Those of the named arrays that the file has; bytes that are no UTF-8 become replacement characters."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            return _Walk(data).arrays(names)
        except (struct.error, KeyError, IndexError) as error:
            raise ValueError(f"{path.name} is not a readable GGUF file: {error}") from error


def entries(path: Path) -> list[tuple[str, int, int]]:
    """Name, first byte and end of every entry of the metadata, in their order."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            return _Walk(data).entries()
        except (struct.error, KeyError, IndexError) as error:
            raise ValueError(f"{path.name} is not a readable GGUF file: {error}") from error


class _Walk:
    """A place in the bytes of a header, which every value read moves on."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data, self._at = data, 24  # after the magic, the version, and the numbers of tensors and of fields

    def entries(self) -> list[tuple[str, int, int]]:
        found = []
        for _ in range(struct.unpack_from("<Q", self._data, 16)[0]):
            start = self._at
            name = self._string()
            self._value(self._scalar("I"))
            found.append((name, start, self._at))
        return found

    def arrays(self, names: Collection[str]) -> dict[str, list[Any]]:
        found = {}
        for _ in range(struct.unpack_from("<Q", self._data, 16)[0]):
            name = self._string()
            value = self._value(self._scalar("I"))
            if name in names and isinstance(value, list):
                found[name] = value
        return found

    def _value(self, kind: int) -> Any:
        if kind == STRING:
            return self._string()
        if kind != ARRAY:
            return self._scalar(FORMS[kind])
        inner, count = self._scalar("I"), self._scalar("Q")
        if inner in FORMS:
            form = f"<{count}{FORMS[inner]}"
            values = list(struct.unpack_from(form, self._data, self._at))
            self._at += struct.calcsize(form)
            return values
        return [self._value(inner) for _ in range(count)]

    def _scalar(self, form: str) -> Any:
        (value,) = struct.unpack_from(f"<{form}", self._data, self._at)
        self._at += struct.calcsize(f"<{form}")
        return value

    def _string(self) -> str:
        size = self._scalar("Q")
        if self._at + size > len(self._data):
            raise IndexError("a text is longer than the file")
        self._at += size
        return self._data[self._at - size : self._at].decode("utf-8", "replace")
