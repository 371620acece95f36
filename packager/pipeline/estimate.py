"""What a run will be: rows, tokens, steps, memory and minutes, here and on cards that people have.

A recipe, its base's size and its rows -> `Expected`. The figures rest on bench/results/training.md and building.md;
a run is often half or twice as long. Nothing here fails: what is not known is None.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from packager.artifacts.commit import RECORD
from packager.data.audit.beforehand import Amount
from packager.pipeline.room import NF4_BYTES, Need
from packager.process import child, machine
from packager.process.machine import Gpu
from packager.recipe.recipe import Recipe

FORWARD, TRAINED = 2, 4
"""Floating-point operations a parameter and token: scored; trained, where frozen weights need no gradients."""
CPU_SPEEDS = (("amx_bf16", 1.6e11), ("avx512_bf16", 3.5e11), ("avx2", 0.8e11), ("", 0.46e11))
"""Operations a second in training on two cores, by what the processor can do: the default recipe's 299, 647, 150 and
85 tokens a second (bench/results/building.md)."""
CPU_CORES = 2
GPU_SHARE, MASKED_SHARE = 0.18, 0.147
"""Of a card's 16-bit peak, what training reaches: Phi-3-mini in 7.5 GiB, and fp16 under a mask as on a T4."""
CARDS = (
    ("a T4", Gpu("T4", 16 * 10**9), 65e12 * MASKED_SHARE),
    ("a card of 8 GB", Gpu("8 GB", 8 * 10**9), 30e12 * GPU_SHARE),
    ("an H100", Gpu("H100", 80 * 10**9), 1.86e14),
)
"""With operations a second. The H100's was measured (Qwen2.5-1.5B, 16 rows a step); the others are reckoned from
their peaks (an 8 GB card's taken as 30 TFLOP/s) by shares that were measured under their limits on an H200."""
GPU_FIXED, GPU_FILLED = 1.5e9, 0.92
"""Bytes beside the weights at the least (measured peaks: 2.4 GiB for 1.5B, 3.7 GiB for 3.8B parameters, rows to 1,024
tokens), and the share of a card's memory that can be filled."""
START_SECONDS, STEP_SECONDS = 20.0, 0.05
"""To load a model; and the least that a step takes on a GPU (measured: 44 ms for 16 flashcards on an H200)."""
REST_SECONDS, REST_SECONDS_PER_BILLION = 60.0, 80.0
"""All stages but training: 73 to 133 s for 135M parameters on two cores, 6 min for 3.8B on sixteen."""


@dataclass(frozen=True)
class Cost:
    """A run on one machine."""

    where: str
    minutes: float | None
    """Of the whole build; None where it does not fit."""
    training_minutes: float | None
    memory: int
    """Bytes that training takes there, of RAM or of the card, at the least."""


@dataclass(frozen=True)
class Expected:
    """What a run will be."""

    amount: Amount | None
    steps: int
    trained_tokens: int
    """Of all passes together."""
    disk: int
    costs: tuple[Cost, ...]


def expected(recipe: Recipe, parameters: int, amount: Amount | None, need: Need, build_dir: Path) -> Expected:
    """What the run will be; with `amount` None only what does not depend on the rows."""
    trains = recipe.train.method != "none" and amount is not None and parameters > 0
    if not trains or amount is None:
        minutes = _rest(parameters) / 60
        return Expected(amount, 0, 0, need.disk, (Cost("here", minutes, 0.0, 0),) if parameters else ())
    steps = recipe.train.steps(amount.train_rows)
    tokens = round(steps * recipe.train.batch.examples_per_step * amount.train_tokens / max(1, amount.train_rows))
    work = parameters * (TRAINED * tokens + 2 * FORWARD * amount.heldout_tokens)
    costs = [_here(work, parameters, need.ram, recipe.train.method, build_dir)]
    for where, card, speed in CARDS:
        seconds = max(work / speed, steps * STEP_SECONDS)
        costs.append(_on_card(f"on {where}", card, seconds, parameters, recipe.train.method))
    return Expected(amount, steps, tokens, need.disk, tuple(costs))


def _here(work: float, parameters: int, memory: int, method: str, build_dir: Path) -> Cost:
    cards = machine.gpus()
    speed, known = _measured(build_dir) or (_cpu_speed(), "")
    if cards:
        speed = speed if known else CARDS[-1][2] if "H100" in cards[0].name else 60e12 * GPU_SHARE
        return _on_card(f"here ({cards[0].name}{known})", cards[0], work / speed, parameters, method)
    cores = child.physical_cores()
    training = work / speed
    return Cost(
        f"here ({cores} core{'' if cores == 1 else 's'}{known})",
        (training + START_SECONDS + _rest(parameters)) / 60,
        training / 60,
        memory,
    )


def _on_card(where: str, card: Gpu, seconds: float, parameters: int, method: str) -> Cost:
    memory = int(parameters * (NF4_BYTES if method == "qlora" else 2.0) + GPU_FIXED)
    if memory > card.memory * GPU_FILLED:
        return Cost(where, None, None, memory)
    return Cost(where, (seconds + START_SECONDS + _rest(parameters)) / 60, seconds / 60, memory)


def _rest(parameters: int) -> float:
    return REST_SECONDS + REST_SECONDS_PER_BILLION * parameters / 1e9


def _cpu_speed() -> float:
    """Operations a second of this processor, by what the nearest one reached."""
    flags = machine.processor_flags()
    return next(speed for flag, speed in CPU_SPEEDS if not flag or flag in flags) * child.physical_cores() / CPU_CORES


def _measured(build_dir: Path) -> tuple[float, str] | None:
    """What the latest training in this build folder reached, and where that is known from."""
    found = sorted(_trainings(build_dir))
    return (found[-1][1], f", as fast as {found[-1][2]} trained") if found else None


def _trainings(build_dir: Path) -> Iterator[tuple[float, float, str]]:
    for path in build_dir.glob(f"*/adapter/{RECORD}"):
        try:
            adapter = json.loads(path.read_text(encoding="utf-8"))["artifact"]
            parameters = adapter["total_parameters"] - adapter["trainable_parameters"]
            if parameters > 10**8:  # a stand-in of two layers says nothing about speed
                speed = TRAINED * parameters * float(adapter["tokens_per_second"])
                yield path.stat().st_mtime, speed, path.parts[-3]
        except (OSError, ValueError, KeyError, TypeError):
            continue
