"""What the data stage would refuse, found before any stage runs: without a tokenizer, in seconds.

The `data` section of a recipe -> nothing, or the `InputError` that the stage would raise: bad rows, patient
identifiers, system messages that differ, rows none of which can be held out.
"""

from __future__ import annotations

from packager.data.audit.duplicates import normalise
from packager.data.audit.preparation import identifiers_in, refuse_identifiers
from packager.data.conversations import shared_system
from packager.data.rows.table import Table, check_rows
from packager.errors import InputError
from packager.recipe.sections import Data


def check_data(config: Data) -> int | None:
    """Raise `InputError` for what is wrong with the source. A data set of the Hub that is not on this machine yet
    is not looked at. Returns how many rows there are, where that is known."""
    table = check_rows(config)
    if table is None:
        return None
    if config.identifiers == "stop":
        refuse_identifiers(config.source, identifiers_in(table))
    shared_system(table.rows)
    _must_be_divisible(table, config)
    return len(table.rows)


def _must_be_divisible(table: Table, config: Data) -> None:
    answers = config.split.group_by != "question"
    if len({normalise(row.question) for row in table.rows}) < 2 or (
        answers and len({normalise(row.answer) for row in table.rows}) < 2
    ):
        raise InputError(
            f"The {len(table.rows)} rows of {config.source} share one question or answer, or there is only one:"
            " none can be held out without a leak.",
            "add rows with other questions and answers",
        )
