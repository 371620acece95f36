"""Checks that several sections of a recipe share: what YAML made of a value, names of columns, words to look for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

MOST_EPOCHS = 10_000
MOST_SEED = 10**18
"""Random generators take 63 bits; what is added to a seed (a step, the number of a process) has room above this."""


def refuse_truth(value: Any, annotation: Any) -> None:
    """Raise `ValueError` for true or false where a number belongs: they would count as 1 and 0.

    YAML reads yes, no, on and off as these too.
    """
    kinds = set(_kinds(annotation))
    if not kinds & {int, float} or kinds & {bool, Any}:
        return
    if any(isinstance(one, bool) for one in _values(value)):
        raise ValueError("should be a number, and YAML reads yes, no, on, off, true and false as true or false")


def _kinds(annotation: Any) -> Iterator[Any]:
    parts = get_args(annotation)
    if not parts:
        yield annotation
    for part in parts:
        yield from _kinds(part)


def _values(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, Sequence) and not isinstance(value, str):
        for one in value:
            yield from _values(one)
    else:
        yield value


def refuse_one_column(question: str, answer: str, others: Mapping[str, str | None]) -> None:
    """Raise `ValueError` if one column is to be two things, one of them trained: the answer would be given away."""
    if question.casefold() == answer.casefold():
        raise ValueError(f"question and answer are the same column, '{question}': name two")
    for trained, column in (("question", question), ("answer", answer)):
        for name, other in others.items():
            if other is not None and other.casefold() == column.casefold():
                raise ValueError(
                    f"{name} and {trained} are the same column, '{other}': name another, or take {name} out"
                )


def refuse_blank_words(words: Sequence[str]) -> None:
    """Raise `ValueError` for a word that says nothing: it would be found in any answer."""
    for word in words:
        if not word.replace("*", "").strip():
            raise ValueError(f"'{word}' says nothing to look for: write a word, or take it out")
