"""A quantized file's failed smoke checks and the F16 file's answers to the same questions -> whose fault they are.

A model that was trained too little, or a base that is too small, fails before it is quantized. Without asking the
F16 file its loops and wrong words would be put down to quantization.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from packager.artifacts.checks import Check
from packager.artifacts.kinds import Answer, GgufFile, Ggufs
from packager.process import progress
from packager.proof.answer_faults import SAYS
from packager.proof.smoke import SmokeTest, smoke_test

OF_ANSWERS = (*(f"smoke.{name}" for name in SAYS), "smoke.language")
"""The checks that judge what a file answers, and not how fast."""


def asked_of_f16(
    checks: Sequence[Check], files: Sequence[GgufFile], f16: Ggufs, specials: Sequence[str], asked: SmokeTest
) -> tuple[Answer, ...]:
    """What the F16 file answers; nothing where no other file failed a check of its answers."""
    original = f16.files[0]
    wrong = [c for c in checks if c.id in OF_ANSWERS and not c.passed and c.subject != original.type]
    if not wrong or any(file.type == original.type for file in files):
        return ()
    progress.note(f"{wrong[0].name} failed: the same questions are put to {original.type}")
    path: Path = f16.folder / original.name
    return tuple(smoke_test(path, original, specials, asked)[0])


def blamed(
    checks: Sequence[Check], answers: Sequence[Answer], files: Sequence[GgufFile], unquantized: Sequence[Answer]
) -> list[Check]:
    """The checks; those of answers that failed say whether the F16 file fails in the same way."""
    of_f16 = {answer.ask: answer.faults for answer in unquantized}
    types = {file.type: file.name for file in files}
    return [_blamed(check, answers, types, of_f16) for check in checks] if of_f16 else list(checks)


def _blamed(
    check: Check, answers: Sequence[Answer], names: dict[str, str], of_f16: dict[str, tuple[str, ...]]
) -> Check:
    if check.passed or check.id not in OF_ANSWERS or check.subject not in names:
        return check
    fault = check.id.removeprefix("smoke.")
    wrong = [a.ask for a in answers if a.file == names[check.subject] and fault in a.faults and a.ask in of_f16]
    if not wrong:
        return check
    alike = sum(fault in of_f16[ask] for ask in wrong)
    if alike:
        why = f"F16 does so too at {alike} of these {len(wrong)}: that is the training (or the base), not quantization."
    else:
        why = f"F16 does not at any of these {len(wrong)}: quantization did it."
    return check.model_copy(update={"says": f"{check.says} {why}"})
