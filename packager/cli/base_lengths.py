"""How long rows are for a base, and how much it can take: what a drafted recipe's limits follow from.

Rows, a base and a data section -> `Lengths`; counted where the base is on this machine, else guessed by the letters.
A base that cannot be used is passed over here: `check` says what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from packager.checkpoint.locate import inspect_base
from packager.checkpoint.prompt_at_hand import at_hand, prompt_of
from packager.data.audit.beforehand import CHARACTERS_PER_TOKEN, Prompt
from packager.data.rows.formats import Row
from packager.errors import PackagerError
from packager.prompt import masking
from packager.prompt.masking import BoundaryError
from packager.prompt.template import token_ids
from packager.recipe import loading
from packager.recipe.sections import Base, Data

EXAMPLE = "smollm2_aps"
"""The recipe whose base is taken where none is given."""
UNLIMITED = 1 << 20
COUNTED = 2000
"""Rows that are counted, spread over all: a thousand take seconds."""


@dataclass(frozen=True)
class Lengths:
    """Tokens of rows and of their answers."""

    rows: tuple[float, ...]
    answers: tuple[float, ...]
    most: int
    """What the base can take at once."""
    counted: bool


def base_of(named: str) -> Base:
    """The base as a recipe would name it; the example's where none is given."""
    return Base(model=named) if named else loading.load(str(loading.SHIPPED / f"{EXAMPLE}.yaml")).base


def lengths_of(rows: Sequence[Row], base: Base, data: Data) -> Lengths:
    """The lengths of the rows with this base; `data.system` is in the rows already."""
    some = [rows[i * len(rows) // min(COUNTED, len(rows))] for i in range(min(COUNTED, len(rows)))]
    try:
        path = at_hand(base)
        if path is not None:
            found, _ = inspect_base(base)
            most = min((limit.tokens for limit in found.limits), default=UNLIMITED)
            with prompt_of(path, data.template) as prompt:
                return _counted(some, prompt, most)
    except PackagerError:
        pass
    answers = [len(text) / CHARACTERS_PER_TOKEN for row in rows for role, text in row.messages if role == "assistant"]
    lengths = [sum(len(text) for _, text in row.messages) / CHARACTERS_PER_TOKEN for row in rows]
    return Lengths(tuple(lengths), tuple(answers), UNLIMITED, False)


def _counted(rows: Sequence[Row], prompt: Prompt, most: int) -> Lengths:
    lengths, answers = [], []
    template, end = prompt.frozen.template, prompt.frozen.roles.end_of_turn
    for row in rows:
        try:
            lengths.append(float(len(masking.encode(template, prompt.tokenizer, end, row.as_messages()).ids)))
        except BoundaryError:  # the audit counts it as a bad row
            continue
        answers += [float(len(token_ids(prompt.tokenizer, t)) + 1) for role, t in row.messages if role == "assistant"]
    return Lengths(tuple(lengths) or (1.0,), tuple(answers) or (1.0,), most, True)
