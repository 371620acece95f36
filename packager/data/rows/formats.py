"""Records -> conversations: what the columns of a row mean.

Each format turns a record into a `Row` of messages or into an `UnusableRow` with its reason. Columns are found
whatever the case and accents of their names.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from packager.data.rows import medquad, mending
from packager.data.rows.columns import column, folded, value_of
from packager.data.rows.conversations import Turn, turns_of
from packager.data.rows.json_files import CONVERSATIONS
from packager.data.rows.records import Record, UnusableRow
from packager.data.rows.texts import EMPTY, Unusable, checked, cleaned, text_of
from packager.recipe.sections import Data

INSTRUCTION = ("instruction", "instrucao")
INPUT = ("input", "entrada", "context", "contexto")
OUTPUT = ("output", "saida", "response", "resposta")
"""What files in Alpaca's form call its three columns."""
NOT_TEXT = ("tools", "functions", "tool_calls", "images", "image", "videos", "audio", "audios")
"""Columns beside a conversation that belong to it and cannot be trained."""
ASIDE = ("system", "history", *NOT_TEXT)


@dataclass(frozen=True)
class Row:
    """One conversation and where it stands. `messages` are (role, content), an answer last."""

    messages: tuple[tuple[str, str], ...]
    topic: str | None
    file: str
    line: int
    untrained: tuple[int, ...] = ()
    """Which messages are answers that the loss leaves out (`weight: 0`)."""
    source: str | None = None
    """The document that the answer rests on, where the recipe names its column."""

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

    def as_messages(self) -> list[dict[str, Any]]:
        """Role and content of each message, and `weight: 0` where it is not trained."""
        return [
            {"role": role, "content": content} | ({"weight": 0} if number in self.untrained else {})
            for number, (role, content) in enumerate(self.messages)
        ]


def columns_of(config: Data) -> tuple[str, ...]:
    """The columns a record must have."""
    named = tuple(name for name in (config.fields.topic, config.fields.system, config.fields.source) if name)
    if config.format == "alpaca":
        return (INSTRUCTION[0], OUTPUT[0], *named)
    if config.format == "messages":
        return ("messages", *named)
    if config.format == "sharegpt":
        return ("conversations", *named)
    if config.format == "medquad":
        return medquad.COLUMNS
    return (config.fields.question, config.fields.answer, *named)


def missing_columns(names: Collection[str], config: Data) -> list[str]:
    """The columns that a record must have and that are not among `names`, by whatever name files give them."""
    also = {INSTRUCTION[0]: INSTRUCTION, OUTPUT[0]: OUTPUT} if config.format == "alpaca" else {}
    if config.format == "sharegpt":
        also = {CONVERSATIONS[1]: CONVERSATIONS}
    return [name for name in columns_of(config) if not any(column(names, one) for one in also.get(name, (name,)))]


def columns_read(config: Data) -> tuple[str, ...]:
    """All columns that a row may be made of, or refused for: no others are read, where a file allows it."""
    more: tuple[str, ...] = ()
    if config.format == "alpaca":
        more = (*INSTRUCTION, *INPUT, *OUTPUT, *ASIDE)
    elif config.format in ("messages", "sharegpt"):
        more = (*CONVERSATIONS, *ASIDE)
    elif config.format == "qa":
        more = ASIDE
    elif config.format == "medquad":
        more = ("question", "answer", "topic", "qtype")
    return tuple(dict.fromkeys((*columns_of(config), *more)))


def row_of(record: Record, config: Data) -> Row | UnusableRow:
    """The conversation of a record, with its system message or the recipe's first, mended as the recipe says."""
    try:
        turns, topic = _FORMATS[config.format](record.values, config)
        turns = _with_system(turns, record.values, config)
        if config.clean:
            turns = [Turn(t.role, _mended(t.text, config), t.trained) for t in turns]
        named = config.fields.source
        source = text_of(record.values, named, required=False) or None if named else None
    except Unusable as why:
        return UnusableRow(record.file, record.line, str(why))
    untrained = tuple(number for number, turn in enumerate(turns) if not turn.trained)
    return Row(tuple((turn.role, turn.text) for turn in turns), topic, record.file, record.line, untrained, source)


Conversation = tuple[list[Turn], str | None]


def _with_system(turns: list[Turn], values: Mapping[str, Any], config: Data) -> list[Turn]:
    name = config.fields.system
    own = text_of(values, name, required=False) if name else ""
    if own:
        if turns[0].role == "system":
            raise Unusable(f"has a system message of its own beside the one in '{name}'")
        turns = [Turn("system", own), *turns]
    if config.system is None:
        return turns
    if turns[0].role == "system":
        raise Unusable("has a system message of its own, but data.system is set")
    return [Turn("system", cleaned(config.system)), *turns]


