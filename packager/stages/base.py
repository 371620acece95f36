"""Base model -> an ordinary Hugging Face checkpoint in the run folder.

A GGUF is dequantized to FP16 safetensors, which must predict as the file does; a Hub repo or a folder is linked,
not copied; of a model of pictures and text, the text part is written as a model of its own. Fails before anything
is written if the base is not one the line can build (see `checkpoint/locate.py`).
"""

from __future__ import annotations

import json
from pathlib import Path

from packager.artifacts.files import hashes_of, key_of
from packager.artifacts.kinds import Checkpoint
from packager.checkpoint import licence_files, locate
from packager.checkpoint.locate import locate_base
from packager.checkpoint.unpack import link_checkpoint, take_text
from packager.checkpoint.unpacked import unpack_gguf
from packager.errors import InputError
from packager.llamacpp.join import like_named
from packager.process import progress
from packager.recipe.sections import Base


def base(config: Base, out: Path) -> Checkpoint:
    """Bring the base model into `out` and describe it."""
    located = locate_base(config)
    if located.is_gguf:
        unpack_gguf(located.path, out)
        _carry_licence(located.path, out)
    else:
        folder = located.path
        if located.repo:
            from packager.hub.reading import fetch_weights

            folder = fetch_weights(located.repo)
        (take_text if located.left_out else link_checkpoint)(folder, out)
    weights = sorted(out.glob("*.safetensors"))
    if not weights:
        raise InputError(f"{located.source} holds no safetensors weights.", "convert its weights to safetensors first")
    architecture = locate.check_config(json.loads((out / "config.json").read_text("utf-8")), located.source)
    return Checkpoint(
        folder=out,
        source=located.source,
        revision=located.revision,
        architecture=architecture,
        parameters=locate.parameters_of(out),
        licence=located.licence,
        licence_link=located.licence_link,
        left_out=located.left_out,
        weights_sha256=key_of(hashes_of(weights)),
    )


def _carry_licence(gguf: Path, out: Path) -> None:
    """The licence texts beside a GGUF file go with it, unless it is not clear that they are its own."""
    if folder := licence_files.beside(gguf, like_named(gguf)):
        licence_files.carry(folder, out)
    elif found := licence_files.files(gguf.parent):
        progress.note(f"{found[0].name} beside {gguf.name} is not taken for its licence: other models lie there too")
