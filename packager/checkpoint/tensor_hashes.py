"""A checkpoint or a GGUF file -> the sha256 of every tensor's bytes, and how two such sets differ."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from packager.checkpoint import weights
from packager.llamacpp.gguf_file import tensor_bytes


def of_checkpoint(folder: Path) -> dict[str, str]:
    """By tensor name, of the safetensors in a folder."""
    with weights.Reader() as reader:
        return {
            name: hashlib.sha256(reader.raw(tensor)).hexdigest() for name, tensor in weights.checkpoint(folder).items()
        }


def of_gguf(path: Path) -> dict[str, str]:
    """By tensor name, of one GGUF file; raises `ValueError` if it cannot be read."""
    return {name: hashlib.sha256(data).hexdigest() for name, data in tensor_bytes(path)}


def differing(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    """The tensors that only one has, or that differ, in the order of `one`."""
    names = [*one, *(name for name in other if name not in one)]
    return [name for name in names if one.get(name) != other.get(name)]
