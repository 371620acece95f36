"""A base and its frozen template -> a GGUF file of its vocabulary, without weights, as the converter will write it.

It takes seconds, whatever the size of the base, and holds all that decides which tokens llama.cpp makes of a
conversation. Fails as the converter does.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from packager.artifacts.files import write_json
from packager.artifacts.kinds import Checkpoint
from packager.checkpoint.merge import base_config, carry
from packager.llamacpp.converter import run_converter
from packager.package.gguf_metadata import described

NAME = "vocabulary.gguf"


def write_vocabulary(base: Checkpoint, data: Path, out: Path) -> Path:
    """Write `vocabulary.gguf` into `out`, of the tokenizer of `base` and the chat template in the folder `data`.

    The converter is given what will lie beside the merged weights, without these.
    """
    with tempfile.TemporaryDirectory() as aside:
        folder, overrides = Path(aside, "checkpoint"), Path(aside, "metadata.json")
        folder.mkdir()
        carry(base.folder, data, base_config(base.folder), folder)
        write_json(overrides, described(base))
        run_converter(folder, out / NAME, overrides, vocabulary=True)
    return out / NAME
