"""docs/bases.md says of each table what the code says."""

from __future__ import annotations

import re

from packager.checkpoint.composite import NOT_TAKEN, TEXT_PARTS
from packager.checkpoint.gguf_base import CLASSES
from packager.checkpoint.layer_tensors import LAYERS
from packager.package import licence
from packager.recipe.loading import ROOT

TEXT = (ROOT / "docs" / "bases.md").read_text(encoding="utf-8")


def table(head: str) -> list[list[list[str]]]:
    """The words in code style of each cell, of the table whose head begins so."""
    rows = TEXT[TEXT.index(head) :].partition("\n\n")[0].splitlines()[2:]
    return [[re.findall(r"`([^`]+)`", cell) for cell in row.strip("|").split("|")] for row in rows]


def test_the_families_whose_tensors_are_compared() -> None:
    assert {kind for row in table("| `model_type` | families") for kind in row[0]} == LAYERS.keys()


def test_the_composites_that_are_taken() -> None:
    rows = table("| outer `model_type`")
    assert {row[0][0]: tuple(row[1]) for row in rows} == TEXT_PARTS


def test_the_composites_that_are_not() -> None:
    (row,) = re.findall(r"\| models of pictures or sound[^|]*\|", TEXT)
    assert set(re.findall(r"`([^`]+)`", row)) == NOT_TAKEN.keys()


def test_the_gguf_architectures() -> None:
    rows = table("| `general.architecture`")
    assert {row[0][0]: row[1][0] for row in rows} == CLASSES


def test_the_licences() -> None:
    rows = TEXT[TEXT.index("| licence | text") :].partition("\n\n")[0].splitlines()[2:]
    carried = {name: "| yes |" in row for row in rows for name in re.findall(r"`([^`]+)`", row.split("|")[1])}
    assert carried == dict.fromkeys(licence.KNOWN, True) | dict.fromkeys(licence.NOT_CARRIED, False)
