"""What a run will be, for people: `Expected` -> lines."""

from __future__ import annotations

from packager.data.audit.rendering import count
from packager.pipeline.estimate import Cost, Expected
from packager.process.memory import GIGABYTE


def of_expected(found: Expected) -> str:
    """Rows, tokens and steps; then how long all stages together take, a line for each machine."""
    lines = []
    if (amount := found.amount) is None:
        lines.append("  the rows are not on this machine yet: steps and time are not known")
    else:
        guess = "" if amount.counted else " (guessed by their letters)"
        lines.append(
            f"  {count(amount.train_rows, 'row')} to train on, {amount.heldout_rows:,} held out;"
            f" the longest has {amount.longest:,} tokens{guess}"
        )
        if found.steps:
            lines.append(f"  {count(found.steps, 'step')} over {found.trained_tokens:,} tokens")
    lines.append(f"  {found.disk / GIGABYTE:.1f} GB of disk")
    lines.append("  time of the whole build, from the base to the package (rough: half to twice as long happens):")
    return "\n".join([*lines, *(f"    {_cost(cost)}" for cost in found.costs)])


def _cost(cost: Cost) -> str:
    if cost.minutes is None:
        return f"{cost.where}: training does not fit, it needs {cost.memory / GIGABYTE:.1f} GB"
    memory = f", {cost.memory / GIGABYTE:.1f} GB of memory" if cost.memory else ""
    training = f", {minutes(cost.training_minutes)} of it training" if cost.training_minutes else ""
    return f"{cost.where}: about {minutes(cost.minutes)}{training}{memory}"


def minutes(time: float) -> str:
    """`40 s`, `12 min`, `3.5 h`."""
    if time < 1:
        return f"{max(1, round(time * 60))} s"
    return f"{time:.0f} min" if time < 90 else f"{time / 60:.1f} h"
