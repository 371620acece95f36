"""One GGUF file -> several, none larger than a limit, which llama.cpp loads from the first.

For sticks formatted as FAT32, which hold no file of 4 GiB. The layout is that of llama.cpp's
gguf-split (tools/gguf-split): all metadata in the first part, `split.no`, `split.count` and
`split.tensors.count` in each, names ending in -00001-of-00003.gguf. Fails with `InputError` for a file
that needs no splitting or holds a tensor larger than the limit; then nothing is left behind.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from packager.errors import InputError
from packager.llamacpp.gguf_file import header_reader
from packager.process import progress

CHUNK = 16 << 20
"""Bytes copied at once."""
ALIGNMENT = 32
"""Where data lie in a file that does not say."""
_UINT16, _INT32 = 2, 5
_FIXED = 4 + 4 + 8 + 8
"""Magic, version, and the numbers of tensors and of metadata entries."""


def split_file(source: Path, folder: Path, limit: int) -> list[Path]:
    """Write the parts of `source`, of at most `limit` bytes each, into `folder`; returns them in order."""
    if source.stat().st_size <= limit:
        raise InputError(f"{source.name} is no larger than {limit / 1e9:g} GB.", "copy it as it is")
    reader = header_reader()(source)
    if "split.count" in reader.fields:
        raise InputError(f"{source.name} is itself a part.", "give the whole file")
    metadata = reader.data[_FIXED : reader.tensors[0].field.offset].tobytes()
    lots = _lots(reader.tensors, len(metadata), limit)
    paths = [folder / f"{source.stem}-{number:05d}-of-{len(lots):05d}.gguf" for number in range(1, len(lots) + 1)]
    if there := [path for path in paths if path.exists()]:
        raise InputError(f"{there[0]} is there already.", "remove it, or write to another folder")
    done, total = 0, sum(int(t.n_bytes) for t in reader.tensors)
    try:
        with source.open("rb") as original:
            for number, (path, lot) in enumerate(zip(paths, lots, strict=True)):
                first = number == 0
                with path.open("xb") as out:
                    entries = len(reader.fields) - 3 if first else 0  # gguf-py counts the three fixed numbers too
                    out.write(_head(reader, lot, entries, metadata if first else b"", number, len(lots)))
                    pad(out, _alignment(reader, number))
                    for tensor in lot:
                        copy_bytes(original, out, int(tensor.data_offset), int(tensor.n_bytes))
                        pad(out, _alignment(reader, number))
                        done += int(tensor.n_bytes)
                        progress.update(done / 1e6, total / 1e6, "MB", part=f"{number + 1} of {len(lots)}")
    except BaseException:
        for path in paths:
            path.unlink(missing_ok=True)
        raise
    return paths


def _lots(tensors: Sequence[Any], metadata: int, limit: int) -> list[list[Any]]:
    """The tensors of each part, in their order."""
    lots: list[list[Any]] = [[]]
    size = _FIXED + metadata + len(_split_entries(0, 0, 0))
    for tensor in tensors:
        needed = len(entry_of(tensor, 0)) + int(tensor.n_bytes) + 2 * ALIGNMENT
        if lots[-1] and size + needed > limit:
            lots.append([])
            size = _FIXED + len(_split_entries(0, 0, 0))
        if size + needed > limit:
            alone = f"{tensor.name} alone has {int(tensor.n_bytes) / 1e6:,.0f} MB."
            raise InputError(alone, "allow larger parts, or use another type")
        lots[-1].append(tensor)
        size += needed
    return lots


def _head(reader: Any, lot: Sequence[Any], entries: int, metadata: bytes, number: int, count: int) -> bytes:
    """Everything before a part's first tensor, but the padding."""
    alignment, offset, infos = _alignment(reader, number), 0, b""
    for tensor in lot:
        infos += entry_of(tensor, offset)
        offset += -(-int(tensor.n_bytes) // alignment) * alignment
    fixed = struct.pack("<4sIQQ", b"GGUF", 3, len(lot), entries + 3)
    return fixed + metadata + _split_entries(number, count, len(reader.tensors)) + infos


def _split_entries(number: int, count: int, tensors: int) -> bytes:
    def entry(name: bytes, kind: int, form: str, value: int) -> bytes:
        return struct.pack("<Q", len(name)) + name + struct.pack(f"<I{form}", kind, value)

    return (
        entry(b"split.no", _UINT16, "H", number)
        + entry(b"split.count", _UINT16, "H", count)
        + entry(b"split.tensors.count", _INT32, "i", tensors)
    )


def entry_of(tensor: Any, offset: int) -> bytes:
    """What the header says of a tensor: as in the source, but for where it lies."""
    *kept, _ = tensor.field.parts
    return b"".join(part.tobytes() for part in kept) + struct.pack("<Q", offset)


def _alignment(reader: Any, number: int) -> int:
    return int(reader.alignment) if number == 0 else ALIGNMENT


def pad(out: BinaryIO, alignment: int) -> None:
    """Fill up to where the next tensor may begin."""
    out.write(b"\0" * (-out.tell() % alignment))


def copy_bytes(source: BinaryIO, out: BinaryIO, start: int, count: int) -> None:
    """Copy `count` bytes of `source` from `start` on; raises `InputError` if it ends before."""
    source.seek(start)
    while count:
        data = source.read(min(CHUNK, count))
        if not data:
            raise InputError("The file is cut short.", "build it again")
        out.write(data)
        count -= len(data)
