"""An answer + the passages it was written from -> the answer with every sentence struck that they do not carry.

The judging itself is `source/grounding.c`, which the clinic's program has too, as is the form of what the model is
asked. It judges words, not meaning. Fails with `MissingResource` where the search cannot be compiled.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from packager.knowledge import engine

STRUCK = "[Frase retirada: não está no material aprovado.]"
LONGEST_PROMPT = 1 << 16
"""Bytes; far more than a small model's context holds."""


@dataclass(frozen=True)
class Grounded:
    """An answer held against its passages."""

    text: str
    """What may be shown; a struck sentence is replaced by a note."""
    struck: tuple[str, ...]
    reasons: tuple[str, ...]
    """One for each struck sentence, as source/grounding.h has them: `numbers: 3 gota`."""


def ground(programs: Path, answer: str, passages: Sequence[str]) -> Grounded:
    """Hold each sentence of `answer` against `passages`; each must be carried by a single one of them.

    `programs` keeps the compiled library.
    """
    kept: list[str] = []
    struck: list[tuple[str, str]] = []

    def seen(at: int, size: int, why: bytes, _: object) -> None:
        sentence = ctypes.string_at(at, size).decode("utf-8", "replace")
        if not why:
            kept.append(sentence)
            return
        struck.append((sentence, why.decode("utf-8", "replace")))
        if not kept or kept[-1] != STRUCK:
            kept.append(STRUCK)

    lib = engine.load(engine.library(programs))
    lib.knowledge_ground(engine.c_text(answer), engine.c_texts(passages), len(passages), engine.SENTENCE(seen), None)
    return Grounded(" ".join(kept), tuple(sentence for sentence, _ in struck), tuple(why for _, why in struck))


def prompt(programs: Path, question: str, passages: Sequence[str], language: str) -> str:
    """What the model is asked in the mode `assisted`, in training, in the proof and in the clinic alike."""
    out = ctypes.create_string_buffer(LONGEST_PROMPT)
    lib = engine.load(engine.library(programs))
    lib.knowledge_prompt(engine.c_text(question), engine.c_texts(passages), len(passages), int(language != "en"), out,
                         len(out))  # fmt: skip
    return out.value.decode("utf-8", "replace")
