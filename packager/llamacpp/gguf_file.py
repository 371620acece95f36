"""What is in a GGUF file, by its header alone: metadata, and every tensor's shape and type."""

from __future__ import annotations

import collections
import functools
import hashlib
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packager.llamacpp import binding

LONGEST_STRING = 256
"""Metadata strings up to this length are kept in `GgufInfo.metadata`."""
SMALL_BLOCKS = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "IQ4_NL")
"""Types in blocks of 32 elements; the K- and I-quants have blocks of 256 (QK_K in ggml)."""
UNUSABLE = ("NVFP4", "Q2_0")
"""Types that llama.cpp names, but its quantizer does not make, or gguf-py cannot read back."""
PHI3 = re.compile(r"phi-?3", re.IGNORECASE)
"""llama.cpp drops white space after special tokens if, and only if, the file's name says so (src/llama-vocab.cpp)."""
GENERATED = ("rope_freqs.", "rope_factors_long.", "rope_factors_short.")
"""Tensors that the converter computes from config.json; they are no parameters of the checkpoint."""


@dataclass(frozen=True)
class GgufInfo:
    """What a GGUF file says about itself."""

    architecture: str
    n_tensors: int
    parameters: int
    """Elements of all tensors but the generated rope tables."""
    tensor_types: Mapping[str, int]
    """How many tensors have which type, by llama.cpp's names (Q4_K, F32, ...)."""
    bits_per_weight: float
    """8 times the bytes of all tensors over their elements."""
    file_type: str
    """The quantization that the file names ('' if it names none)."""
    fallback_share: float
    """Share of the elements that a file of 256-element blocks stores in types of 32: rows that 256 does not
    divide."""
    n_vocab: int
    bos_token_id: int | None
    eos_token_id: int | None
    add_bos: bool | None
    """None: the file does not say, and llama.cpp decides by the kind of tokenizer."""
    chat_template: str
    metadata: Mapping[str, str | int | float | bool]
    """Scalars and short strings; arrays are left out."""


def inspect(path: Path) -> GgufInfo:
    """Read the header of a GGUF file; raises `ValueError` if it is not one or is cut short."""
    try:
        reader = header_reader()(path)
    except (KeyError, IndexError, struct.error, OverflowError, MemoryError, TypeError) as error:
        raise ValueError(f"{path.name} is not a readable GGUF file: {error}") from error
    metadata: dict[str, Any] = {
        name: value
        for name, field in reader.fields.items()
        if len(field.types) == 1 and isinstance(value := field.contents(), str | int | float | bool)
    }
    tokens = reader.fields.get("tokenizer.ggml.tokens")
    elements = sum(t.n_elements for t in reader.tensors)
    file_type = _named(metadata.get("general.file_type"))
    small_blocks = sum(t.n_elements for t in reader.tensors if t.tensor_type.name in SMALL_BLOCKS)
    small = {k: v for k, v in metadata.items() if not (isinstance(v, str) and len(v) > LONGEST_STRING)}
    return GgufInfo(
        architecture=str(metadata.get("general.architecture", "")),
        n_tensors=len(reader.tensors),
        parameters=sum(t.n_elements for t in reader.tensors if not t.name.startswith(GENERATED)),
        tensor_types=dict(collections.Counter(t.tensor_type.name for t in reader.tensors)),
        bits_per_weight=8 * sum(t.n_bytes for t in reader.tensors) / elements if elements else 0.0,
        file_type=file_type,
        fallback_share=float(small_blocks) / float(elements) if elements and _in_super_blocks(file_type) else 0.0,
        n_vocab=int(tokens.parts[4][0]) if tokens else 0,
        bos_token_id=metadata.get("tokenizer.ggml.bos_token_id"),
        eos_token_id=metadata.get("tokenizer.ggml.eos_token_id"),
        add_bos=metadata.get("tokenizer.ggml.add_bos_token"),
        chat_template=str(metadata.get("tokenizer.chat_template", "")),
        metadata=small,
    )


def tokenizing(path: Path) -> dict[str, str]:
    """All that decides which tokens llama.cpp makes of a conversation: by the name of each field, a hash of its bytes.

    The tokenizer's fields with the chat template among them, the architecture, and whether the name says Phi-3.
    """
    fields = header_reader()(path).fields
    found = {
        name: hashlib.sha256(b"".join(_raw(part) for part in field.parts[2:])).hexdigest()
        for name, field in fields.items()
        if name.startswith("tokenizer.") or name == "general.architecture"
    }
    name = fields.get("general.name")
    return found | {"general.name": "Phi-3" if name and PHI3.search(str(name.contents())) else "any other"}


