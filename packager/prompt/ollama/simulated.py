"""A Go template and a conversation -> the prompt that Ollama would make of them, in pure Python.

Exactly the actions that `go_template` writes are understood; anything else is a `ValueError`. Held
against the real text/template by tests/chain/test_go_template.py.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Sequence

from packager.prompt.template import Message

_ACTION = re.compile(r'\{\{ ((?:"[^"\\\n]*"|[^"{}])*) \}\}')
_TEXT = re.compile(r'"([^"]*)"')
_ROLE_IS = re.compile(r'eq \.Role "(\w+)"')
_NOT_THE_SECOND = 'or (ne $i 1) (ne (index $.Messages 0).Role "system")'
_FIRST_IS_NOT = re.compile(r'ne \(index \.Messages 0\)\.Role "(\w+)"')

Part = Callable[[Sequence[Message], Message], str]
"""What a part of a template prints, given all messages and the one that `range` is at."""
Pieces = Iterator[tuple[str, str]]
"""The template from left to right: text, and the action after it ('' at the end)."""


def render_go(template: str, messages: Sequence[Message], system: str | None = None) -> str:
    """The prompt for a conversation, as Ollama renders it with this TEMPLATE and SYSTEM."""
    split = _ACTION.split(template)
    if any("{{" in text for text in split[::2]):
        raise ValueError("the template holds an action that is not understood")
    whole, closing = _block(zip(split[::2], [*split[1::2], ""], strict=True))
    if closing:
        raise ValueError(f"{closing!r} closes nothing")
    return whole(prepared(messages, system), {})


def prepared(messages: Sequence[Message], system: str | None = None) -> list[Message]:
    """The conversation as Ollama hands it to the template: SYSTEM goes before one that does not begin
    with a system message, and consecutive messages of one role become one."""
    if system and not (messages and messages[0]["role"] == "system"):
        messages = [{"role": "system", "content": system}, *messages]
    turns = itertools.groupby(messages, key=lambda m: m["role"])
    return [{"role": role, "content": "\n\n".join(m["content"] for m in said)} for role, said in turns]


def _block(pieces: Pieces) -> tuple[Part, str]:
    """The parts up to the action that closes them (`end`, `else`, `else if ...`), and that action."""
    parts: list[Part] = []
    closing = ""
    for text, action in pieces:
        parts.append(_constant(text))
        if action == "end" or action == "else" or action.startswith("else "):
            closing = action
            break
        if action in ("range .Messages", "range $i, $_ := .Messages"):
            parts.append(_range(pieces))
        elif action.startswith("if "):
            parts.append(_choice(action.removeprefix("if "), pieces))
        elif action:
            parts.append(_print(action))
    return lambda messages, here: "".join(part(messages, here) for part in parts), closing


def _range(pieces: Pieces) -> Part:
    body, closing = _block(pieces)
    _must_end(closing)
    return lambda messages, here: "".join(body(messages, message) for message in messages)


def _choice(condition: str, pieces: Pieces) -> Part:
    test = _condition(condition)
    then, closing = _block(pieces)
    otherwise = _constant("")
    if closing.startswith("else if "):
        otherwise, closing = _choice(closing.removeprefix("else if "), pieces), "end"
    elif closing == "else":
        otherwise, closing = _block(pieces)
    _must_end(closing)
    return lambda messages, here: (then if test(messages, here) else otherwise)(messages, here)


def _condition(text: str) -> Callable[[Sequence[Message], Message], bool]:
    if text == ".Content":
        return lambda messages, here: here["content"] != ""
    if match := _ROLE_IS.fullmatch(text):
        role = match[1]
        return lambda messages, here: here["role"] == role
    if text == _NOT_THE_SECOND:
        return lambda messages, here: messages[0]["role"] != "system" or len(messages) < 2 or here is not messages[1]
    if match := _FIRST_IS_NOT.fullmatch(text):
        first = match[1]
        return lambda messages, here: messages[0]["role"] != first
    raise ValueError(f"the condition {text!r} is not understood")


def _print(action: str) -> Part:
    if action in (".Role", ".Content"):
        key = action[1:].lower()
        return lambda messages, here: here[key]
    if match := _TEXT.fullmatch(action):
        return _constant(match[1])
    raise ValueError(f"the action {action!r} is not understood")


def _constant(text: str) -> Part:
    return lambda messages, here: text


def _must_end(closing: str) -> None:
    if closing != "end":
        raise ValueError(f"a block ends in {closing!r}")
