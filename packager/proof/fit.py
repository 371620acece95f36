"""Files of a package and the checks of its proof -> the best one that fits a machine.

Quality is the divergence from F16 on held-out answers. Memory is what the smoke test took at the
recipe's context, speed what it reached on this machine, or an estimate for another. Fails with
`InputError` if there is no package, or one whose manifest lacks these figures.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from packager.artifacts.checks import OF_THE_DEVICE, Check, Figure
from packager.artifacts.kinds import GgufFile
from packager.errors import InputError
from packager.process.memory import GIGABYTE
from packager.recipe.clinic import Device

BANDWIDTH_SHARE = 0.85
"""Share of the memory bandwidth that generation reaches, of models of 1B parameters and more (0.8 to 0.9)."""
NOISE = 0.05
"""Relative differences of speed up to this are not told apart."""
FAST = frozenset({"Q4_0", "Q4_K", "IQ4_NL", "MXFP4"})
"""Types that llama.cpp lays out anew for AVX2 (ggml-cpu/repack.cpp): prompts are read with them about twice as fast."""
AS_GOOD = 1.1
"""Files up to this many times as far from F16 as the best count as as good; of them the fast one is taken."""
LACKS = {
    "smoke.ram": "needs {:.2f} GB of memory, not {:g}",
    "smoke.speed": "makes {:.1f} tokens/s, not {:g}",
    "smoke.first_token": "takes {:.1f} s to the first word, not {:g}",
}
"""Why a file does not fit, by the check of the device that says so: what was measured, and the limit."""


@dataclass(frozen=True)
class Machine:
    """What a file has to fit."""

    ram_gb: float
    """In GB of 10^9 bytes."""
    min_tokens_per_second: float
    max_seconds_to_first_token: float | None = None
    """None: the wait for the first word is not looked at."""
    bandwidth: float | None = None
    """Memory bandwidth in GB/s, to estimate the speed from; None: this machine, as measured."""


@dataclass(frozen=True)
class Lack:
    """Why a file does not fit: the check of the device that says so, what was measured, and the limit."""

    check: str
    measured: float
    limit: float

    def __str__(self) -> str:
        return LACKS[self.check].format(self.measured, self.limit)


@dataclass(frozen=True)
class Candidate:
    """One file and what was measured of it."""

    name: str
    type: str
    size: int
    bits_per_weight: float
    kl: float
    """Mean KL divergence from F16, nats per token; so much for quality."""
    same_top: float
    perplexity_ratio: float
    heldout_loss: float
    ram_gb: float
    tokens_per_second: float | None
    """None where no question was asked, so that no speed is known."""
    seconds_to_first_token: float | None = None
    """The longest wait, on the machine that built the package."""
    prompt_tokens_per_second: float | None = None
    """How fast it reads a question there; None where none was asked."""
    slow_kernels: float = 0.0
    """Share of its matrices of a type that processors with AVX2 have no fast kernel for."""
    lacks: tuple[Lack, ...] = ()
    """Why it does not fit the machine."""
    dominated_by: str = ""
    """The type of a file that is no larger, no worse and no slower, if there is one."""


@dataclass(frozen=True)
class FileChoice:
    """Every file in order of size, and the best that fits."""

    machine: Machine
    candidates: tuple[Candidate, ...]
    best: Candidate | None
    default: str
    """The name of the package's default file."""


def of_package(package: Path) -> tuple[list[Candidate], str]:
    """The files of a finished package, and the name of its default."""
    try:
        manifest = json.loads((package / "manifest.json").read_text(encoding="utf-8"))
        default = next(f["name"] for f in manifest["files"] if f["default"])
        files = [GgufFile.model_validate({k: v for k, v in f.items() if k != "default"}) for f in manifest["files"]]
        checks = [Check.model_validate(check) for check in manifest["proof"]["checks"]]
        figures = [Figure.model_validate(figure) for figure in manifest["proof"].get("figures", ())]
    except OSError as error:
        raise InputError(f"There is no package at {package}.", "build the recipe first") from error
    except (ValueError, KeyError, StopIteration, ValidationError) as error:
        raise InputError(f"The manifest of {package} is of another version.", "build the recipe again") from error
    return candidates_of(files, checks, figures), default


def candidates_of(
    files: Sequence[GgufFile], checks: Sequence[Check], figures: Sequence[Figure] = ()
) -> list[Candidate]:
    """The files that ran, with what the proof measured of each."""
    known: tuple[Check | Figure, ...] = (*checks, *figures)
    measured = {(c.id, c.subject): float(c.measured) for c in known if isinstance(c.measured, int | float)}
    found = []
    for file in files:
        ram = measured.get(("smoke.ram", file.type))
        if file.divergence is None or ram is None:
            continue
        made = Candidate(
            name=file.name,
            type=file.type,
            size=file.size,
            bits_per_weight=file.bits_per_weight,
            kl=file.divergence.kl_mean,
            same_top=file.divergence.same_top,
            perplexity_ratio=file.divergence.perplexity_ratio,
            heldout_loss=file.divergence.loss,
            ram_gb=ram,
            tokens_per_second=measured.get(("smoke.speed", file.type)),
            seconds_to_first_token=measured.get(("smoke.first_token", file.type)),
            prompt_tokens_per_second=measured.get(("smoke.prompt_speed", file.type)),
            slow_kernels=_slow_kernels(file),
        )
        found.append(made)
    return found


