"""Base model -> an ordinary Hugging Face checkpoint in the run folder.

A GGUF is dequantized to FP16 safetensors; a Hub repo or a folder is linked, not copied. Fails
before anything is written if the base is not one the line can build (see `base_model.locate`).
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from packager import base_model, progress
from packager.artifacts import Checkpoint, key_of, sha256_of
from packager.errors import InputError
from packager.recipe import Base


def base(config: Base, out: Path) -> Checkpoint:
    """Bring the base model into `out` and describe it."""
    found = base_model.locate(config)
    if found.is_gguf:
        _dequantize(found.path, out)
    else:
        folder = found.path
        if found.repo:
            from packager import hub

            folder = hub.fetch_weights(found.repo)
        _link(folder, out)
    weights = sorted(out.glob("*.safetensors"))
    if not weights:
        raise InputError(f"{found.source} holds no safetensors weights.", "convert its weights to safetensors first")
    architecture = base_model.check_config(json.loads((out / "config.json").read_text("utf-8")), found.source)
    return Checkpoint(
        folder=out,
        source=found.source,
        revision=found.revision,
        architecture=architecture,
        parameters=base_model.parameters_of(out),
        licence=found.licence,
        weights_sha256=key_of([sha256_of(path) for path in weights]),
    )


def _link(folder: Path, out: Path) -> None:
    for name in (*base_model.TOKENIZER_FILES, *base_model.CONFIG_FILES):
        if (folder / name).is_file():
            shutil.copyfile(folder / name, out / name)
    _forget(out / "config.json", "auto_map")  # Phi-3's, for one: transformers has the class itself
    _forget(out / "tokenizer_config.json", "auto_map")
    listed = sorted(folder.glob("model*.safetensors*")) or sorted(folder.glob("*.safetensors*"))
    for path in listed:  # other formats may lie beside it (consolidated.safetensors)
        (out / path.name).symlink_to(path.resolve())


def _dequantize(gguf: Path, out: Path) -> None:
    """Unpack a quantized GGUF into FP16 safetensors and tokenizer files, with transformers."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    from transformers.utils import logging

    logging.disable_progress_bar()
    progress.note("dequantizing the base model to FP16")
    # Without dequantize=True, transformers 5 keeps the packed weights and refuses to save them.
    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent,
        gguf_file=gguf.name,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.float16,
    )
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    # What transformers noted about this machine would travel into the package.
    for name in ("config.json", "tokenizer_config.json"):
        _forget(out / name, "_name_or_path", "_model_name_or_path", "is_local", "local_files_only")


def _forget(path: Path, *names: str) -> None:
    config = json.loads(path.read_text("utf-8"))
    kept = {name: value for name, value in config.items() if name not in names}
    if kept != config:
        path.write_text(json.dumps(kept, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
