"""Records -> conversations: what the columns of a row mean.

Each format turns a record into a `Row` of messages or into a `UnusableRow` one with its reason. The text is
stripped, line ends become `\\n`, and letters are composed (NFC: the same `ã` whatever wrote it).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from packager.data.rows import medquad
from packager.data.rows.sources import Record, UnusableRow, kind_of
from packager.recipe.sections import Data

ROLES = ("system", "user", "assistant")
_NO_TEXT = re.compile(r"[\0\ud800-\udfff]")


@dataclass(frozen=True)
class Row:
    """One conversation and where it stands. `messages` are (role, content), an answer last."""

    messages: tuple[tuple[str, str], ...]
    topic: str | None
    file: str
    line: int

    @property
    def question(self) -> str:
        """Everything the user says."""
        return "\n".join(content for role, content in self.messages if role == "user")

    @property
    def answer(self) -> str:
        """Everything the assistant says."""
        return "\n".join(content for role, content in self.messages if role == "assistant")

    @property
    def system(self) -> str | None:
        role, content = self.messages[0]
        return content if role == "system" else None

    def as_messages(self) -> list[dict[str, str]]:
        return [{"role": role, "content": content} for role, content in self.messages]


class _Unusable(Exception):
    """Why a record makes no row."""


def columns_of(config: Data) -> tuple[str, ...]:
    """The columns a record must have."""
    topic = (config.fields.topic,) if config.fields.topic else ()
    if config.format == "alpaca":
        return ("instruction", "output", *topic)
    if config.format == "messages":
        return ("messages", *topic)
    if config.format == "medquad":
        return medquad.COLUMNS
    return (config.fields.question, config.fields.answer, *topic)


def row_of(record: Record, config: Data) -> Row | UnusableRow:
    """The conversation of a record, with the recipe's system message first."""
    try:
        messages, topic = _FORMATS[config.format](record.values, config)
        if config.system is not None:
            if messages[0][0] == "system":
                raise _Unusable("has a system message of its own, but data.system is set")
            messages = [("system", _cleaned(config.system)), *messages]
    except _Unusable as why:
        return UnusableRow(record.file, record.line, str(why))
    return Row(tuple(messages), topic, record.file, record.line)


MessagesAndTopic = tuple[list[tuple[str, str]], str | None]


def _qa(values: Mapping[str, Any], config: Data) -> MessagesAndTopic:
    question = _text(values, config.fields.question)
    answer = _text(values, config.fields.answer)
    return [("user", question), ("assistant", answer)], _topic(values, config)


def _alpaca(values: Mapping[str, Any], config: Data) -> MessagesAndTopic:
    instruction = _text(values, "instruction")
    extra = _text(values, "input", required=False)
    question = f"{instruction}\n{extra}" if extra else instruction
    return [("user", question), ("assistant", _text(values, "output"))], _topic(values, config)


def _messages(values: Mapping[str, Any], config: Data) -> MessagesAndTopic:
    listed = values.get("messages")
    if not isinstance(listed, list) or not listed:
        raise _Unusable("missing field 'messages'" if listed is None else "'messages' is not a list of messages")
    messages: list[tuple[str, str]] = []
    for number, message in enumerate(listed, 1):
        if not isinstance(message, dict) or message.get("role") not in ROLES:
            raise _Unusable(f"message {number} has no role of {', '.join(ROLES)}")
        messages.append((message["role"], _text(message, "content", f" in message {number}")))
    turns = [role for role, _ in messages]
    if "system" in turns[1:]:
        raise _Unusable("a system message stands after the first message")
    turns = turns[turns[0] == "system" :]
    if turns != ["user", "assistant"] * (len(turns) // 2) or not turns:
        raise _Unusable("user and assistant do not alternate, beginning with the user and ending in an answer")
    return messages, _topic(values, config)


def _medquad(values: Mapping[str, Any], config: Data) -> MessagesAndTopic:
    topic = _text(values, "topic", required=False) or None
    if "Answer" in values:
        parts = medquad.split_cell(_text(values, "Answer"))
        if parts is None:
            raise _Unusable("the Answer cell is not of the form Question: ... URL: ... Answer: ...")
        topic = medquad.topic_of(_text(values, "AnswerID")) or None
        values = parts
    answer = _text(values, "answer")
    if config.unmatched_bracket == "drop":
        answer = medquad.without_unmatched_bracket(answer)
    return [("user", _text(values, "question")), ("assistant", answer)], topic


def _topic(values: Mapping[str, Any], config: Data) -> str | None:
    return _text(values, config.fields.topic) if config.fields.topic else None


def _text(values: Mapping[str, Any], name: str, where: str = "", *, required: bool = True) -> str:
    """The cleaned text of a column; raises `_Unusable` if it is missing, empty or no text."""
    value = values.get(name)
    if value is None:
        if required:
            raise _Unusable(f"empty '{name}'{where}" if name in values else f"missing field '{name}'{where}")
        return ""
    if not isinstance(value, str):
        raise _Unusable(f"'{name}'{where} is not text, but {kind_of(value)}")
    text = _cleaned(value)
    if required and not text:
        raise _Unusable(f"empty '{name}'{where}")
    if _NO_TEXT.search(text):
        raise _Unusable(f"'{name}'{where} holds characters that are no text")
    return text


def _cleaned(text: str) -> str:
    """Composed (NFC), with line ends of one kind, and nothing blank around it: as chat templates pass it on."""
    return unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n")).strip()


_FORMATS = {"qa": _qa, "alpaca": _alpaca, "messages": _messages, "medquad": _medquad}
