"""A question in book Portuguese + a seed -> the ways in which people type it. The same seed, the same text."""

from __future__ import annotations

import random
import re
import unicodedata
from collections.abc import Callable

ABBREVIATIONS = {
    "por que": "pq", "porque": "pq", "o que": "oq", "que": "q", "você": "vc", "quando": "qdo", "quanto": "qto",
    "quantos": "qts", "quantas": "qtas", "também": "tb", "não": "n", "para": "pra", "com": "c", "de": "d", "está": "ta",
    "muito": "mto", "mesmo": "msm", "fazer": "fzr", "depois": "dps", "hoje": "hj",
}  # fmt: skip
_COMMON_WORDS = """a o as os um uma de do da dos das em no na nos nas por para com e ou que se ao à é são foi ser como
    qual quais quando onde quem quanto quantos quantas deve devem pode podem significa serve servem fazer"""
COMMON = frozenset(_COMMON_WORDS.split())


def without_accents(text: str) -> str:
    """Every accent gone, the cedilla's too."""
    return "".join(sign for sign in unicodedata.normalize("NFD", text) if not unicodedata.combining(sign))


def plain(question: str, chance: random.Random) -> str:
    """No accents, no capitals, no question mark."""
    return without_accents(question).lower().rstrip("?! .")


def abbreviated(question: str, chance: random.Random) -> str:
    """As `plain`, with chat's abbreviations."""
    text = question.lower()
    for word, short in ABBREVIATIONS.items():
        text = re.sub(rf"\b{word}\b", short, text)
    return plain(text, chance)


def mistyped(question: str, chance: random.Random) -> str:
    """As `plain`, with a slip in one or two long words: two letters exchanged, one lost or one doubled."""
    words = plain(question, chance).split()
    long = [place for place, word in enumerate(words) if len(word) > 4]
    for place in chance.sample(long, min(len(long), 1 + (len(words) > 7))):
        word = words[place]
        at = chance.randrange(1, len(word) - 2)
        slips = (
            word[:at] + word[at + 1] + word[at] + word[at + 2 :],
            word[:at] + word[at + 1 :],
            word[:at] + word[at : at + 1] * 2 + word[at + 1 :],
        )
        words[place] = chance.choice(slips)
    return " ".join(words)


def keywords(question: str, chance: random.Random) -> str:
    """Half a sentence: only the words that carry the meaning."""
    words = [word for word in re.findall(r"\w[\w-]*", question.lower()) if word not in COMMON]
    return plain(" ".join(words) or question, chance)


def reordered(question: str, chance: random.Random) -> str:
    """The subject first: the last half of the key words before the first."""
    words = keywords(question, chance).split()
    half = len(words) // 2
    return " ".join(words[half:] + words[:half])


WAYS: dict[str, Callable[[str, random.Random], str]] = {
    "accents": plain,
    "abbreviations": abbreviated,
    "typos": mistyped,
    "half": keywords,
    "order": reordered,
}


def variants(question: str, seed: int) -> dict[str, str]:
    """By the name of its way, the question as it may be typed."""
    return {name: way(question, random.Random(f"{seed}:{name}:{question}")) for name, way in WAYS.items()}
