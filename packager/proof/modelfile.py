"""A Modelfile as it was written -> that it reads back as meant and ends answers where training did.

Fails with `InputError` on a stop string inside an answer.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packager.artifacts.checks import Check, verdict
from packager.data.conversations import CHOOSING, HELDOUT, TRAIN
from packager.errors import InputError
from packager.prompt.ollama.composed import Composed
from packager.prompt.ollama.modelfile import commands_of, parse_modelfile
from packager.prompt.roles import RoleFormat
from packager.recipe.sections import Serve

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from packager.llamacpp.model import GgufModel

ROWS = (TRAIN, HELDOUT, CHOOSING)


def read_back(path: Path, composed: Composed, config: Serve, system: str | None) -> Check:
    """Does the file say what it was composed of?"""
    commands = commands_of(composed.template, system, config, composed.stops)
    read = parse_modelfile(path.read_bytes().decode("utf-8"))
    wrong = next((w.name for w, r in zip(commands, read, strict=False) if w != r), "a command")
    unlike = f"{wrong} does not read back as it was meant."
    return verdict("modelfile.parses", len(read), len(commands), "commands", read == commands,
                  f"Ollama reads all {len(read)} commands of the Modelfile as they were meant."
                  if read == commands else unlike)  # fmt: skip


def stop_check(path: Path, gguf: GgufModel, tokenizer: Tokenizer, roles: RoleFormat, answers: int) -> Check:
    """Does the answer end where training ended it, by the file's own token and by the Modelfile's stops?"""
    stops = [value for name, value in parse_modelfile(path.read_bytes().decode("utf-8")) if name == "stop"]
    ends = tokenizer.token_to_id(roles.end_of_turn) in gguf.eog_tokens
    faults = [] if ends else [f"{roles.end_of_turn} does NOT end a generation by itself"]
    faults += [] if roles.end_of_turn in stops else [f"{roles.end_of_turn} is no stop in the Modelfile"]
    says = (
        f"{roles.end_of_turn} ends a generation by itself; it and {len(stops) - 1} other stops occur in none of "
        f"{answers} answers."
    )
    return verdict("modelfile.stops", len(faults), 0, "faults", not faults, f"{'; '.join(faults)}." if faults else says)


def answers_without_stops(stops: Sequence[str], folder: Path) -> int:
    """How many answers there are; raises `InputError` naming the first that contains a stop string."""
    answers = 0
    for name in (n for n in ROWS if (folder / n).is_file()):
        for line, row in _rows(folder / name):
            for message in row["messages"]:
                if message["role"] != "assistant":
                    continue
                answers += 1
                if inside := next((s for s in stops if s in message["content"]), None):
                    raise InputError(
                        f"{name}, line {line}: the answer contains {inside}, at which Ollama would cut it off.",
                        "take it out of the data",
                    )
    return answers


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with path.open(encoding="utf-8") as file:
        for line, text in enumerate(file, 1):
            yield line, json.loads(text)
