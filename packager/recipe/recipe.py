"""A whole recipe, of its sections."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from packager.recipe.clinic import Clinic, Device
from packager.recipe.dossier import Dossier
from packager.recipe.evaluation import Evaluate
from packager.recipe.knowledge import Knowledge
from packager.recipe.sections import Base, Data, Quantize, Section, Serve, Smoke, Thresholds, Train


class Recipe(Section):
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")
    """Names the run folder, the package and its files."""
    description: str = ""
    """One line, shown by `packager recipes` and on the model card."""
    language: Literal["pt-BR", "en"] = "pt-BR"
    """What the model is to answer in; the smoke test checks it."""
    base: Base
    """The base model."""
    data: Data
    """The questions and answers."""
    knowledge: Knowledge | None = None
    """Approved material that travels with the model; none without this section."""
    train: Train = Train()
    """Fine-tuning."""
    quantize: Quantize = Quantize()
    """Quantization."""
    serve: Serve = Serve()
    """Generation in the clinic."""
    smoke: tuple[Smoke, ...] = Field(default=(), max_length=50)
    """Questions asked of every packaged file before it is released."""
    clinic: Clinic = Clinic()
    """What people in the clinic see."""
    device: Device = Device()
    """The clinic's machine."""
    thresholds: Thresholds = Thresholds()
    """Limits of the proof; a loosened one is recorded in the package."""
    evaluate: Evaluate = Evaluate()
    """What `packager evaluate` measures beyond the proof."""
    dossier: Dossier = Dossier()
    """What the dossier says that only people know."""
    overrides: dict[str, Any] = Field(default={})
    """Filled in from the command line; recorded in the package."""
