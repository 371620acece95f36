"""A system message and a context -> refused, with both lengths, if no question and answer fit beside it.

Beyond its context Ollama drops the oldest turns, and cuts one message that is too long without an error;
llama.cpp refuses. What was trained would then not be what is served.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from packager.errors import InputError
from packager.prompt.roles import RoleFormat
from packager.prompt.template import ChatTemplate, load_template, load_tokenizer, token_ids
from packager.recipe.sections import Serve

if TYPE_CHECKING:
    from tokenizers import Tokenizer

QUESTION_ROOM = 48
"""Tokens for a short question."""
ANSWER_SHARE = 4
"""A quarter of the context is enough room for an answer that may be longer."""


def questions_must_fit(folder: Path, system: str | None, questions: Sequence[str], context: int) -> None:
    """Raise `InputError` for the first of `questions` that leaves no room for an answer in `context` tokens."""
    questions_must_fit_with(load_template(folder), load_tokenizer(folder), system, questions, context)


def questions_must_fit_with(
    template: ChatTemplate, tokenizer: Tokenizer, system: str | None, questions: Sequence[str], context: int
) -> None:
    """The same with a template and tokenizer that are at hand."""
    before = [{"role": "system", "content": system}] if system else []
    for question in questions:
        prompt = template.render([*before, {"role": "user", "content": question}], add_generation_prompt=True)
        if (length := len(token_ids(tokenizer, prompt))) + 1 >= context:
            raise InputError(
                f"The question “{question[:60]}…” takes {length} tokens of a prompt; the context that is served has "
                f"{context}.",
                "shorten it in smoke or evaluate.probes, or raise serve.context",
            )


def must_fit(folder: Path, roles: RoleFormat, system: str | None, serve: Serve) -> None:
    """Raise `InputError` unless `system`, in the template of `folder`, leaves room in `serve.context`."""
    if system:
        must_fit_with(load_template(folder), load_tokenizer(folder), roles, system, serve)


def must_fit_with(
    template: ChatTemplate, tokenizer: Tokenizer, roles: RoleFormat, system: str | None, serve: Serve
) -> None:
    """The same with a template and tokenizer that are at hand."""
    if not system or roles.refuses_system:
        return
    prompt = [{"role": "system", "content": system}, {"role": "user", "content": "?"}]
    length = len(token_ids(tokenizer, template.render(prompt, add_generation_prompt=True)))
    answer = min(serve.max_answer_tokens, serve.context // ANSWER_SHARE)
    needed = length + QUESTION_ROOM + answer
    if needed > serve.context:
        raise InputError(
            f"The system message takes {length} tokens of a prompt. With {QUESTION_ROOM} for a question and "
            f"{answer} for an answer that is {needed}; the context that is served has {serve.context}.",
            f"shorten data.system, or set serve.context to {needed} or more",
        )
