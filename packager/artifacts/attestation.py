"""What has to be known to make a package's files again from base and adapter, as a frozen value: `attestation.json`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from packager.artifacts.kinds import Adapter, Checkpoint, Dataset, Merged
from packager.recipe.sections import Base, Quantize

ATTESTATION = "attestation.json"
FORMAT = 1


class Attestation(BaseModel):
    """Inputs, settings and outputs of every step after training. Its artifacts' folders are empty; the adapter, the
    frozen chat template and the importance matrix lie beside it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int
    packager: str
    recipe: str
    language: str
    context: int
    source: Base
    """Where the base came from; a folder or file of the builder's machine by its name only."""
    base: Checkpoint
    data: Dataset
    adapter: Adapter | None
    merged: Merged
    """Its `rounded_to_nf4` says into which base the adapter was merged."""
    quantize: Quantize
    tools: dict[str, str]
    """Distribution -> version, of those that decide the bytes."""
    llama_cpp: str
    """Commit."""
    rounding: str
    """How the quantizer rounds, as a hash of what it makes of fixed numbers (`llamacpp/rounding.py`)."""
    sha256: dict[str, str]
    """Of the files that the rebuild starts from, by their names in the folder."""
    merged_tensors: dict[str, str]
    """sha256 of every tensor of the merged checkpoint."""
    f16: str
    """sha256 of the F16 file."""
    f16_tensors: dict[str, str]
    files: dict[str, str]
    """sha256 of every packaged file by its type."""
