"""A GGUF file as a base: can it be unpacked into a checkpoint without loss?

Path (of a split file, its first part) -> its header, if the line can work with it. Fails with `InputError` for a
file that is none, has parts missing, or holds what a checkpoint cannot be made of.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from packager.artifacts.files import cache_folder, key_of
from packager.checkpoint import pretokenizer
from packager.checkpoint.layout import layer_gaps
from packager.checkpoint.token_files import instead_of_a_file
from packager.errors import InputError
from packager.llamacpp import gguf_file
from packager.llamacpp.gguf_file import GgufInfo, tensor_shapes
from packager.llamacpp.join import join_files, parts_of
from packager.process import progress

MAGIC = b"GGUF"
CLASSES = {
    "gemma2": "Gemma2ForCausalLM",
    "gemma3": "Gemma3ForCausalLM",
    "llama": "LlamaForCausalLM",
    "phi3": "Phi3ForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
}
"""What transformers makes of a GGUF's architecture, of those that the line unpacks."""
TOKENIZERS = ("gpt2", "llama")
"""Byte-level and SentencePiece, as GGUF files call them."""
SIZES = ("block_count", "context_length", "embedding_length", "attention.head_count")
"""What a file must say of its model, after the name of its architecture."""
ORIGINAL = "use the original checkpoint (hf:org/name, or a folder)"


def named_gguf(path: Path) -> Path:
    """The file under a name that ends in .gguf, which transformers asks for: itself, or a link in the cache."""
    if path.suffix == ".gguf" or not _begins_as_gguf(path):
        return path
    link = cache_folder("gguf", key_of(str(path.resolve()))[:16]) / f"{path.name.replace(':', '-')}.gguf"
    link.parent.mkdir(parents=True, exist_ok=True)
    if link.is_symlink() and link.resolve() == path.resolve():
        return link
    with tempfile.TemporaryDirectory(dir=link.parent) as aside:  # another build may do the same at this moment
        made = Path(aside) / link.name
        made.symlink_to(path.resolve())
        made.replace(link)
    return link


def tensor_places(path: Path) -> dict[str, Path]:
    """The file that each tensor lies in: of a split file, the part."""
    return {name: part for part in parts_of(path) for name in tensor_shapes(part)}


@contextlib.contextmanager
def whole_gguf(path: Path, aside: Path) -> Iterator[Path]:
    """The file itself, or, of one in parts, a whole one in the folder `aside` while the block runs."""
    parts = parts_of(path)
    if len(parts) == 1:
        yield path
        return
    joined = aside / f"{path.stem}-joined.gguf"
    joined.unlink(missing_ok=True)
    progress.note(f"joining the {len(parts)} parts of {path.name}")
    try:
        join_files(parts, joined)
        yield joined
    finally:
        joined.unlink(missing_ok=True)


def read_gguf(path: Path) -> GgufInfo:
    """The header of a GGUF file that can be unpacked; raises `InputError` for any other file."""
    info = _read(path)
    name = path.name
    parts = parts_of(path)
    if len(parts) > 1:
        infos = [_read(part) for part in parts]
        info = replace(
            info, parameters=sum(one.parameters for one in infos), n_tensors=sum(one.n_tensors for one in infos)
        )
    if info.architecture not in CLASSES:
        raise InputError(
            f"base.model: a GGUF of architecture {info.architecture} cannot be trained from.",
            f"use one of {', '.join(CLASSES)}, or the original checkpoint",
        )
    if int(info.metadata.get(f"{info.architecture}.expert_count", 0)) > 0:
        raise InputError(
            f"base.model: {name} is a mixture of experts, which the line does not train.", "use a dense base"
        )
    if (kind := info.metadata.get("tokenizer.ggml.model")) not in TOKENIZERS:
        raise InputError(
            f"base.model: {name} holds a tokenizer of the kind {kind!r}; {' or '.join(TOKENIZERS)} was expected.",
            ORIGINAL,
        )
    pretokenizer.named(name, info.metadata)
    if lacking := sorted({f"{info.architecture}.{field}" for field in SIZES} - info.metadata.keys()):
        raise InputError(f"base.model: {name} does not say {', '.join(lacking)}.", "download it again, or " + ORIGINAL)
    shapes = {name: shape for part in parts for name, shape in tensor_shapes(part).items()}
    layers = info.metadata.get(f"{info.architecture}.block_count")
    faults = layer_gaps(int(layers), shapes) if isinstance(layers, int) else []
    table = shapes.get("token_embd.weight")
    if table and info.n_vocab > table[-1]:  # shapes are (columns, rows)
        faults.append(f"it names {info.n_vocab} tokens, but its embedding has {table[-1]} rows")
    if faults:
        raise InputError(f"base.model: {name} is not whole: {'; '.join(faults)}.", "download it again, or " + ORIGINAL)
    return info


def _read(path: Path) -> GgufInfo:
    if not _begins_as_gguf(path):
        what = instead_of_a_file(path) or "it does not begin as one"
        fix = (
            "give its folder, with config.json and tokenizer" if path.suffix == ".safetensors" else "download it again"
        )
        raise InputError(f"base.model: {path.name} is not a readable GGUF file: {what}.", fix)
    try:
        return gguf_file.inspect(path)
    except (ValueError, OSError, KeyError, IndexError) as error:
        raise InputError(
            f"base.model: {path.name} is not a readable GGUF file: {error}", "download it again"
        ) from error


def _begins_as_gguf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == MAGIC
