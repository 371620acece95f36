"""What the data stage would refuse, found before any stage runs, and what the rows come to.

The `data` section of a recipe, and the base's prompt where it is at hand -> the rows as they would be trained on; or
the `InputError` that the stage would raise: bad rows, patient identifiers, system messages that differ or that the
template refuses, too many long rows, rows none of which can be held out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from packager.data.audit import preparation
from packager.data.audit.lengths import measurer_with
from packager.data.audit.preparation import Prepared, identifiers_in, refuse_identifiers
from packager.data.conversations import shared_system
from packager.data.rows.table import check_rows
from packager.prompt.frozen import Frozen
from packager.prompt.ollama.composed import refuse_unservable_with
from packager.prompt.servable import must_fit_with, questions_must_fit_with
from packager.recipe.sections import Data, Serve

if TYPE_CHECKING:
    from tokenizers import Tokenizer

CHARACTERS_PER_TOKEN = 2.5
"""Where no tokenizer is at hand: few, as small English models split Portuguese into many tokens."""
MANY = 5000
"""Rows that take a minute to divide and count."""


@dataclass(frozen=True)
class Prompt:
    """What rows are rendered and counted with."""

    frozen: Frozen
    tokenizer: Tokenizer


@dataclass(frozen=True)
class Amount:
    """What there is to train on."""

    train_rows: int
    heldout_rows: int
    train_tokens: int
    heldout_tokens: int
    longest: int
    """Tokens of the longest row."""
    counted: bool
    """With the base's tokenizer; else guessed by the letters."""


def check_data(
    config: Data,
    prompt: Prompt | None = None,
    serve: Serve | None = None,
    questions: Sequence[str] = (),
    *,
    thorough: bool = True,
) -> Amount | None:
    """What the rows come to. Raises `InputError` for what is wrong with the source. A data set of the Hub that is
    not on this machine yet is not looked at (None); nor, unless it is to be `thorough`, is a large one divided and
    counted: the data stage does so in its turn. `questions` are those that files are asked later."""
    table = check_rows(config)
    if table is None:
        return None
    if config.identifiers == "stop":
        refuse_identifiers(config.source, identifiers_in(table))
    system = shared_system(table.rows)
    if not thorough and len(table.rows) > MANY:
        return None
    if prompt:
        refuse_unservable_with(prompt.frozen, prompt.tokenizer, system)
    measure = measurer_with(prompt.frozen, prompt.tokenizer) if prompt else None
    prepared = preparation.prepare(config, table, measure)
    preparation.refuse(config, prepared)
    if prompt:
        must_fit_with(prompt.frozen.template, prompt.tokenizer, prompt.frozen.roles, system, serve or Serve())
        context = (serve or Serve()).context
        questions_must_fit_with(prompt.frozen.template, prompt.tokenizer, system, questions, context)
    return amount_of(prepared)


def amount_of(prepared: Prepared) -> Amount:
    """The rows and tokens of prepared rows."""
    counted = prepared.audit.tokens
    train, heldout = (
        [int(sum(len(text) for _, text in row.messages) / CHARACTERS_PER_TOKEN) for row in rows]
        for rows in (prepared.train, prepared.heldout)
    )
    return Amount(
        train_rows=len(prepared.train),
        heldout_rows=len(prepared.heldout),
        train_tokens=prepared.train_tokens if counted else sum(train),
        heldout_tokens=prepared.heldout_tokens if counted else sum(heldout),
        longest=min(counted.longest, counted.limit) if counted else max([*train, *heldout], default=0),
        counted=counted is not None,
    )
