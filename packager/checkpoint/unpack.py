"""A base as it was found -> an ordinary Hugging Face checkpoint: linked, taken out of a model of pictures and
text, or unpacked from a GGUF file.

A GGUF is dequantized to FP16 safetensors by transformers; `prove_unpacked` raises `ProofFailed` if those do
not predict as the file does.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import unicodedata
from pathlib import Path

from packager.artifacts.files import write_json
from packager.checkpoint import composite, licence_files, locate, weights
from packager.checkpoint.gguf_base import tensor_places
from packager.checkpoint.gguf_config import missing_fields
from packager.errors import ProofFailed
from packager.llamacpp import gguf_file
from packager.llamacpp.model import GgufModel
from packager.process import progress
from packager.prompt.corpus import CONTENTS, SPLITS, joins_accents, neighbours
from packager.prompt.masking import Encoded
from packager.prompt.template import OF_A_PROCESSOR, TOKENIZER_FILES, load_tokenizer
from packager.proof import divergence
from packager.proof.tokens import splits_differently

TEXTS = (
    "A atenção primária à saúde é a porta de entrada do sistema: acolhe a pessoa, acompanha a família e coordena o "
    "cuidado com os outros serviços. Procure a unidade básica mais perto da sua casa.",
    "Vaccines protect the person and the community. Ask the nurse which ones are due, and bring the card.",
)
COPIED = 1 << 24
"""Bytes of a tensor in memory at once, while it is copied."""
MAX_KL = 0.1
"""Nats a token, between a quantized file and what was unpacked from it."""


def link_checkpoint(folder: Path, out: Path) -> None:
    """Copy the small files of the checkpoint in `folder` into `out`, and link its weights."""
    _copy_small(folder, out)
    tensors = weights.checkpoint(folder)  # other formats may lie beside it (consolidated.safetensors)
    files = sorted({tensor.file for tensor in tensors.values()})
    if len(files) == 1:  # under whatever name
        (out / weights.WHOLE).symlink_to(files[0].resolve())
        return
    for path in files:
        (out / path.name).symlink_to(path.resolve())
    if (folder / weights.INDEX).is_file():
        (out / weights.INDEX).symlink_to((folder / weights.INDEX).resolve())
    else:
        places = {name: tensor.file.name for name, tensor in tensors.items()}
        write_json(out / weights.INDEX, {"metadata": {}, "weight_map": places})


def take_text(folder: Path, out: Path) -> None:
    """Write the text part of the composite in `folder` into `out`, as a checkpoint of its own class."""
    from transformers import CONFIG_MAPPING

    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    tensors = weights.checkpoint(folder)
    part = composite.text_part(config, {name: tensor.shape for name, tensor in tensors.items()})
    progress.note(f"the text part is taken; left out: {part.left_out}")
    _copy_small(folder, out)
    kind = CONFIG_MAPPING[part.config["model_type"]]
    written = kind(**part.config).to_dict()  # through the class: the converter does not know its defaults
    write_json(out / "config.json", written | {"architectures": part.config["architectures"]})
    layout = [(name, tensors[stored].dtype, part.shapes[name]) for name, stored in part.names.items()]
    with weights.Reader() as reader, weights.Writer(out, layout) as writer:
        for name, stored in part.names.items():
            tensor = tensors[stored]
            step = max(1, COPIED // max(1, tensor.row_bytes))
            for start in range(0, tensor.rows, step):
                writer.write(name, start, reader.raw(tensor, start, min(start + step, tensor.rows)))


def _copy_small(folder: Path, out: Path) -> None:
    for name in (*TOKENIZER_FILES, OF_A_PROCESSOR, *locate.CONFIG_FILES):
        if (folder / name).is_file():
            shutil.copyfile(folder / name, out / name)
    licence_files.carry(folder, out)
    _forget(out / "config.json", "auto_map")  # Phi-3's, for one: transformers has the class itself
    _forget(out / "tokenizer_config.json", "auto_map")


def dequantize(gguf: Path, out: Path) -> None:
    """Unpack a quantized GGUF into FP16 safetensors and tokenizer files, with transformers."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GgufConfig
    from transformers.utils import logging

    logging.disable_progress_bar()
    progress.note("dequantizing the base model to FP16")
    fields = missing_fields(gguf_file.inspect(gguf), tensor_places(gguf))
    with tempfile.TemporaryDirectory() as alone:  # from files beside it, transformers would take config and tokenizer
        (Path(alone) / gguf.name).symlink_to(gguf.resolve())
        config = AutoConfig.from_pretrained(alone, gguf_file=gguf.name)
        for name, value in fields.items():
            setattr(config, name, value)
        # Without dequantize=True, transformers 5 keeps the packed weights and refuses to save them.
        model = AutoModelForCausalLM.from_pretrained(
            alone,
            gguf_file=gguf.name,
            config=config,
            quantization_config=GgufConfig(dequantize=True),
            dtype=torch.float16,
        )
        tokenizer = AutoTokenizer.from_pretrained(alone, gguf_file=gguf.name)
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
    samples = [Encoded.predicting(ids, range(len(ids) - 1)) for ids in (tokenizer.encode(t).ids for t in TEXTS)]
    with reference.opened(folder) as unpacked, tempfile.TemporaryDirectory() as aside:
        predictions = Path(aside, divergence.REFERENCE)
        divergence.save_reference(predictions, samples, (log_p for log_p, _ in unpacked.predictions(samples)))
        apart = divergence.from_reference(gguf, predictions)
    progress.note(f"predicts as {gguf.name} does: divergence {apart.kl_mean:.4f} nats a token (limit {MAX_KL})")
    if not apart.kl_mean <= MAX_KL:
        raise ProofFailed(
            f"base.logits: unpacked from {gguf.name}, the base predicts otherwise than the file"
            f" ({apart.kl_mean:.3f} nats a token, limit {MAX_KL}).",
            "use the original checkpoint (hf:org/name, or a folder)",
        )


def _forget(path: Path, *names: str) -> None:
    config = json.loads(path.read_text("utf-8"))
    kept = {name: value for name, value in config.items() if name not in names}
    if kept != config:
        path.write_text(json.dumps(kept, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
