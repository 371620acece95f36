"""A Modelfile as it was written -> that it reads back as it was proven and ends answers where training did.

Fails with `InputError` on a stop string inside an answer.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from packager.artifacts.checks import Check, verdict
from packager.artifacts.kinds import Prompt
from packager.data.conversations import CHOOSING, HELDOUT, TRAIN
from packager.errors import InputError
from packager.prompt.ollama.modelfile import ModelfileCommand, parse_modelfile

ROWS = (TRAIN, HELDOUT, CHOOSING)


def read_back(path: Path, commands: Sequence[ModelfileCommand]) -> Check:
    """Does the file say these `commands`, the proven TEMPLATE among them?"""
    read = parse_modelfile(path.read_bytes().decode("utf-8"))
    wrong = next((w.name for w, r in zip(commands, read, strict=False) if w != r), "a command")
    unlike = f"{wrong} does not read back as it was meant."
    return verdict("modelfile.parses", len(read), len(commands), "commands", read == tuple(commands),
                  f"Ollama reads all {len(read)} commands of the Modelfile as they were meant."
                  if read == tuple(commands) else unlike)  # fmt: skip


def stop_check(path: Path, end_of_turn: str, prompt: Prompt) -> Check:
    """Does the answer end where training ended it, by the Modelfile's stops? (By the file's own token:
    convert.end_of_turn.)"""
    stops = [value for name, value in parse_modelfile(path.read_bytes().decode("utf-8")) if name == "stop"]
    ends = end_of_turn in stops
    says = f"{end_of_turn} and {len(stops) - 1} other stops end an answer; none occurs in {prompt.answers} answers."
    return verdict("modelfile.stops", int(ends), 1, "stops", ends,
                  says if ends else f"{end_of_turn} is no stop in the Modelfile.")  # fmt: skip


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
