"""Lists of turns -> messages: OpenAI's `messages`, ShareGPT's `conversations`, and what lies between them.

Every turn becomes a role and a text, and whether it is trained (`weight: 0`: it is not). What a text model cannot
be trained on (tool turns, tool calls, images, reasoning beside the answer) is refused, never left out unsaid.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from packager.data.rows.columns import folded
from packager.data.rows.texts import Unusable, checked

ROLES = {
    "system": "system", "developer": "system", "sistema": "system",
    "user": "user", "human": "user", "prompter": "user", "usuario": "user", "humano": "user", "person": "user",
    "assistant": "assistant", "gpt": "assistant", "chatgpt": "assistant", "bot": "assistant", "model": "assistant",
    "bing": "assistant", "bard": "assistant", "claude": "assistant", "assistente": "assistant", "modelo": "assistant",
}  # fmt: skip
"""What files call the three roles (case and accents ignored)."""
TOOLS = frozenset(("tool", "function", "function_call", "function_response", "observation", "ipython", "tool_response"))
ROLE_KEYS = ("role", "from", "speaker", "papel", "autor")
TEXT_KEYS = ("content", "value", "text", "conteudo", "texto", "mensagem")
"""What files call the role and the text of a turn (case and accents ignored)."""
_HARMLESS = frozenset(
    ("id", "index", "timestamp", "created", "created_at", "updated_at", "create_time", "date", "lang", "language")
)
"""Keys of a turn that say nothing a model could learn."""
_TEXT_PARTS = ("text", "input_text", "output_text")


@dataclass(frozen=True)
class Turn:
    role: str
    text: str
    trained: bool = True


def turns_of(listed: Any, column: str) -> list[Turn]:
    """The turns of a conversation, beginning with the user (after a system message) and ending in an answer.

    Raises `Unusable` with the number of the message that cannot be used.
    """
    if not isinstance(listed, Sequence) or isinstance(listed, str) or not listed:
        raise Unusable(f"missing field '{column}'" if listed is None else f"'{column}' is not a list of messages")
    turns = [turn for number, given in enumerate(listed, 1) for turn in _turns(given, number)]
    roles = [turn.role for turn in turns]
    if "system" in roles[1:]:
        raise Unusable("a system message stands after the first message")
    roles = roles[roles[0] == "system" :]
    if roles != ["user", "assistant"] * (len(roles) // 2) or not roles:
        raise Unusable("user and assistant do not alternate, beginning with the user and ending in an answer")
    if not turns[-1].trained:
        raise Unusable("the last answer has weight 0, so that nothing is learnt at the end: take the last turns out")
    return turns


def _turns(given: Any, number: int) -> list[Turn]:
    """One message as a turn; two, where it holds a pair such as {"human": ..., "assistant": ...}."""
    if not isinstance(given, Mapping):
        raise Unusable(f"message {number} is not an object with a role and a text")
    said = {key: value for key, value in given.items() if value not in (None, [], {}, "")}
    pair = [(ROLES.get(folded(str(key))), value) for key, value in given.items()]
    if pair and all(role for role, _ in pair):
        return [Turn(str(role), _text(value, number)) for role, value in pair]
    role_key, text_key = _key(given, ROLE_KEYS), _key(given, TEXT_KEYS)
    named = folded(str(given[role_key])) if role_key else ""
    if named in TOOLS:
        raise Unusable(f"message {number} is a tool's turn ({named}): tools are not trained")
    role = ROLES.get(named)
    if role is None:
        raise Unusable(f"message {number} has no role of system, user, assistant (or human, gpt, ...)")
    trained = _trained(said, number)
    other = sorted(str(key)[:40] for key in said if key not in (role_key, text_key, "weight", *_HARMLESS))
    if other:
        raise Unusable(f"message {number} has {', '.join(map(repr, other))}, which would not be trained: take it out")
    return [Turn(role, _text(given[text_key] if text_key else None, number), trained or role != "assistant")]


def _key(given: Mapping[str, Any], names: Sequence[str]) -> str | None:
    """The first of the names that the message has, whatever its case and accents."""
    keys = {folded(str(key)): key for key in given}
    return next((keys[name] for name in names if name in keys), None)


def _trained(said: Mapping[str, Any], number: int) -> bool:
    weight = said.get("weight", 1)
    if weight not in (0, 1):
        raise Unusable(f"message {number} has a weight other than 0 and 1")
    return bool(weight)


def _text(value: Any, number: int) -> str:
    where = f"'content' in message {number}"
    if value is None:
        raise Unusable(f"empty {where}")
    if isinstance(value, str):
        return checked(value, where)
    if not isinstance(value, Sequence):
        raise Unusable(f"{where} is neither text nor a list of parts")
    parts = [_part(part, number) for part in value]
    return checked("".join(itertools.chain.from_iterable(_joined(parts))), where)


def _part(part: Any, number: int) -> str:
    if isinstance(part, str):
        return part
    kind = part.get("type", "text") if isinstance(part, Mapping) else "unknown"
    if kind not in _TEXT_PARTS or not isinstance(part.get("text"), str):
        raise Unusable(f"message {number} has a part that is not text ({str(kind)[:20]}): only text is trained")
    text: str = part["text"]
    return text


def _joined(parts: Sequence[str]) -> list[tuple[str, str]]:
    """Parts with what stands between them: nothing where one of the two has white space there, else a line end."""
    pairs = itertools.zip_longest(parts, parts[1:], fillvalue="")
    return [(a, "\n" if a and b and not a[-1].isspace() and not b[0].isspace() else "") for a, b in pairs]
