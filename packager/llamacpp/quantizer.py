"""One GGUF file -> others of smaller types, by llama.cpp's library; whole files or none.

`planned_types` asks the library what it would write, without writing. Fails with `InputError` for a
type that does not exist or needs an importance matrix, `MissingResource` for a full disk.
"""

from __future__ import annotations

import ctypes
import difflib
import re
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packager.errors import InputError, MissingResource, StageCrash
from packager.llamacpp import binding
from packager.llamacpp.gguf_file import SMALL_BLOCKS, block_size, quantization_types, tensor_types
from packager.llamacpp.limits import bounded

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Float32 = npt.NDArray[np.float32]

ALMOST_FULL = 64 << 20
"""With less free space than this (bytes) a failed write is put down to the disk."""
ROOM = 4 << 30
"""Address space (bytes) that a file may take beside twice its source: buffers, threads, tables."""
SECONDS, SLOWEST = 3600, 1 << 19
"""CPU time that it may take in any case, and bytes of each file's source a second of CPU beyond that."""
_PROGRESS = re.compile(r"^\[ *\d+/ *(\d+)\]")
_PLANNED = re.compile(r"^\[ *\d+/ *\d+\] +(\S+) .*type = *(\w+), size =(?:.*\((\w+)\))?")
"""A line of a dry run: the tensor, its type, and the type it would get where that is another."""


def quantize_files(
    source: Path,
    files: Mapping[str, Path],
    threads: int,
    max_buffer_bytes: int = 64 << 20,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    *,
    importance: Mapping[str, Float32] | None = None,
    overrides: Mapping[str, str] | None = None,
) -> None:
    """Quantize one GGUF file into others, by their types, side by side: while one is read or written another computes.

    `on_progress(tensors done, tensors in all)` is called along the way; `max_buffer_bytes` bounds
    the rows held in memory at once. `importance` weighs the columns [columns] of tensors by name;
    `overrides` gives the tensors that a regular expression finds a type of their own (the first that
    finds one holds). If one of them fails the others are still written, and then none of `files` is left:
    `InputError` for a type that does not exist or that needs an importance matrix, `MissingResource` for a full disk.
    """
    for out in files.values():
        if out.exists():  # above all the source itself, which the library would truncate before reading it
            raise InputError(f"{out} is there already.", "write to a new file")
    done = 0

    def listen(line: str) -> None:
        nonlocal done
        if match := _PROGRESS.match(line):
            done += 1
            on_progress(done, len(files) * int(match[1]))

    columns = _contiguous(importance or {})
    jobs = [(out, _params(name, columns, overrides or {})) for name, out in files.items()]
    for _, params in jobs:
        params.nthread, params.max_buf_size = threads, max_buffer_bytes // len(jobs)
    try:
        for (name, out), said in zip(files.items(), _run(source, jobs, listen), strict=True):
            if said is not None:
                raise _failure(source, out, name, said, len(files))
    except BaseException:
        for out in files.values():
            out.unlink(missing_ok=True)
        raise


