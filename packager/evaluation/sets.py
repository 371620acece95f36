"""The rows that models are measured on: the held-out ones, and those of `evaluate.sets`.

A set that cannot be had, and rows longer than the context, are recorded as left out. Fails with `InputError` if
no held-out row fits.
"""

from __future__ import annotations

from packager.artifacts.evaluation import HELDOUT, LeftOut
from packager.artifacts.kinds import Dataset
from packager.errors import InputError, PackagerError
from packager.evaluation import items
from packager.evaluation.items import ValidationRow
from packager.recipe.evaluation import Evaluate
from packager.recipe.sections import Data


def rows_of_sets(
    wanted: Evaluate, config: Data, context: int, data: Dataset, left: list[LeftOut]
) -> dict[str, list[ValidationRow]]:
    """The rows of every set by its name, those that fit into `context` tokens; what is left out is added to `left`."""
    sets = {HELDOUT: items.heldout(data, wanted.rows, wanted.seed, config.split.group_by)}
    for name, validation in wanted.sets.items():
        source = items.config_of(validation, config)
        try:
            sets[name] = items.of_set(name, source, data, validation.rows, wanted.seed)
        except PackagerError as error:
            failed = not items.missing(source)  # what is missing is in the stage's key
            fix = error.fix or "correct evaluate.sets"
            left.append(LeftOut(what=f"set {name}", why=error.message, fix=fix, failed=failed))
    for name, rows in sets.items():
        sets[name] = [i for i in rows if max(len(i.encoded.ids), len(i.prompt.ids) + 1) < context]
        if too_long := len(rows) - len(sets[name]):
            why = f"{too_long} rows are longer than serve.context ({context} tokens)"
            left.append(LeftOut(what=f"rows of {name}", why=why, fix="raise serve.context"))
    if not sets[HELDOUT]:
        raise InputError(f"No held-out row fits into serve.context ({context} tokens).", "raise serve.context")
    return {name: rows for name, rows in sets.items() if rows}


def unreachable_sets(wanted: Evaluate, config: Data) -> list[LeftOut]:
    """The sets whose source is not there."""
    missing_sets = []
    for name, validation in wanted.sets.items():
        if missing := items.missing(items.config_of(validation, config)):
            fix = f"put it there, or correct evaluate.sets.{name}.source"
            missing_sets.append(LeftOut(what=f"set {name}", why=missing, fix=fix))
    return missing_sets
