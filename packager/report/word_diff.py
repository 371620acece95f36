"""An answer and its reference -> the answer's words, those that the reference lacks marked, and what it leaves out.

Case and punctuation make no difference; the order of words does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from packager.data.letters import unaccented

_WORD = re.compile(r"\S+")
_EDGES = re.compile(r"^\W+|\W+$")


@dataclass(frozen=True)
class WordDiff:
    pieces: tuple[tuple[str, bool], ...]
    """The answer in runs of words, and whether the reference lacks them."""
    missing: tuple[str, ...]
    """Runs of the reference's words that the answer lacks."""
    shared: float
    """Share of the reference's words that the answer has, in their order."""


def compare(answer: str, reference: str) -> WordDiff:
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
    return WordDiff(tuple(pieces), tuple(missing), shared / len(wanted) if wanted else 1.0)


def _key(word: str) -> str:
    return _EDGES.sub("", word).casefold() or word


def marked(text: str, words: Sequence[str], *, whole: bool) -> Iterator[tuple[str, str]]:
    """A text in pieces, and which of `words` each is, or ''; case and accents ignored.

    `whole`: as probes find them, whole words with `*` for any letters; else anywhere, as smoke tests do.
    """
    plain, places = _plain(text)
    wanted = sorted((word for word in words if word.strip("* ")), key=len, reverse=True)
    ways = [
        r"\w*".join(re.escape(part) for part in _plain(word)[0].split("*")) if whole else re.escape(_plain(word)[0])
        for word in wanted
    ]
    ways = [rf"(?<!\w){way}(?!\w)" if whole else way for way in ways]
    pattern = re.compile("|".join(f"({way})" for way in ways) or r"(?!)")
    end = 0
    for found in pattern.finditer(plain):
        first, last = places[found.start()], places[found.end() - 1] + 1
        yield text[end:first], ""
        yield text[first:last], wanted[(found.lastindex or 1) - 1]
        end = last
    yield text[end:], ""


def _plain(text: str) -> tuple[str, list[int]]:
    """Without case and accents, and where in `text` each letter of it stands."""
    letters = [(letter, place) for place, character in enumerate(text) for letter in unaccented(character)]
    return "".join(letter for letter, _ in letters), [place for _, place in letters]
