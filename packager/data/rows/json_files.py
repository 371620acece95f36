"""JSON Lines and JSON: text -> records, each with the line it begins on.

A value that Python cannot hold (an integer of thousands of digits, very deep nesting), a key that stands twice,
broken JSON: a `UnusableRow` record with its line, and the rest is still read wherever its end can be found.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from packager.data.rows.encoding import read_text
from packager.data.rows.records import Record, UnusableRow, kind_of
from packager.data.rows.texts import NO_TEXT

CONVERSATIONS = (
    "messages", "conversations", "conversation", "dialog", "dialogue", "dialogo", "chat", "turns", "mensagens",
    "conversa", "conversas",
)  # fmt: skip
DEEPEST = 200
"""How deep a record may be nested; Python's own limit depends on who calls."""
_BLANK = " \t\n\r"
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]', re.DOTALL)
_SCALAR_ENDS = re.compile(r"[,\]}\s]")


class _Unreadable(ValueError):
    """A value that is JSON, but cannot be taken as it stands."""


def read_json_lines(path: Path, encoding: str) -> Iterator[Record | UnusableRow]:
    """The records of a file with one JSON object a line; a file that is one JSON list is read as that."""
    text = read_text(path, encoding)
    if text.lstrip().startswith("["):
        yield from _whole(path.name, text)
        return
    yield from _lines(path.name, text)


def read_json(path: Path, encoding: str) -> Iterator[Record | UnusableRow]:
    """The records of a JSON file: a list of objects, an object with one such list, or (misnamed) JSON lines."""
    yield from _whole(path.name, read_text(path, encoding))


def _lines(name: str, text: str) -> Iterator[Record | UnusableRow]:
    # Not splitlines: U+2028 and the like may stand inside a JSON string.
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            made = _record(name, number, line)
            if isinstance(made, UnusableRow) and _is_opened(line.strip()):
                made = UnusableRow(name, number, f"{made.reason}; one object must stand on one line")
            yield made


def _is_opened(line: str) -> bool:
    """Whether a line is the first of an object that was written over several, for people to read."""
    return line.startswith("{") and line.endswith(("{", "[", ","))


def _record(name: str, number: int, text: str) -> Record | UnusableRow:
    try:
        value = _value(text)
    except json.JSONDecodeError as error:
        return UnusableRow(name, number, f"invalid JSON ({error.msg})")
    except _Unreadable as why:
        return UnusableRow(name, number, str(why))
    if not isinstance(value, dict):
        return UnusableRow(name, number, f"not an object with named fields, but {kind_of(value)}")
    return Record(name, number, value)


def _value(text: str) -> Any:
    """The value of a JSON text; raises `JSONDecodeError`, or `_Unreadable` for what is JSON and yet unusable."""
    depth = 0
    if text.count("[") + text.count("{") > DEEPEST:
        for found in _TOKEN.finditer(text):
            depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(found[0], 0)
            if depth > DEEPEST:
                raise _Unreadable(f"nested too deeply (more than {DEEPEST} levels)")
    try:
        return json.loads(text, object_pairs_hook=_once)
    except (json.JSONDecodeError, _Unreadable):
        raise
    except ValueError:  # int() refuses more digits than sys.get_int_max_str_digits()
        raise _Unreadable("holds an integer of thousands of digits") from None
    except RecursionError:
        raise _Unreadable("nested too deeply") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if any(map(NO_TEXT.search, made)):
        raise _Unreadable("the name of a field holds characters that are no text")
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = sorted({key for key in keys if keys.count(key) > 1})
        raise _Unreadable(f"the key {', '.join(repr(key[:40]) for key in twice)} stands twice in it")
    return made


def _whole(name: str, text: str) -> Iterator[Record | UnusableRow]:
    start = _after(text, 0, _BLANK)
    if text[start : start + 1] == "[":
        yield from _array(name, text, start)
        return
    end = _end_of(text, start)
    if text[start : start + 1] != "{" or end is None:
        # Not one object: its first error says why, unless it is JSON lines with another ending.
        yield from _broken(name, text, start)
        return
    if text[end:].strip():
        yield from _lines(name, text)
        return
    lists, problem = _lists(text, start)
    if len(lists) == 1 and not _is_conversation(text, *lists.items()):
        key, at = next(iter(lists.items()))
        if problem:
            yield UnusableRow(name, text.count("\n", 0, start) + 1, f"beside the list '{key[:40]}': {problem}")
        yield from _array(name, text, at)
        return
    yield _record(name, text.count("\n", 0, start) + 1, text[start:end])


