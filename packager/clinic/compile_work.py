"""Programs that have to be compiled -> how long it will take, and how far it is, over all of them.

Reckoned in the seconds that one core took for each: a target's first program is nearly all of llama.cpp, its others
are `ggml-cpu` alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from packager.clinic.targets import Target, Variant
from packager.process import progress

FIRST = (100.0, 480.0)
"""Seconds of one core to configure and to compile a target's first program. The former are mostly zig's, which builds
its C libraries when they are first used."""
AGAIN = (5.0, 80.0)
"""Of each other one: only `ggml-cpu` is compiled again."""


@dataclass(frozen=True)
class Step:
    """One program: tell how far it is."""

    name: str
    work: Work
    configure: float
    compile: float
    """Seconds of one core that each is expected to take."""
    began: float = field(default_factory=time.monotonic)

    def configuring(self) -> None:
        """The compiler's trials say nothing of how far they are: by the clock, up to their share."""
        self._show(min(self.configure, time.monotonic() - self.began))

    def compiled(self, done: int, steps: int) -> None:
        """So many steps of how many are done."""
        self._show(self.configure + self.compile * done / steps)

    def _show(self, seconds: float) -> None:
        part = 100 * (self.work.done + seconds) / self.work.total
        progress.update(part, 100, "% of all programs", now=self.name)


@dataclass
class Work:
    """What is to be compiled, and what of it is done."""

    seconds: dict[str, tuple[float, float]]
    """To configure and to compile, by the program's name: target and variant."""
    done: float = field(default=0.0)

    @classmethod
    def of(cls, programs: Sequence[tuple[Target, Variant]]) -> Work:
        """The work that these programs are; of a target that lacks some only, an earlier try has compiled the rest."""
        seconds: dict[str, tuple[float, float]] = {}
        for target, variant in programs:
            whole = sum(other == target for other, _ in programs) == len(target.variants)
            first = whole and variant == target.variants[0]
            seconds[f"{target.name} {variant.name}"] = FIRST if first else AGAIN
        return cls(seconds)

    @property
    def total(self) -> float:
        """Seconds of one core."""
        return sum(sum(parts) for parts in self.seconds.values())

    @property
    def programs(self) -> int:
        return len(self.seconds)

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """For the block that makes the program `name`."""
        step = Step(name, self, *self.seconds[name])
        step.configuring()
        yield step
        self.done += sum(self.seconds[name])