def planned_types(
    source: Path,
    type_name: str,
    *,
    importance: Mapping[str, Float32] | None = None,
    overrides: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The type (Q4_K, F32, ...) that llama.cpp chooses for every tensor, by its name; nothing is written."""
    found: dict[str, str] = {}

    def listen(line: str) -> None:
        if match := _PLANNED.match(line):
            found[match[1]] = (match[3] or match[2]).upper()

    columns = _contiguous(importance or {})
    params = _params(type_name, columns, overrides or {})
    params.dry_run = True
    (said,) = _run(source, [(source, params)], listen)
    if said is not None:
        raise _failure(source, source, type_name, said, 1)
    return found


def refuse_idle_patterns(tensors: Mapping[str, str], shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
    """What patterns of quantize.tensors find that cannot have the type, in sentences; `shapes` are (columns, rows).

    Raises `InputError` for a pattern that finds no tensor, or none that can have its type: the type's blocks must
    divide the columns, else llama.cpp takes another type in silence.
    """
    said, taken = [], set[str]()
    matrices = {name: shape for name, shape in shapes.items() if len(shape) > 1}  # vectors stay F32
    for pattern, kind in tensors.items():
        found = [name for name in matrices if name not in taken and re.search(pattern, name)]
        if not found:
            some = next((n for n in matrices if n.startswith("blk.")), next(iter(shapes)))
            raise InputError(
                f"quantize.tensors: '{pattern}' finds no tensor{' that none before it has found' if taken else ''}.",
                f"they have names such as {some}",
            )
        taken |= set(found)
        block = block_size(kind)
        if not (odd := [name for name in found if shapes[name][0] % block]):
            continue
        first = f"{odd[0]} has {shapes[odd[0]][0]} columns, which blocks of {block} do not divide"
        if len(odd) == len(found):
            fix = f"use a type with smaller blocks ({', '.join(SMALL_BLOCKS)}), or take it out"
            raise InputError(f"quantize.tensors: '{pattern}' cannot be had as {kind}: {first}.", fix)
        said.append(f"quantize.tensors: {len(odd)} of {len(found)} tensors of '{pattern}' cannot be {kind}: {first}")
    return said


def _contiguous(importance: Mapping[str, Float32]) -> dict[str, Float32]:
    import numpy as np

    return {name: np.ascontiguousarray(values, np.float32) for name, values in importance.items()}


def _params(type_name: str, columns: Mapping[str, Float32], overrides: Mapping[str, str]) -> Any:
    """llama.cpp's settings; they point into `columns`, which must live as long as they are used."""
    known = quantization_types()
    if type_name not in known:
        near = difflib.get_close_matches(type_name.upper(), known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"use one of {', '.join(known)}"
        raise InputError(f"llama.cpp has no quantization called {type_name}.", hint)
    params = binding.library().llama_model_quantize_default_params()
    params.ftype = known[type_name]
    params.imatrix, params.tt_overrides = _importance(columns), _overrides(overrides)
    return params


def _run(source: Path, jobs: Sequence[tuple[Path, Any]], listen: Callable[[str], None]) -> list[str | None]:
    """For each file and its settings what llama.cpp said when it failed; None is success."""
    lib = binding.library()
    found: list[str | None] = [""] * len(jobs)

    def quantize(number: int, out: Path, params: Any) -> None:
        failed = lib.llama_model_quantize(bytes(source), bytes(out), ctypes.byref(params))
        found[number] = binding.complaint(2) if failed else None

    # In threads, because Ctrl-C is raised in the main one: there it would surface inside a callback
    # of the library, and be lost.
    work = [threading.Thread(target=quantize, args=(number, *job), daemon=True) for number, job in enumerate(jobs)]
    size, many = source.stat().st_size if source.is_file() else 0, len(jobs)
    with binding.listening(listen), bounded(many * (2 * size + ROOM), SECONDS + many * size // SLOWEST):
        for thread in work:
            thread.start()
        for thread in work:
            thread.join()
    return found


def _importance(columns: Mapping[str, Float32]) -> Any:
    """llama.cpp's list of importance data, which ends in an entry without a name; NULL for none."""
    kind = binding.library().llama_model_imatrix_data
    floats = ctypes.POINTER(ctypes.c_float)
    entries = [kind(name.encode(), v.ctypes.data_as(floats), v.size) for name, v in columns.items()]
    return (kind * (len(entries) + 1))(*entries) if entries else None


def _overrides(types: Mapping[str, str]) -> Any:
    """llama.cpp's list of per-tensor types, which ends in an entry without a pattern; NULL for none."""
    kind, known = binding.library().llama_model_tensor_override, tensor_types()
    entries = [kind(pattern.encode(), known[name]) for pattern, name in types.items()]
    return (kind * (len(entries) + 1))(*entries) if entries else None


def _failure(source: Path, out: Path, type_name: str, said: str, files: int) -> Exception:
    if shutil.disk_usage(out.parent).free < ALMOST_FULL:
        return MissingResource(
            f"The disk is full: {out.name} could not be written.",
            f"free about {files * source.stat().st_size / 1e9:.1f} GB",
        )
    if "imatrix" in said or "importance matrix" in said:
        return InputError(
            f"{type_name} needs an importance matrix for every tensor.",
            "set quantize.imatrix: true, or use another type, such as Q4_K_M",
        )
    return StageCrash(f"llama.cpp could not quantize {source.name} to {type_name}:\n{said}", "see the build's log")
