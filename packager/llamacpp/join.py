"""The parts of a split GGUF file -> the whole file, as `split` or llama.cpp's gguf-split found it.

The first part's path is enough: it says how many there are, and the others lie beside it under names that end in
-00001-of-00003.gguf. Fails with `InputError` for a part that is not the first, for parts that are missing, and for
those of another file.
"""

from __future__ import annotations

import glob
import re
import struct
from pathlib import Path

from packager.errors import InputError
from packager.llamacpp import gguf_file
from packager.llamacpp.gguf_arrays import entries
from packager.llamacpp.gguf_file import header_reader
from packager.llamacpp.split import copy_bytes, entry_of, pad
from packager.process import progress

SPLIT = ("split.no", "split.count", "split.tensors.count")
_NAME = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")


def parts_of(first: Path) -> list[Path]:
    """All parts of a split file in their order, by its first; `[first]` for a file that is whole."""
    metadata = gguf_file.inspect(first).metadata
    count, number = int(metadata.get("split.count", 0)), int(metadata.get("split.no", 0))
    if count < 2:
        return [first]
    match = _NAME.fullmatch(first.name)
    if not match or int(match["count"]) != count:
        raise InputError(
            f"{first.name} is part {number + 1} of {count} of a split GGUF file, but not named so.",
            f"name the parts NAME-00001-of-{count:05d}.gguf and so on, as they were, in one folder",
        )
    parts = [first.with_name(f"{match['stem']}-{one:05d}-of-{count:05d}.gguf") for one in range(1, count + 1)]
    if missing := [part.name for part in parts if not part.is_file()]:
        raise InputError(
            f"{first.name} is part {number + 1} of {count} of a split GGUF file, and {len(missing)} of the others are"
            f" not beside it: {', '.join(missing[:3])}.",
            "download them into the same folder",
        )
    if number:
        raise InputError(
            f"{first.name} is part {number + 1} of {count} of a split GGUF file.", f"give the first, {parts[0].name}"
        )
    _check(parts, int(metadata.get("split.tensors.count", 0)))
    return parts


def like_named(first: Path) -> list[Path]:
    """The files beside this one that are named as parts of the same file, itself among them."""
    match = _NAME.fullmatch(first.name)
    if not match:
        return [first]
    return sorted(first.parent.glob(f"{glob.escape(match['stem'])}-?????-of-{match['count']}.gguf"))


def join_files(parts: list[Path], out: Path) -> None:
    """Write the whole file of these parts to `out`."""
    readers = [header_reader()(part) for part in parts]
    alignment = int(readers[0].alignment)
    kept = [(start, end) for name, start, end in entries(parts[0]) if name not in SPLIT]
    tensors = [(part, tensor) for part, reader in zip(parts, readers, strict=True) for tensor in reader.tensors]
    offset, infos = 0, []
    for _, tensor in tensors:
        infos.append(entry_of(tensor, offset))
        offset += -(-int(tensor.n_bytes) // alignment) * alignment
    done = 0
    with out.open("xb") as whole:
        whole.write(struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(kept)))
        with parts[0].open("rb") as first:
            for start, end in kept:
                copy_bytes(first, whole, start, end - start)
        whole.write(b"".join(infos))
        pad(whole, alignment)
        for part, tensor in tensors:
            with part.open("rb") as source:
                copy_bytes(source, whole, int(tensor.data_offset), int(tensor.n_bytes))
            pad(whole, alignment)
            done += int(tensor.n_bytes)
            progress.update(done / 1e6, offset / 1e6, "MB", part=part.name)


def _check(parts: list[Path], tensors: int) -> None:
    """Raises `InputError` unless the parts are those of one file: numbered so, with as many tensors as it had."""
    found = 0
    for number, part in enumerate(parts):
        try:
            info = gguf_file.inspect(part)
        except (ValueError, OSError) as error:
            raise InputError(f"{part.name} is not a whole GGUF file: {error}", "download it again") from error
        said = (info.metadata.get("split.no"), info.metadata.get("split.count"))
        if said != (number, len(parts)):
            raise InputError(
                f"{part.name} says of itself that it is number {said[0]} (from 0) of {said[1]} parts.",
                "download the parts again, all from one place",
            )
        found += info.n_tensors
    if tensors and found != tensors:
        raise InputError(
            f"The parts of {parts[0].name} hold {found} tensors, but the file had {tensors}.",
            "download the parts again, all from one place",
        )
