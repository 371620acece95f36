"""What may not leave this machine: links, data, hidden files, logs, keys, tokens, patient identifiers.

Files that are to be published -> a line for each that may not be. A line never shows what it found.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from packager.data.audit import identifiers
from packager.knowledge.index import PASSAGES
from packager.process.secrets import holds_path, holds_secret

DATA = (".jsonl", ".ndjson", ".csv", ".tsv", ".parquet", ".arrow", ".xml", ".xls", ".xlsx", ".db", ".sqlite")
SECRET = (".env", ".pem", ".key", ".p12", ".netrc")
LOGS = (".log", ".out", ".err")
VOCABULARIES = ("tokenizer.json", "vocab.json", "merges.txt")
"""The base's own, full of numbers and of names; nothing of the data is in them."""
_BLOCK, _OVERLAP = 1 << 20, 256
_LONGEST_TEXT = 32 << 20
_HEXADECIMAL = re.compile(r"\b[0-9a-f]{12,}\b")
_TAG = re.compile(r"<[^>]*>")


def refusals(folder: Path, names: Sequence[str], private: Sequence[str] = (), home: str = "/") -> list[str]:
    """Why files below `folder` may not be published.

    `private` are texts of this machine that no file may hold (the token, the run folder); `home`, which is
    short enough to occur in weights by chance, no text may hold.
    """
    secrets = [text.encode() for text in private if text]
    return [fault for name in names for fault in _refusals(folder / name, name, secrets, home)]


def _refusals(path: Path, name: str, private: Sequence[bytes], home: str) -> Iterator[str]:
    parts = PurePosixPath(name).parts
    last = parts[-1].lower()
    # Resolved parents too: a folder that is a link leads out of the package as well.
    if path.is_symlink() or any(parent.is_symlink() for parent in list(path.parents)[: len(parts) - 1]):
        yield f"{name}: is a link"
        return
    if any(part.startswith(".") for part in parts):
        yield f"{name}: is a hidden file"
    for endings, what in ((DATA, "data"), (SECRET, "a secret"), (LOGS, "a log")):
        if last.endswith(endings) and name != PASSAGES:  # the package's own part, looked through like the others
            yield f"{name}: looks like {what}"
    if _holds_a_token(path, private):
        yield f"{name}: holds what looks like a token or a key, or the path of the run folder"
    if last not in VOCABULARIES:
        yield from (f"{name}:{line}: {what}" for line, what in _lines(path, home))


def _holds_a_token(path: Path, private: Sequence[bytes]) -> bool:
    """Looked for in every byte, of weights too."""
    tail = b""
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            window = tail + block
            if any(text in window for text in private):
                return True
            if holds_secret(window):
                return True
            tail = window[-_OVERLAP:]
    return False


def _lines(path: Path, home: str) -> Iterator[tuple[int, str]]:
    """Lines that hold a patient identifier or a path of this machine, in a file that is text."""
    if path.stat().st_size > _LONGEST_TEXT:
        return
    content = path.read_bytes()
    if b"\0" in content:
        return
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return
    markup = path.suffix in (".html", ".htm", ".svg")
    for number, line in enumerate(text.splitlines(), 1):
        if home != "/" and holds_path(line, home):
            yield number, "holds a path of this machine"
        # Checksums, and the coordinates of a drawing, are digits too.
        plain = _HEXADECIMAL.sub("#", _TAG.sub(" ", line) if markup else line)
        for kind in identifiers.redact(plain)[1]:
            yield number, f"holds what looks like a patient identifier ({kind})"
