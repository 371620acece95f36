"""A question + approved material -> what is shown: passages word for word with their source, or that there are none.

This is the mode `approved`: no model speaks.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from packager.knowledge.passages import Passage
from packager.knowledge.search import Hit, Search, Verdict
from packager.prompt.corpus import spread

NOT_FOUND = "Não encontrei isso no material aprovado."
LONGEST_EXAMPLE = 60
"""Characters; what fits on a button."""
NOT_FOUND_EN = "I did not find this in the approved material."
NEAREST = "Pode não ser a resposta. O mais próximo no material aprovado:"
NEXT: dict[Verdict, str] = {
    "found": "",
    "near": "",
    "far": "Tente perguntar com outras palavras ou procure a equipe da unidade.",
    "dose": "O material aprovado não traz essa dose. Consulte a prescrição, a bula ou o profissional responsável.",
    "local": "O material aprovado não traz informações deste lugar ou deste dia. Pergunte na recepção da unidade.",
    "empty": "Escreva a sua pergunta.",
}


def not_found(language: str) -> str:
    """What is said where nothing is found; a model that says just this is not struck (source/grounding.c)."""
    return NOT_FOUND_EN if language == "en" else NOT_FOUND


@dataclass(frozen=True)
class Shown:
    """What the mode `approved` shows."""

    silent: bool
    """Nothing was found: the text says so and what to do next."""
    sure: bool
    """The first passage is the answer; without, it is the closest there is, and said to be no more."""
    text: str
    passages: tuple[Hit, ...]
    meant: tuple[str, ...] = ()
    """Approved questions that may have been meant, where nothing was found."""

    def as_json(self) -> dict[str, object]:
        """As `packager ask --json` prints it."""
        return {
            "mode": "approved",
            "silent": self.silent,
            "sure": self.sure,
            "passages": [
                {
                    "question": hit.passage.question,
                    "text": hit.passage.text,
                    "source": hit.passage.source,
                    "row": hit.passage.row,
                    "score": hit.score / 1e6,
                    "id": hit.passage.id,
                    "date": hit.passage.date,
                    "page": hit.passage.page,
                }
                for hit in self.passages
            ],
            "answer": self.text,
            "meant": list(self.meant),
        }


def approved(search: Search, question: str) -> Shown:
    """The closest passage and those nearly as close, with what they are, or a refusal with what to do next."""
    found = search.answer(question)
    if not found.hits:
        return Shown(True, False, f"{NOT_FOUND} {NEXT[found.verdict]}", (), tuple(search.meant(question)))
    sure, first = found.verdict == "found", found.hits[0].passage.text
    return Shown(False, sure, first if sure else f"{NEAREST} {first}", found.hits)


def examples(passages: Sequence[Passage], most: int = 6) -> tuple[str, ...]:
    """Questions to begin with, spread over the material: each has an approved answer."""
    asked = [p.question for p in passages if p.question.endswith("?") and len(p.question) <= LONGEST_EXAMPLE]
    return tuple(itertools.islice(dict.fromkeys(spread(asked)), most))