def _raw(part: Any) -> bytes:
    """A part of a field: bytes of the file, or the type of an array's elements."""
    return bytes([part]) if isinstance(part, int) else part.tobytes()


def tensor_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Every tensor's shape by its name, in ggml's order: (columns, rows, ...)."""
    return {t.name: tuple(int(n) for n in t.shape) for t in header_reader()(path).tensors}


def tensor_values(path: Path, name: str) -> list[float]:
    """The numbers of one small tensor that is stored as F32; raises `KeyError` if there is none of that name."""
    for tensor in header_reader()(path).tensors:
        if tensor.name == name:
            return [float(value) for value in tensor.data.ravel()]
    raise KeyError(name)


def types_of_tensors(path: Path) -> dict[str, str]:
    """Every tensor's type by its name (Q4_K, F32, ...)."""
    return {t.name: t.tensor_type.name for t in header_reader()(path).tensors}


@functools.cache
def quantization_types() -> dict[str, int]:
    """llama.cpp's quantizations by name (Q4_K_M, Q8_0, F16, ...) -> its number (ftype)."""
    prefixes = ("LLAMA_FTYPE_MOSTLY_", "LLAMA_FTYPE_ALL_")
    constants = vars(binding.library())
    found = {name.removeprefix(p): constants[name] for p in prefixes for name in constants if name.startswith(p)}
    return {name: number for name, number in found.items() if name not in UNUSABLE}


@functools.cache
def tensor_types() -> dict[str, int]:
    """The types that llama.cpp can give a single tensor, by name (Q6_K, F16, ...) -> its number (ggml_type)."""
    from gguf import GGMLQuantizationType

    computed = ("I8", "I16", "I32", "I64", "F64", "Q8_1", "Q8_K")  # quantizing to them aborts the process
    return {t.name: t.value for t in GGMLQuantizationType if t.name not in computed}


def block_size(type_name: str) -> int:
    """Elements in a block of a tensor type: columns must be a multiple of it."""
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    return int(GGML_QUANT_SIZES[GGMLQuantizationType[type_name]][0])


def _named(ftype: Any) -> str:
    return next((name for name, number in quantization_types().items() if number == ftype), "")


def _in_super_blocks(name: str) -> bool:
    return "_K" in name or (name.startswith(("IQ", "TQ")) and name != "IQ4_NL")


def tensor_bytes(path: Path) -> Iterator[tuple[str, memoryview]]:
    """Every tensor's name and its bytes as they lie in the file; raises `ValueError` as `inspect` does."""
    try:
        tensors = header_reader()(path).tensors
    except (KeyError, IndexError, struct.error, OverflowError, MemoryError, TypeError) as error:
        raise ValueError(f"{path.name} is not a readable GGUF file: {error}") from error
    for tensor in tensors:
        yield str(tensor.name), memoryview(tensor.data).cast("B")


@functools.cache
def header_reader() -> Any:
    """gguf's reader, made to pass over arrays: it would build millions of views for a vocabulary."""
    from gguf import GGUFReader
    from gguf.constants import GGUFValueType

    class HeaderReader(GGUFReader):  # type: ignore[misc]
        def _get_field_parts(self, orig_offs: int, raw_type: int) -> Any:
            if raw_type != GGUFValueType.ARRAY:
                return super()._get_field_parts(orig_offs, raw_type)
            kind = GGUFValueType(int.from_bytes(self.data[orig_offs : orig_offs + 4].tobytes(), "little"))
            length = self.data[orig_offs + 4 : orig_offs + 12].view("<u8")
            start = orig_offs + 12
            end = _end_of_array(self.data, kind.name, self.gguf_scalar_to_np.get(kind), start, int(length[0]))
            return end - orig_offs, [kind, length, self.data[start:end]], [], [GGUFValueType.ARRAY, kind]

    return HeaderReader


def _end_of_array(data: Any, kind: str, dtype: Any, start: int, count: int) -> int:
    """Where an array of `count` elements that begins at `start` ends."""
    if kind == "STRING":
        end, read = start, struct.Struct("<Q").unpack_from
        if count > len(data) // 8:
            raise ValueError("an array is longer than the file")
        for _ in range(count):
            end += 8 + read(data, end)[0]
    elif dtype is not None:
        end = start + count * int(dtype().itemsize)
    else:
        raise ValueError(f"an array of {kind} is not supported")
    if end > len(data):
        raise ValueError("an array is longer than the file")
    return end
