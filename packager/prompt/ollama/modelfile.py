"""The Modelfile's grammar: settings -> text, and text -> the commands that Ollama reads from it.

`parse` does what Ollama's parser (parser/parser.go) does, its silent losses included: `write`
reads its own text back with it, and refuses with `InputError` what would come back altered.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from packager.errors import InputError
from packager.recipe.sections import Serve

REQUIRES = "0.17.1"
"""The oldest Ollama that the package is for: those before leak heap memory."""
REQUIRES_OF_PARTS = "0.30.0"
"""The oldest that joins weights in parts, each with a FROM of its own. Older ones create a model that does not run."""
PLACEHOLDER = "model.gguf"
_WITH_TEXT = frozenset({"license", "template", "system", "adapter", "draft", "renderer", "parser"})
_KEYWORDS = _WITH_TEXT | {"from", "parameter", "message", "requires"}
_MESSAGE_ROLES = ("system", "user", "assistant")
_BLANK = " \t"
_NEWLINE = "\r\n"
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*\.gguf", re.ASCII)


class ModelfileCommand(NamedTuple):
    """A command as Ollama holds it: FROM is called `model`, a PARAMETER by its own name."""

    name: str
    value: str


def parse_modelfile(text: str) -> tuple[ModelfileCommand, ...]:
    """The commands of a Modelfile; raises `ValueError` where Ollama's parser fails.

    As in Ollama, characters that are not printable vanish from values (line ends and tabs inside
    quotes stay), and a quoted value ends with the first line that ends in its closing quotes.
    """
    commands: list[ModelfileCommand] = []
    text, at = text.removeprefix("\ufeff"), 0
    while at < len(text):
        if text[at] in _BLANK + _NEWLINE:
            at += 1
        elif text[at] == "#":
            while at < len(text) and text[at] not in _NEWLINE:
                at += 1
        else:
            command, at = _command(text, at)
            commands.append(command)
    if not any(c.name == "model" for c in commands):
        raise ValueError("no FROM line")
    return tuple(commands)


def _command(text: str, at: int) -> tuple[ModelfileCommand, int]:
    """The command that begins at `at`, and where it ends."""
    word, at = _word(text, at if _is_print(text[at]) else at + 1, r"[A-Za-z]")
    keyword, role = word.lower(), ""
    if keyword not in _KEYWORDS:
        raise ValueError(f"{word!r} is no command")
    name = {"from": "model"}.get(keyword, keyword)
    if keyword == "parameter":
        name, at = _word(text, at, r"[A-Za-z0-9_]")
    elif keyword == "message":
        role, at = _word(text, at, r"[A-Za-z]")
        if role not in _MESSAGE_ROLES:
            raise ValueError(f"{role!r} is no role of a message")
    value, at = _value(text, at)
    return ModelfileCommand(name, f"{role}: {value}" if role else value), at


def _word(text: str, at: int, letter: str) -> tuple[str, int]:
    """A word and the one blank that must follow it."""
    end = at
    while end < len(text) and re.match(letter, text[end]):
        end += 1
    if end == len(text) or text[end] not in _BLANK:
        raise ValueError(f"{text[at : end + 1]!r} is not a word followed by a blank")
    return text[at:end], end + 1


def _value(text: str, at: int) -> tuple[str, int]:
    """A bare or quoted value: up to the first line end at which its quotes are closed."""
    kept = ""
    while at < len(text):
        character = text[at]
        at += 1
        if character in _NEWLINE:
            value = _unquoted(kept)
            if value is not None:
                return value, at
            kept += character
        elif character in _BLANK or _is_print(character):
            kept += character
    value = _unquoted(kept)
    if value is None:
        raise ValueError("the text ends inside quotes")
    return value, at


def _unquoted(kept: str) -> str | None:
    """The value without its quotes, or None while they are open."""
    kept = kept.strip(_BLANK + _NEWLINE)
    for quotes in ('"""', '"'):
        if kept.startswith(quotes):
            closed = len(kept) >= 2 * len(quotes) and kept.endswith(quotes)
            return kept[len(quotes) : -len(quotes)] if closed else None
    return kept


def _is_print(character: str) -> bool:
    """Go's strconv.IsPrint: letters, marks, numbers, punctuation, symbols and the ASCII space.

    A character that is newer than this Python's Unicode tables counts as not printable.
    """
    return character.isprintable()


