"""Programs that have to be compiled -> how long it will take, and how far it is, over all of them.

Reckoned in the seconds that one core took for each: a target's first program is nearly all of llama.cpp, its others
are `ggml-cpu` alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from packager.clinic.targets import Target, Variant
from packager.process import progress

FIRST_SECONDS = 480.0
OTHER_SECONDS = 80.0
"""Of one core."""


@dataclass
class Work:
    """What is to be compiled, and what of it is done."""

    seconds: dict[str, float]
    """By the program's name: target and variant."""
    done: float = field(default=0.0)

    @classmethod
    def of(cls, programs: Sequence[tuple[Target, Variant]]) -> Work:
        """The work that these programs are; of a target that lacks some only, an earlier try has compiled the rest."""
        seconds: dict[str, float] = {}
        for target, variant in programs:
            whole = sum(other == target for other, _ in programs) == len(target.variants)
            first = whole and variant == target.variants[0]
            seconds[f"{target.name} {variant.name}"] = FIRST_SECONDS if first else OTHER_SECONDS
        return cls(seconds)

    @property
    def total(self) -> float:
        """Seconds of one core."""
        return sum(self.seconds.values())

    @property
    def programs(self) -> int:
        return len(self.seconds)

    @contextmanager
    def step(self, name: str) -> Iterator[Callable[[int, int], None]]:
        """For the block that compiles the program `name`: tell what it is given how many steps of how many are done."""
        share = self.seconds.get(name, 0.0)

        def show(done: int, steps: int) -> None:
            part = 100 * (self.done + share * done / steps) / (self.total or 1)
            progress.update(part, 100, "% of all programs", now=name)

        show(0, 1)
        yield show
        self.done += share
