"""The recipe: everything that decides what is built, as frozen values (`whole`), and reading it (`loading`)."""

from packager.recipe.evaluating import Benchmarks, BertScore, Evaluate, Judge, Probe, ValidationSet
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
    Section,
    Serve,
    Smoke,
    Thresholds,
    Train,
)
from packager.recipe.whole import Recipe

__all__ = [
    "ROOT",
    "SHIPPED",
    "Base",
    "Batch",
    "Benchmarks",
    "BertScore",
    "Data",
    "Device",
    "Evaluate",
    "Evaluation",
    "Fields",
    "Judge",
    "Lora",
    "Probe",
    "Quantize",
    "Recipe",
    "Section",
    "Serve",
    "Smoke",
    "Thresholds",
    "Train",
    "ValidationSet",
    "fields",
    "find",
    "load",
    "located",
    "shipped",
]