def _broken(name: str, text: str, start: int) -> Iterator[UnusableRow]:
    line = text.count("\n", 0, start) + 1
    try:
        value = _value(text)
    except json.JSONDecodeError as error:
        yield UnusableRow(name, error.lineno, f"invalid JSON ({error.msg})")
    except _Unreadable as why:
        yield UnusableRow(name, line, str(why))
    else:
        yield UnusableRow(name, line, f"not a list of objects, but {kind_of(value)}")


def _lists(text: str, start: int) -> tuple[dict[str, int], str]:
    """The keys of an object that hold lists of rows, with where each begins; and what is wrong with the other values: a
    list of texts or numbers is a field of a row."""
    found: dict[str, int] = {}
    problem = ""
    position = _after(text, start + 1, _BLANK + ",")
    while position < len(text) and text[position] == '"':
        end = _end_of(text, position)
        if end is None:
            break
        key = json.loads(text[position:end])
        at = _after(text, end, _BLANK + ":")
        end = _end_of(text, at)
        if end is None:
            break
        if text[at] == "[" and text[_after(text, at + 1, _BLANK)] in "{]n[":  # one that is no object is a bad row
            if key in found:
                problem = f"the key '{key[:40]}' stands twice"
            found[key] = at
        else:
            try:
                _value(text[at:end])
            except (json.JSONDecodeError, _Unreadable) as why:
                reason = f"invalid JSON ({why.msg})" if isinstance(why, json.JSONDecodeError) else str(why)
                problem = problem or f"'{key[:40]}' {reason}"
        position = _after(text, end, _BLANK + ",")
    return found, problem


_TURN = re.compile(r'"(?:role|from|value|content|papel|conteudo|conteúdo)"\s*:')
_LISTED = re.compile(rf'"(?:{"|".join(CONVERSATIONS)})"\s*:')


def _is_conversation(text: str, listed: tuple[str, int]) -> bool:
    """Is the one list of an object a conversation's turns, so that the object itself is a row?"""
    key, at = listed
    first = _after(text, at + 1, _BLANK)
    end = _end_of(text, first)
    head = text[first : end or first]
    return key in CONVERSATIONS and _TURN.search(head) is not None and _LISTED.search(head) is None


def _array(name: str, text: str, start: int) -> Iterator[Record | UnusableRow]:
    """The objects of the array that begins at `start`, each with the line it begins on."""
    position, line, counted = start + 1, 1, 0
    while True:
        position = _after(text, position, _BLANK + ",")
        line, counted = line + text.count("\n", counted, position), position
        if text[position : position + 1] == "]":
            if rest := text[position + 1 :].strip(_BLANK + "}"):
                at = text.count("\n", 0, position) + 1
                if not _is_rest_of_object(rest):
                    yield UnusableRow(name, at, "something follows the end of the list; it was not read")
            return
        end = _end_of(text, position)
        if end is None:
            yield UnusableRow(name, line, f"invalid JSON ({_why(text, position)}); nothing after it was read")
            return
        found = _record(name, line, text[position:end])
        yield found
        after = _after(text, end, _BLANK)
        if text[after : after + 1] not in (",", "]"):
            at = text.count("\n", 0, min(after, len(text))) + 1
            yield UnusableRow(name, at, "invalid JSON (expected ',' or ']'); nothing after it was read")
            return
        position = end


def _is_rest_of_object(rest: str) -> bool:
    return rest.lstrip(_BLANK).startswith(",")


def _why(text: str, position: int) -> str:
    try:
        json.JSONDecoder().raw_decode(text, position)
    except json.JSONDecodeError as error:
        return error.msg
    except (ValueError, RecursionError):
        pass
    return "it has no end"


def _end_of(text: str, start: int) -> int | None:
    """Where the JSON value that begins at `start` ends, by its brackets alone; None if it never does."""
    first = text[start : start + 1]
    if first not in ("[", "{", '"'):
        found = _SCALAR_ENDS.search(text, start)
        return (found.start() if found else len(text)) if first and (not found or found.start() > start) else None
    depth, position = 0, start
    while found := _TOKEN.search(text, position):
        position = found.end()
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(found[0], 0)
        if depth <= 0:
            return position
    return None


def _after(text: str, position: int, skipped: str) -> int:
    while position < len(text) and text[position] in skipped:
        position += 1
    return position
