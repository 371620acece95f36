"""safetensors files as a stream: read blocks of rows, write shards of a fixed layout.

Unlike the safetensors library this reads bfloat16 without torch, holds only the rows asked for,
and turns a file that is cut short into an error instead of a signal.
Format: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import math
import os
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packager.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Float32 = npt.NDArray[np.float32]

WHOLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
SHARD_BYTES = 2_000_000_000
PART_BYTES, READERS = 16 << 20, 4
"""How a tensor is read whole: one thread copies from the page cache at a fraction of what memory gives."""
WIDTHS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
"""Bytes per element of the types that occur in checkpoints that are not quantized."""
_SHARD = re.compile(r".*-(?P<number>\d{5})-of-(?P<count>\d{5})\.safetensors")
FLOATS = ("F64", "F32", "F16", "BF16")


@dataclass(frozen=True)
class Tensor:
    """Where a tensor lies."""

    name: str
    file: Path
    dtype: str
    shape: tuple[int, ...]
    offset: int
    """Bytes from the start of the file."""

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def rows(self) -> int:
        """The first extent; 1 for a scalar."""
        return self.shape[0] if self.shape else 1

    @property
    def row_bytes(self) -> int:
        return self.elements // max(1, self.rows) * WIDTHS[self.dtype]


def checkpoint(folder: Path) -> dict[str, Tensor]:
    """The tensors of a model folder in the order of its files; raises `InputError` if damaged."""
    index = folder / INDEX
    said: Mapping[str, str] = {}
    if index.is_file():
        said = _weight_map(index)
        if {*said.values()} != {WHOLE} and (folder / WHOLE).is_file():  # what trains would read it, what merges not
            fix = f"take away what is not the model: {WHOLE}, or {INDEX} with its files"
            raise InputError(f"The folder holds {WHOLE} and, by {INDEX}, the model in other files too.", fix)
        files = [folder / name for name in sorted(set(said.values()))]
    elif (folder / WHOLE).is_file():
        files = [folder / WHOLE]
    else:
        files = sorted(folder.glob("*.safetensors"))
        whole_set([file.name for file in files])
    if not files:
        raise _no_weights(folder)
    found: dict[str, Tensor] = {}
    for file in files:
        tensors = header(file)
        if twice := found.keys() & tensors.keys():
            raise InputError(f"{min(twice)} is in two weight files.", "download the base model again")
        found |= tensors
    places = {name: tensor.file.name for name, tensor in found.items()}
    if said and (wrong := sorted(name for name in {*said, *places} if said.get(name) != places.get(name))):
        raise index_error(wrong, said, places)
    return found


def whole_set(names: Sequence[str]) -> None:
    """Raises `InputError` if files without an index are some of several (model-00002-of-00002.safetensors)."""
    numbered = {name: match for name in names if (match := _SHARD.fullmatch(name))}
    if not numbered:
        return
    count = max(int(match["count"]) for match in numbered.values())
    absent = sorted(set(range(1, count + 1)) - {int(match["number"]) for match in numbered.values()})
    lacks = f", and {len(absent)} of the {count} files are missing (number {absent[0]})" if absent else ""
    raise InputError(
        f"The weights are in files of a set ({min(numbered)}), but {INDEX} is not there{lacks}.",
        f"download {INDEX}{' and the missing files' if absent else ''} again",
    )


def index_error(wrong: Sequence[str], said: Mapping[str, str], places: Mapping[str, str]) -> InputError:
    """An index and the files it names do not agree about the tensors in `wrong`."""
    one = wrong[0]
    return InputError(
        f"{INDEX} and the weights do not agree about {len(wrong)} tensors: {one} is said to be in"
        f" {said.get(one, 'none of the files')}, and is in {places.get(one, 'none of them')}.",
        "download the base model again",
    )


def _no_weights(folder: Path) -> InputError:
    others = sorted(p.name for p in folder.iterdir() if p.suffix in (".bin", ".pt", ".pth", ".h5", ".msgpack", ".gguf"))
    found = f" (there is {others[0]}, which is of another format)" if others else ""
    fix = f"set base.model to {others[0]} itself" if others and others[0].endswith(".gguf") else (
        "load it with transformers and save it with save_pretrained, or use a base that has them")  # fmt: skip
    return InputError(f"The checkpoint has no safetensors weights{found}.", fix)


def _weight_map(index: Path) -> dict[str, str]:
    """The file of every tensor, by an index; raises `InputError` if it is damaged or a file is not there."""
    try:
        entries = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        said = {name: Path(file).name for name, file in entries.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{index.name} is damaged: {error}", "download it again") from error
    names = sorted(set(said.values()))
    if missing := [name for name in names if not (index.parent / name).is_file()]:
        raise InputError(
            f"{missing[0]} is not there: {len(missing)} of the {len(names)} files that {index.name} names are missing.",
            "download the base model again",
        )
    return said


def header(file: Path) -> dict[str, Tensor]:
    """The tensors of one file in the order of their bytes; raises `InputError` if damaged."""
    try:
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            if length > file.stat().st_size:
                raise ValueError("its header is longer than the file")
            entries: dict[str, dict[str, Any]] = json.loads(opened.read(length))
        entries.pop("__metadata__", None)
        tensors = [_tensor(file, name, entry, 8 + length) for name, entry in entries.items()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{file.name} is not a whole safetensors file: {error}", "download it again") from error
    return {t.name: t for t in sorted(tensors, key=lambda t: t.offset)}


def _tensor(file: Path, name: str, entry: Mapping[str, Any], start: int) -> Tensor:
    if entry["dtype"] not in WIDTHS:
        raise ValueError(f"{name} is {entry['dtype']}, a quantized or unknown type")
    begin, end = entry["data_offsets"]
    tensor = Tensor(name, file, entry["dtype"], tuple(entry["shape"]), start + begin)
    if tensor.elements * WIDTHS[tensor.dtype] != end - begin or start + end > file.stat().st_size:
        raise ValueError(f"{name} is cut short")
    return tensor


class Reader:
    """Reads rows of tensors; safe to use from several threads. Use in a `with` statement."""

    def __init__(self) -> None:
        self._open: dict[Path, int] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        for descriptor in self._open.values():
            os.close(descriptor)
        self._open = {}

    def raw(self, tensor: Tensor, start: int = 0, stop: int | None = None) -> bytes:
        """The bytes of rows [start, stop) as they lie in the file."""
        count = ((tensor.rows if stop is None else stop) - start) * tensor.row_bytes
        descriptor, offset, data = self._descriptor(tensor), tensor.offset + start * tensor.row_bytes, b""
        while len(data) < count and (more := os.pread(descriptor, count - len(data), offset + len(data))):
            data = data + more if data else more  # one read gives at most 2 GiB
        if len(data) != count:
            raise InputError(f"{tensor.file.name} is cut short at {tensor.name}.", "download it again")
        return data

    def into(self, tensor: Tensor, place: memoryview) -> None:
        """Put all its bytes into `place`, in parts that several threads read."""
        descriptor = self._descriptor(tensor)

        def read(start: int) -> int:
            return os.preadv(descriptor, [place[start : start + PART_BYTES]], tensor.offset + start)

        with concurrent.futures.ThreadPoolExecutor(READERS) as pool:
            if sum(pool.map(read, range(0, len(place), PART_BYTES))) != len(place):
                raise InputError(f"{tensor.file.name} is cut short at {tensor.name}.", "download it again")

    def _descriptor(self, tensor: Tensor) -> int:
        with self._lock:
            if tensor.file not in self._open:
                self._open[tensor.file] = os.open(tensor.file, os.O_RDONLY)
            return self._open[tensor.file]

    def rows(self, tensor: Tensor, start: int = 0, stop: int | None = None) -> Float32:
        """Rows [start, stop) as float32, shape [rows, elements per row]."""
        count = (tensor.rows if stop is None else stop) - start
        return to_float32(self.raw(tensor, start, stop), tensor.dtype).reshape(count, -1)


def to_float32(data: bytes, dtype: str) -> Float32:
    """Floating-point bytes of a safetensors type as float32."""
    import numpy as np  # here, so that a build with nothing to do does not wait for it

    from packager.llamacpp.half_precision import from_half

    if dtype == "F32":
        return np.frombuffer(data, np.float32)
    if dtype == "F16":
        return from_half(np.frombuffer(data, np.uint16))
    if dtype == "BF16":  # bfloat16 is the upper half of a float32
        return (np.frombuffer(data, np.uint16).astype(np.uint32) << 16).view(np.float32)
    return np.frombuffer(data, np.float64).astype(np.float32)


class Writer:
    """Writes a checkpoint whose tensors are known beforehand, in any order of rows.

    One file `model.safetensors`, or shards of at most `shard_bytes` and an index. Safe to use from
    several threads. Use in a `with` statement; nothing is complete before it ends without error.
    """

    def __init__(
        self, folder: Path, tensors: Sequence[tuple[str, str, tuple[int, ...]]], shard_bytes: int = SHARD_BYTES
    ) -> None:
        """`tensors`: (name, safetensors type, shape), in the order they are to lie in."""
        self._stack = contextlib.ExitStack()
        self._places: dict[str, tuple[int, int, int]] = {}  # name -> descriptor, offset, bytes per row
        shards = list(_shards(tensors, shard_bytes))
        weight_map: dict[str, str] = {}
        for number, shard in enumerate(shards, 1):
            several = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
            name = several if len(shards) > 1 else "model.safetensors"
            weight_map |= {tensor[0]: name for tensor in shard}
            self._begin(folder / name, shard)
        if len(shards) > 1:
            total = sum(math.prod(shape) * WIDTHS[dtype] for _, dtype, shape in tensors)
            text = json.dumps({"metadata": {"total_size": total}, "weight_map": weight_map}, indent=2)
            (folder / INDEX).write_text(text + "\n", encoding="utf-8")

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def write(self, name: str, row: int, data: bytes | memoryview) -> None:
        """Put rows of tensor `name`, beginning at `row`, into their place."""
        descriptor, offset, row_bytes = self._places[name]
        left, offset = memoryview(data).cast("B"), offset + row * row_bytes
        while left:
            written = os.pwrite(descriptor, left, offset)
            left, offset = left[written:], offset + written

    def _begin(self, path: Path, tensors: Sequence[tuple[str, str, tuple[int, ...]]]) -> None:
        entries: dict[str, Any] = {"__metadata__": {"format": "pt"}}
        end = 0
        for name, dtype, shape in tensors:
            begin, end = end, end + math.prod(shape) * WIDTHS[dtype]
            entries[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}
        text = json.dumps(entries, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        self._stack.callback(os.close, descriptor)
        os.write(descriptor, len(text).to_bytes(8, "little") + text)
        os.ftruncate(descriptor, 8 + len(text) + end)
        for name, dtype, shape in tensors:
            row_bytes = math.prod(shape[1:]) * WIDTHS[dtype]
            self._places[name] = (descriptor, 8 + len(text) + entries[name]["data_offsets"][0], row_bytes)


def _shards(
    tensors: Sequence[tuple[str, str, tuple[int, ...]]], limit: int
) -> Iterator[list[tuple[str, str, tuple[int, ...]]]]:
    shard: list[tuple[str, str, tuple[int, ...]]] = []
    size = 0
    for tensor in tensors:
        width = math.prod(tensor[2]) * WIDTHS[tensor[1]]
        if shard and size + width > limit:
            yield shard
            shard, size = [], 0
        shard.append(tensor)
        size += width
    if shard:
        yield shard