def commands_of(
    template: str, system: str | None, serve: Serve, stops: Sequence[str], file_name: str = PLACEHOLDER
) -> tuple[ModelfileCommand, ...]:
    """What a Modelfile is to say, in the order it is written.

    Every setting whose default differs between versions of Ollama is written out. Whole numbers
    have no decimal point, because Ollama refuses `4096.0` for them.
    """
    parameters: dict[str, int | float] = {
        "num_ctx": serve.context,
        "num_predict": serve.max_answer_tokens,
        **serve.sampling,
    }
    return (
        ModelfileCommand("model", f"./{file_name}"),
        ModelfileCommand("requires", REQUIRES),
        ModelfileCommand("template", template),
        *([ModelfileCommand("system", system)] if system else []),
        *(ModelfileCommand(name, repr(value)) for name, value in parameters.items()),
        *(ModelfileCommand("stop", stop) for stop in stops),
    )


def write_modelfile(commands: Sequence[ModelfileCommand]) -> str:
    """The Modelfile that says `commands`; raises `InputError` for text that Ollama would alter."""
    for name, value in commands:
        if faults := sorted({c for c in value if not (_is_print(c) or c in "\n\t")}):
            shown = ", ".join(f"U+{ord(c):04X} {unicodedata.name(c, 'control character')}" for c in faults)
            raise InputError(
                f"The {_field(name)} contains {shown}, which Ollama would silently drop.", "take it out, or use a space"
            )
        if _read_back(ModelfileCommand(name, value)) != value:
            raise InputError(
                f"The {_field(name)} has quotes at its start, or three that end a line, where Ollama would end it.",
                "use other quotes",
            )
    return "".join(_line(command) for command in commands)


def with_from(text: str, file_name: str, licence: str = "") -> str:
    """The same Modelfile for the GGUF `file_name` that lies beside it, with its licence when known."""
    if not _NAME.fullmatch(file_name):
        raise InputError(f"{file_name!r} cannot stand in a Modelfile.", "use letters, digits, '.', '_', '-' and .gguf")
    first, *rest = parse_modelfile(text)
    if first.name != "model":
        raise ValueError("the Modelfile does not begin with FROM")
    licences = [ModelfileCommand("license", licence)] if licence else []
    return write_modelfile([ModelfileCommand("model", f"./{file_name}"), *rest, *licences])


def with_parts(text: str, parts: Sequence[str]) -> str:
    """The same Modelfile for weights that lie beside it in `parts`: a FROM for each, and an Ollama that joins them."""
    first, *rest = parse_modelfile(text)
    if first.name != "model" or len(parts) < 2:
        raise ValueError("the Modelfile does not begin with FROM, or there are no parts")
    needs = [ModelfileCommand("requires", REQUIRES_OF_PARTS) if c.name == "requires" else c for c in rest]
    return write_modelfile([*(ModelfileCommand("model", f"./{name}") for name in parts), *needs])


def kv_note(kv: str) -> str:
    """A comment on what no Modelfile can say: the type of keys and values is the server's, for all its models."""
    if kv == "f16":
        return ""
    return (
        f"# Proven with OLLAMA_KV_CACHE_TYPE={kv} and OLLAMA_FLASH_ATTENTION=1 in the environment of `ollama serve`.\n"
        "# Without them the context takes about twice the memory; the answers are those of f16.\n"
    )


def _line(command: ModelfileCommand) -> str:
    name, value = command
    if name == "model":
        return f"FROM {value}\n"
    if name == "requires":
        return f"REQUIRES {value}\n"
    if name in _WITH_TEXT:
        return f'{name.upper()} """{value}"""\n'
    return f'PARAMETER {name} "{value}"\n' if name == "stop" else f"PARAMETER {name} {value}\n"


def _read_back(command: ModelfileCommand) -> str | None:
    """What Ollama would make of a command's value; None if it would not even read one command."""
    before = "" if command.name == "model" else "FROM x\n"
    try:
        read = parse_modelfile(before + _line(command) + "REQUIRES 0\n")
    except ValueError:
        return None
    return read[-2].value if len(read) == bool(before) + 2 and read[-2].name == command.name else None


def _field(name: str) -> str:
    return {"system": "system message", "template": "chat template", "stop": "stop string"}.get(name, name)
