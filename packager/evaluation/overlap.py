"""An answer and its reference -> how far their words agree: ROUGE, exact match, token F1.

ROUGE is that of the rouge-score package, with a tokenizer that keeps accented letters whole: the
package's own cuts `saúde` into `sa` and `de`.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections import Counter
from typing import Any

KINDS = ("rouge1", "rouge2", "rougeL")
_WORD = re.compile(r"[^\W_]+")


def words(text: str) -> list[str]:
    """Runs of letters and digits of any script, in lower case, accents composed and kept."""
    return _WORD.findall(unicodedata.normalize("NFC", text).lower())


class Words:
    """`words` in the form that rouge-score asks for."""

    def tokenize(self, text: str) -> list[str]:
        return words(text)


@functools.cache
def _scorer() -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(list(KINDS), tokenizer=Words())


def rouge(answer: str, reference: str) -> dict[str, float]:
    """ROUGE-1, -2 and -L: precision, recall and F1, from 0 to 1."""
    found = _scorer().score(reference, answer)
    return {
        f"{kind}.{part}": float(getattr(found[kind], name))
        for kind in KINDS
        for part, name in (("f1", "fmeasure"), ("precision", "precision"), ("recall", "recall"))
    }


def exact(answer: str, reference: str) -> float:
    """1 if the words are the same, in the same order."""
    return float(words(answer) == words(reference))


def token_f1(answer: str, reference: str) -> dict[str, float]:
    """Precision, recall and F1 of the bag of words. Two empty texts agree."""
    ours, theirs = Counter(words(answer)), Counter(words(reference))
    shared = sum((ours & theirs).values())
    if not ours or not theirs:
        same = float(ours == theirs)
        return {"token_f1.f1": same, "token_f1.precision": same, "token_f1.recall": same}
    precision, recall = shared / ours.total(), shared / theirs.total()
    f1 = 2 * precision * recall / (precision + recall) if shared else 0.0
    return {"token_f1.f1": f1, "token_f1.precision": precision, "token_f1.recall": recall}
