"""Base model -> an ordinary Hugging Face checkpoint in the run folder.

A GGUF is dequantized to FP16 safetensors, which must predict as the file does; a Hub repo or a folder
is linked, not copied. Fails before anything is written if the base is not one the line can build (see
`base_model.locate`).
"""

from __future__ import annotations

import json
import shutil
import tempfile
import unicodedata
from pathlib import Path

from packager.artifacts.files import key_of, sha256_of
from packager.artifacts.kinds import Checkpoint
from packager.checkpoint import locate, pretokenizer
from packager.checkpoint.locate import locate_base
from packager.errors import InputError, ProofFailed
from packager.llamacpp.model import GgufModel
from packager.process import progress
from packager.prompt.corpus import CONTENTS, SPLITS, Sample, joins_accents, neighbours
from packager.prompt.template import load_tokenizer
from packager.proof import divergence
from packager.proof.tokens import splits_differently
from packager.recipe.sections import Base

TEXTS = (
    "A atenção primária à saúde é a porta de entrada do sistema: acolhe a pessoa, acompanha a família e coordena o "
    "cuidado com os outros serviços. Procure a unidade básica mais perto da sua casa.",
    "Vaccines protect the person and the community. Ask the nurse which ones are due, and bring the card.",
)
MAX_KL = 0.1
"""Nats a token, between a quantized file and what was unpacked from it."""


def base(config: Base, out: Path) -> Checkpoint:
    """Bring the base model into `out` and describe it."""
    found = locate_base(config)
    if found.is_gguf:
        _dequantize(found.path, out)
        pretokenizer.restore(found.path, out)
        prove_tokens(found.path, out)
        prove_unpacked(found.path, out)
    else:
        folder = found.path
        if found.repo:
            from packager.hub.reading import fetch_weights

            folder = fetch_weights(found.repo)
        _link(folder, out)
    weights = sorted(out.glob("*.safetensors"))
    if not weights:
        raise InputError(f"{found.source} holds no safetensors weights.", "convert its weights to safetensors first")
    architecture = locate.check_config(json.loads((out / "config.json").read_text("utf-8")), found.source)
    return Checkpoint(
        folder=out,
        source=found.source,
        revision=found.revision,
        architecture=architecture,
        parameters=locate.parameters_of(out),
        licence=found.licence,
        weights_sha256=key_of([sha256_of(path) for path in weights]),
    )


def _link(folder: Path, out: Path) -> None:
    for name in (*locate.TOKENIZER_FILES, *locate.CONFIG_FILES):
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


def prove_tokens(gguf: Path, folder: Path) -> None:
    """Raises `ProofFailed` unless the checkpoint's tokenizer makes the tokens of the GGUF file's own."""
    tokenizer = load_tokenizer(folder)
    texts = [*TEXTS, *CONTENTS, *SPLITS, *neighbours()]
    if joins_accents(tokenizer):
        texts = [unicodedata.normalize("NFC", text) for text in texts]
    with GgufModel.open(gguf, vocab_only=True) as model:
        faults = splits_differently(model, tokenizer, texts)
    if faults:
        raise ProofFailed(
            f"base.tokens: unpacked from {gguf.name}, the base's tokenizer splits {len(faults)} of {len(texts)} texts"
            f" otherwise than the file. First: {faults[0]}.",
            "use the original checkpoint (hf:org/name, or a folder)",
        )
    progress.note(f"splits {len(texts)} texts into the tokens of {gguf.name}")


def prove_unpacked(gguf: Path, folder: Path) -> None:
    """Raises `ProofFailed` unless the checkpoint predicts as the GGUF file does, run by llama.cpp.

    What separates them is llama.cpp's rounding of activations to 8 bits; a matrix in the wrong order, or a
    setting that was not taken over, costs whole nats.
    """
    from packager.checkpoint import reference

    tokenizer = load_tokenizer(folder)
    samples = [Sample(ids, tuple(range(len(ids) - 1))) for ids in (tuple(tokenizer.encode(t).ids) for t in TEXTS)]
    with reference.opened(folder) as made, tempfile.TemporaryDirectory() as aside:
        kept = Path(aside, divergence.REFERENCE)
        divergence.save_reference(kept, samples, (log_p for log_p, _ in made.predictions(samples)))
        found = divergence.from_reference(gguf, kept)
    progress.note(f"predicts as {gguf.name} does: divergence {found.kl_mean:.4f} nats a token (limit {MAX_KL})")
    if not found.kl_mean <= MAX_KL:
        raise ProofFailed(
            f"base.logits: unpacked from {gguf.name}, the base predicts otherwise than the file"
            f" ({found.kl_mean:.3f} nats a token, limit {MAX_KL}).",
            "use the original checkpoint (hf:org/name, or a folder)",
        )


def _forget(path: Path, *names: str) -> None:
    config = json.loads(path.read_text("utf-8"))
    kept = {name: value for name, value in config.items() if name not in names}
    if kept != config:
        path.write_text(json.dumps(kept, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
