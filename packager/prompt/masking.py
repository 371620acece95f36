"""A conversation -> its token ids, and which of them are trained.

Fails where no mask would be right: a template that rewrites history, a token that straddles the end
of the prompt and the start of the answer.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from packager.errors import InputError
from packager.prompt.template import ChatTemplate, Message, token_ids

if TYPE_CHECKING:
    from tokenizers import Tokenizer


class BoundaryError(ValueError):
    """The tokenizer merges the last character of the prompt with the first of the answer."""


@dataclass(frozen=True)
class Encoded:
    """A conversation as tokens. `trained[i]` says whether token i is a target: of the loss, or of a comparison."""

    ids: tuple[int, ...]
    trained: tuple[bool, ...] = ()
    """Empty for a prompt, which is only run, or answered."""

    @classmethod
    def predicting(cls, ids: Sequence[int], at: Collection[int]) -> Encoded:
        """Tokens of which those that follow the positions `at` (0 to len(ids) - 2) are targets."""
        return cls(tuple(ids), tuple(i - 1 in at for i in range(len(ids))))

    @property
    def at(self) -> tuple[int, ...]:
        """The positions at which a target is predicted, ascending."""
        return tuple(i - 1 for i, target in enumerate(self.trained) if target and i)


def encode(template: ChatTemplate, tokenizer: Tokenizer, end_of_turn: str, messages: Sequence[Message]) -> Encoded:
    """The tokens of a conversation that ends in an answer, and which of them are trained.

    Trained are the tokens of every assistant turn, unless its message has `weight: 0`, and the end-of-turn token
    after each. The ids up
    to an answer are exactly those of the prompt that is served. What follows the last answer's
    end-of-turn token is left out.

    Raises `InputError` if the template rewrites history (earlier turns render differently once
    later ones follow, so no mask could mark them), `BoundaryError` if a token straddles prompt and
    answer.
    """
    text, spans = _answers(template, end_of_turn, messages)
    ids = token_ids(tokenizer, text)
    trained = [False] * len(ids)
    weights = [message.get("weight", 1) for message in messages if message["role"] == "assistant"]
    for (start, end), weight in zip(spans, weights, strict=True):
        if not weight:
            continue
        first = _tokens_until(tokenizer, text, start, ids)
        last = len(ids) if end == len(text) else _tokens_until(tokenizer, text, end, ids)
        trained[first:last] = [True] * (last - first)
    return Encoded(tuple(ids), tuple(trained))


def trained_pieces(template: ChatTemplate, end_of_turn: str, messages: Sequence[Message]) -> list[tuple[str, bool]]:
    """The rendered text in pieces, each with whether its tokens are trained: what `encode` marks, as text."""
    text, spans = _answers(template, end_of_turn, messages)
    weights = [message.get("weight", 1) for message in messages if message["role"] == "assistant"]
    pieces, at = [], 0
    for (start, end), weight in zip(spans, weights, strict=True):
        if weight:
            pieces += [(text[at:start], False), (text[start:end], True)]
            at = end
    return [(piece, trained) for piece, trained in [*pieces, (text[at:], False)] if piece]


def _answers(
    template: ChatTemplate, end_of_turn: str, messages: Sequence[Message]
) -> tuple[str, list[tuple[int, int]]]:
    """The text up to the end of the last answer, and where each answer with its end-of-turn stands in it."""
    full = template.render(messages, add_generation_prompt=False)
    spans: list[tuple[int, int]] = []
    closings: set[str] = set()  # what stands between an answer and its end-of-turn token: the same after each
    for index, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        prompt = template.render(messages[:index], add_generation_prompt=True)
        # Some templates (Llama 3's) strip what a message says.
        answers = (prompt + said for said in (message["content"], message["content"].strip()))
        answer = next((a for a in answers if full.startswith(a)), "")
        end = full.find(end_of_turn, len(answer))
        closings.add(full[len(answer) : end])
        if not answer or end < 0 or len(closings) > 1:
            raise InputError(
                "The chat template renders an answer otherwise than its prompt and what follows: "
                "it rewrites earlier turns, or puts something before the answer.",
                "use single-turn data, or a simpler template in data.template",
            )
        spans.append((len(prompt), end + len(end_of_turn)))
    return full[: spans[-1][1]] if spans else "", spans


def _tokens_until(tokenizer: Tokenizer, text: str, end: int, ids: Sequence[int]) -> int:
    """How many of `ids`, the tokens of `text`, make up its first `end` characters."""
    start = token_ids(tokenizer, text[:end])
    if list(ids[: len(start)]) != start:
        raise BoundaryError("a token straddles the end of the prompt and the start of the answer")
    return len(start)
