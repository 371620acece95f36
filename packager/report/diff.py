"""An answer and its reference -> the answer's words, those that the reference lacks marked, and what it leaves out.

Case and punctuation make no difference; the order of words does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher

_WORD = re.compile(r"\S+")
_EDGES = re.compile(r"^\W+|\W+$")


@dataclass(frozen=True)
class Compared:
    pieces: tuple[tuple[str, bool], ...]
    """The answer in runs of words, and whether the reference lacks them."""
    missing: tuple[str, ...]
    """Runs of the reference's words that the answer lacks."""
    shared: float
    """Share of the reference's words that the answer has, in their order."""


def compare(answer: str, reference: str) -> Compared:
    """What differs, word by word."""
    said, wanted = _WORD.findall(answer), _WORD.findall(reference)
    matcher = SequenceMatcher(None, [_key(w) for w in wanted], [_key(w) for w in said], autojunk=False)
    pieces, missing, shared = [], [], 0
    for kind, wanted_from, wanted_to, said_from, said_to in matcher.get_opcodes():
        if said_to > said_from:
            pieces.append((" ".join(said[said_from:said_to]), kind != "equal"))
        if kind == "equal":
            shared += wanted_to - wanted_from
        elif wanted_to > wanted_from:
            missing.append(" ".join(wanted[wanted_from:wanted_to]))
    return Compared(tuple(pieces), tuple(missing), shared / len(wanted) if wanted else 1.0)


def _key(word: str) -> str:
    return _EDGES.sub("", word).casefold() or word


def marked(text: str, words: tuple[str, ...]) -> Iterator[tuple[str, bool]]:
    """A text in pieces, and whether each is one of `words`, in any case."""
    if not words:
        yield text, False
        return
    pattern = re.compile("|".join(re.escape(word) for word in sorted(words, key=len, reverse=True)), re.IGNORECASE)
    end = 0
    for found in pattern.finditer(text):
        yield text[end : found.start()], False
        yield found[0], True
        end = found.end()
    yield text[end:], False
