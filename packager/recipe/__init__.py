"""The recipe: everything that decides what is built, as frozen values (`sections`), and reading it (`loading`)."""

from packager.recipe.loading import ROOT, SHIPPED, fields, find, load, located, shipped
from packager.recipe.sections import (
    Base,
    Batch,
    Data,
    Device,
    Evaluation,
    Fields,
    Lora,
    Quantize,
    Recipe,
    Section,
    Serve,
    Smoke,
    Thresholds,
    Train,
)

__all__ = [
    "ROOT",
    "SHIPPED",
    "Base",
    "Batch",
    "Data",
    "Device",
    "Evaluation",
    "Fields",
    "Lora",
    "Quantize",
    "Recipe",
    "Section",
    "Serve",
    "Smoke",
    "Thresholds",
    "Train",
    "fields",
    "find",
    "load",
    "located",
    "shipped",
]
