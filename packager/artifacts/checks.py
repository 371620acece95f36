"""What is proven: checks, which can fail and are counted, and figures, which are recorded beside them."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, model_validator

OF_THE_DEVICE = ("smoke.ram", "smoke.speed", "smoke.first_token")
"""Checks that judge a file by the recipe's `device`; only these can be waived."""


class Check(BaseModel):
    """One proven (or failed) claim. What cannot fail is a `Figure`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    stage: str
    subject: str = ""
    """What it is about, where a stage makes several: the quantization type of a file. '' for the whole."""
    measured: float | str
    threshold: float | str
    unit: str
    passed: bool
    """What was measured, whether or not it is waived."""
    waived: str = ""
    """Why a failed check of the device does not stop the build, in a sentence; '' if it does."""
    says: str
    """One sentence for a human."""

    @model_validator(mode="after")
    def _only_a_failed_check_of_the_device_is_waived(self) -> Check:
        if self.waived and (self.passed or self.id not in OF_THE_DEVICE):
            raise ValueError(f"{self.id} cannot be waived")
        return self

    @property
    def name(self) -> str:
        """Its id, and what it is about."""
        return f"{self.id} of {self.subject}" if self.subject else self.id

    @property
    def failed(self) -> bool:
        """Whether it stops the build."""
        return not self.passed and not self.waived


def verdict(
    name: str, measured: float | str, threshold: float | str, unit: str, passed: bool, says: str, *, subject: str = ""
) -> Check:
    """The check called `name`, which begins with its stage."""
    return Check(
        id=name,
        stage=name.partition(".")[0],
        subject=subject,
        measured=measured,
        threshold=threshold,
        unit=unit,
        passed=passed,
        says=says,
    )


class Figure(BaseModel):
    """Something recorded beside the checks: it cannot fail, and is not counted among them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    """Begins with its stage, as that of a check."""
    subject: str = ""
    """As that of a check."""
    measured: float | str
    unit: str
    says: str
    """One sentence for a human."""


def tally(checks: Sequence[Check]) -> str:
    """How many passed, in words that name what is waived: "All 24 checks passed", "23 of 24 checks passed; 1
    failed and is waived: smoke.ram of Q8_0"."""
    passed, waived = sum(c.passed for c in checks), [c.name for c in checks if c.waived]
    if passed == len(checks):
        return f"All {passed} checks passed"
    said = f"{passed} of {len(checks)} checks passed"
    if not waived:
        return said
    return f"{said}; {len(waived)} failed and {'is' if len(waived) == 1 else 'are'} waived: {', '.join(waived)}"
