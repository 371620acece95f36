"""What a recipe needs, before anything is fetched: GPU, memory, disk, time, in a line. Nothing here fails.

The base's size is told by its name; what its rows come to, by their letters.
"""

from __future__ import annotations

import re
from pathlib import Path

from packager.cli.prospect import minutes
from packager.data.audit.beforehand import CHARACTERS_PER_TOKEN, Amount
from packager.data.rows.table import read_rows
from packager.errors import PackagerError
from packager.pipeline import estimate, room
from packager.process.memory import GIGABYTE
from packager.recipe.recipe import Recipe

SIZE = re.compile(r"(?<![A-Za-z0-9.])(\d+(?:\.\d+)?)([BM])(?![A-Za-z0-9])", re.IGNORECASE)
KEPT = 90.0
"""Bytes that training on a CPU keeps a token, over the root of the parameters: 1.0e6 for 135M, 6.0e6 for 3.8B."""
BY_NAME = {"phi-3-mini": 3.8e9}
"""Parameters of bases whose names do not say."""


def needs(recipe: Recipe, build_dir: Path) -> str:
    """One line for people."""
    parameters = size_of(recipe.base.model)
    if not parameters:
        return "size of the base not known before it is fetched: packager check tells what it needs"
    amount = None if recipe.data.source.startswith("hf:") else _amount(recipe)
    needed = room.need(recipe, parameters, per_token=KEPT * parameters**0.5, longest=amount.longest if amount else 0)
    disk, found = needed.disk, estimate.expected(recipe, parameters, amount, needed, build_dir)
    if recipe.train.method == "none":
        return f"no training; {disk / GIGABYTE:.1f} GB of disk, about {minutes(found.costs[0].minutes or 0)}"
    if amount is None:
        return f"{disk / GIGABYTE:.1f} GB of disk; its rows are not on this machine yet, so the time is not known"
    here, *cards = found.costs
    fitting = next((cost for cost in sorted(cards, key=lambda cost: cost.memory) if cost.minutes), None)
    gpu = f"; {fitting.where} about {minutes(fitting.minutes)}" if fitting and fitting.minutes else ""
    time = f"about {minutes(here.minutes)}" if here.minutes else "does not fit"
    return (
        f"{'no GPU needed' if parameters < 2e8 else 'GPU advised'}; {here.memory / GIGABYTE:.1f} GB of memory, "
        f"{disk / GIGABYTE:.1f} GB of disk; {here.where} {time}{gpu}"
    )


def size_of(base: str) -> int:
    """Parameters of a base, by its name; 0 where that does not say."""
    name = base.rsplit("/", 1)[-1]
    if found := SIZE.findall(name):
        number, unit = found[0]
        return int(float(number) * (1e9 if unit in "Bb" else 1e6))
    return int(next((size for part, size in BY_NAME.items() if part in name.lower()), 0))


def _amount(recipe: Recipe) -> Amount | None:
    try:
        rows = read_rows(recipe.data).rows
    except PackagerError:
        return None
    tokens = [int(sum(len(text) for _, text in row.messages) / CHARACTERS_PER_TOKEN) for row in rows]
    held = round(len(rows) * recipe.data.split.fraction)
    share = sum(tokens) // max(1, len(rows))
    return Amount(len(rows) - held, held, share * (len(rows) - held), share * held, max(tokens, default=0), False)
