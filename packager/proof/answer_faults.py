"""One answer of a smoke test -> what is wrong with it, by the names of the checks that count such answers."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence

from packager.artifacts.kinds import Answer
from packager.data.language import language_of
from packager.data.letters import occurs
from packager.recipe.sections import Smoke

SAYS = {
    "non_empty": "are empty",
    "stops": "did not end by themselves",
    "no_template_leak": "show prompt markup",
    "no_loops": "repeat themselves without end",
    "expected_words": "lack every word the recipe expects, or hold one it rejects",
}
"""What the check of each fault says of the answers that it counts; `language` is judged by its share."""
FEW = 4
"""Words of an answer that need not tell its language."""


def faults_of(answer: Answer, question: Smoke, specials: Sequence[str], language: str) -> tuple[str, ...]:
    """The names of the checks (without `smoke.`) that this answer speaks against; `language` is the recipe's."""
    found = {
        "non_empty": not answer.answer,
        "stops": not answer.stopped,
        "no_template_leak": leaks(answer.answer, specials),
        "no_loops": loops(answer.answer),
        "expected_words": not as_expected(answer, question),
        "language": tells_language(answer) and language_of(answer.answer) != language.partition("-")[0],
    }
    return tuple(name for name, wrong in found.items() if wrong)


def tells_language(answer: Answer) -> bool:
    """A word or two may be of no language that can be told."""
    return not (0 < len(answer.answer.split()) <= FEW and language_of(answer.answer) == "unknown")


def leaks(answer: str, specials: Sequence[str]) -> bool:
    """Does prompt markup show in the answer: a special token, or a role header as text?"""
    marks = re.compile(r"<\|[\w ]{1,30}\|>|\[/?INST\]|</?s>|^(?:system|user|assistant)\s*$", re.MULTILINE)
    return any(token in answer for token in specials) or bool(marks.search(answer))


def loops(answer: str) -> bool:
    """Does the answer repeat itself? True if a run of 4 words comes 4 times, or if the text
    compresses below a fifth (ordinary prose of this length stays above a third)."""
    words = answer.casefold().split()
    runs = [tuple(words[i : i + 4]) for i in range(len(words) - 3)]
    if any(runs.count(run) >= 4 for run in set(runs)):
        return True
    raw = answer.encode()
    return len(raw) > 300 and len(zlib.compress(raw)) / len(raw) < 0.2


def as_expected(answer: Answer, question: Smoke) -> bool:
    """Does it hold a word that the recipe expects (where it expects any), and none that it rejects?"""
    found = not question.expect_any or any(occurs(word, answer.answer) for word in question.expect_any)
    return found and not any(occurs(word, answer.answer) for word in question.reject_any)