def _mended(text: str, config: Data) -> str:
    return checked(mending.mended(text, config.clean), "text once it is mended (data.clean)")


def _qa(values: Mapping[str, Any], config: Data) -> Conversation:
    _refuse_aside(values, config, ("system", *NOT_TEXT))  # `history` may be anything here, and is listed as not read
    question, answer = (_side(values, name) for name in (config.fields.question, config.fields.answer))
    if isinstance(question, str) and isinstance(answer, str):
        return [Turn("user", question), Turn("assistant", answer)], _topic(values, config)
    # Prompt and completion as lists of messages: together they are a conversation.
    prompt = [{"role": "user", "content": question}] if isinstance(question, str) else question
    completion = [{"role": "assistant", "content": answer}] if isinstance(answer, str) else answer
    return turns_of([*prompt, *completion], config.fields.question), _topic(values, config)


def _side(values: Mapping[str, Any], name: str) -> str | list[Any]:
    _, value = value_of(values, name)
    if isinstance(value, list) and value and all(isinstance(one, dict) and "role" in one for one in value):
        return value
    return text_of(values, name)


def _alpaca(values: Mapping[str, Any], config: Data) -> Conversation:
    _refuse_aside(values, config)
    instruction = _only(values, INSTRUCTION)
    extra = _only(values, INPUT, required=False)
    question = f"{instruction}\n{extra}" if extra else instruction
    return [Turn("user", question), Turn("assistant", _only(values, OUTPUT))], _topic(values, config)


def _only(values: Mapping[str, Any], names: Sequence[str], *, required: bool = True) -> str:
    """The text of the one of several columns that says something: of two, one would not be trained."""
    there = [found for name in names if (found := column(values, name)) is not None and isinstance(values[found], str)]
    texts = {name: text for name in there if (text := text_of(values, name, required=False))}
    if len(set(texts.values())) > 1:
        raise Unusable(
            f"has texts in {' and '.join(map(repr, texts))}, and only one of them would be trained:"
            " join them, or empty one"
        )
    return next(iter(texts.values())) if texts else text_of(values, *names, required=required)


def _messages(values: Mapping[str, Any], config: Data) -> Conversation:
    _refuse_aside(values, config)
    names = ("messages",) if config.format == "messages" else CONVERSATIONS[1:] + CONVERSATIONS[:1]
    name, listed = value_of(values, *names)
    return turns_of(listed, name), _topic(values, config)


def _refuse_aside(values: Mapping[str, Any], config: Data, names: Sequence[str] = ASIDE) -> None:
    """What belongs to a conversation and would be left out unsaid."""
    fields = config.fields
    used = {
        folded(name) for name in (fields.question, fields.answer, fields.topic, fields.system, fields.source) if name
    }
    for name in names:
        found, value = value_of(values, name)
        if folded(found) in used or _says_nothing(value):
            continue
        if name == "system":
            raise Unusable(f"has a system message in '{found}': name it, data.fields.system: {found}, or take it out")
        raise Unusable(f"has '{found}', which would not be trained: take it out, or leave the row out")


def _says_nothing(value: Any) -> bool:
    """Whether a value is an empty one, however a file writes that: null, "[]", or what holds only such values."""
    if isinstance(value, str):
        return not value.strip() or value.strip().casefold() in EMPTY
    if isinstance(value, Mapping):
        return all(map(_says_nothing, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_says_nothing, value))
    return value is None or value is False or value != value  # not a number: an empty cell of a column of numbers


def _medquad(values: Mapping[str, Any], config: Data) -> Conversation:
    topic = text_of(values, "topic", required=False) or None
    if "Answer" in values:
        parts = medquad.split_cell(text_of(values, "Answer"))
        if parts is None:
            raise Unusable("the Answer cell is not of the form Question: ... URL: ... Answer: ...")
        topic = medquad.topic_of(text_of(values, "AnswerID")) or None
        values = parts
    answer = text_of(values, "answer")
    if config.unmatched_bracket == "drop":
        answer = medquad.without_unmatched_bracket(answer)
    return [Turn("user", text_of(values, "question")), Turn("assistant", answer)], topic


def _topic(values: Mapping[str, Any], config: Data) -> str | None:
    return text_of(values, config.fields.topic) if config.fields.topic else None


_FORMATS: dict[str, Callable[[Mapping[str, Any], Data], Conversation]] = {
    "qa": _qa,
    "alpaca": _alpaca,
    "messages": _messages,
    "sharegpt": _messages,
    "medquad": _medquad,
}