def choose_file(files: Sequence[Candidate], default: str, machine: Machine) -> FileChoice:
    """The file that diverges least from F16 among those that fit; of equals, that with fast kernels, the smaller."""
    placed = [replace(f, tokens_per_second=_speed(f, machine)) for f in files]
    judged = [replace(f, lacks=_lacks(f, machine), dominated_by=_dominating(f, placed)) for f in placed]
    best = _best([f for f in judged if not f.lacks])
    return FileChoice(machine, tuple(sorted(judged, key=lambda f: f.size)), best, default)


def of_device(device: Device) -> Machine:
    """The clinic's machine, as the recipe has it."""
    return Machine(device.ram_gb, device.min_tokens_per_second, device.max_seconds_to_first_token)


def default_first(
    files: Sequence[GgufFile], checks: Sequence[Check], device: Device
) -> tuple[tuple[GgufFile, ...], str]:
    """The files with the package's default in front, and why it is not the recipe's first ('' if it is).

    A file fits the device if it passed every check of it. The first stays if no file fits, or if it does and
    the recipe prefers its own order.
    """
    lacks = _failed_of_device(checks)
    ran = {c.type: c for c in candidates_of(files, checks)}
    fitting = [c for c in ran.values() if c.type not in lacks]
    first, best = ran.get(files[0].type), _best(fitting)
    if first is None or best is None or best is first or not (first.type in lacks or device.prefer == "quality"):
        return tuple(files), ""
    lack = " and ".join(map(str, lacks.get(first.type, ()))) or (
        f"diverges more from F16 ({first.kl:.4f}, not {best.kl:.4f} nats a token)"
    )
    chosen = next(f for f in files if f.name == best.name)
    return (chosen, *(f for f in files if f is not chosen)), f"{best.type} is the default: {first.type} {lack}"


def waive(checks: Sequence[Check], files: Sequence[GgufFile], device: Device) -> list[Check]:
    """A proof's checks, of which those of `device` are waived for a file that fails them beside one that passes
    them all: that one is made the default. What was measured stays."""
    default = default_first(files, checks, device)[0][0]
    if default.divergence is None or default.type in _failed_of_device(checks):
        return list(checks)
    return [
        c.model_copy(update={"waived": f"{c.subject} is not for this device; the default, {default.type}, is."})
        if c.id in OF_THE_DEVICE and not c.passed
        else c
        for c in checks
    ]


def _best(fitting: Sequence[Candidate]) -> Candidate | None:
    least = min((f.kl for f in fitting), default=0.0)
    good = [f for f in fitting if f.kl <= AS_GOOD * least]
    return min(good, key=lambda f: (f.slow_kernels > 0.5, f.kl, f.size), default=None)


def _slow_kernels(file: GgufFile) -> float:
    quantized = {name: count for name, count in file.tensor_types.items() if name not in ("F32", "F16", "BF16")}
    slow = sum(count for name, count in quantized.items() if name not in FAST)
    return slow / (sum(quantized.values()) or 1)


def _failed_of_device(checks: Sequence[Check]) -> dict[str, list[Lack]]:
    """The types of the files that fail a check of the device, and why."""
    found: dict[str, list[Lack]] = {}
    for check in checks:
        if check.id in OF_THE_DEVICE and not check.passed:
            found.setdefault(check.subject, []).append(Lack(check.id, float(check.measured), float(check.threshold)))
    return found


def _speed(file: Candidate, machine: Machine) -> float | None:
    """Tokens per second; with a bandwidth estimated, since every token reads the whole file once."""
    if machine.bandwidth is None:
        return file.tokens_per_second
    return BANDWIDTH_SHARE * machine.bandwidth * GIGABYTE / file.size


def _lacks(file: Candidate, machine: Machine) -> tuple[Lack, ...]:
    found = []
    if file.ram_gb > machine.ram_gb:
        found.append(Lack("smoke.ram", file.ram_gb, machine.ram_gb))
    speed = file.tokens_per_second
    if speed is not None and speed < machine.min_tokens_per_second:
        found.append(Lack("smoke.speed", speed, machine.min_tokens_per_second))
    wait, most = file.seconds_to_first_token, machine.max_seconds_to_first_token
    if wait is not None and most is not None and wait > most:
        found.append(Lack("smoke.first_token", wait, most))
    return tuple(found)


def _dominating(file: Candidate, others: Sequence[Candidate]) -> str:
    def beats(other: Candidate) -> bool:
        slower = (other.tokens_per_second or 0) < (1 - NOISE) * (file.tokens_per_second or 0)
        better = (other.size, other.kl) != (file.size, file.kl)
        return other.size <= file.size and other.kl <= file.kl and better and not slower

    return next((other.type for other in sorted(others, key=lambda o: o.kl) if beats(other)), "")
