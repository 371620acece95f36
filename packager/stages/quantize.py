"""F16 GGUF -> one GGUF per quantization type of the recipe, with llama.cpp's library.

Every file is read back: it must hold the tensors, the vocabulary and the chat template of its source,
and each tensor is compared with the type that llama.cpp chooses for it. How far its predictions are
from the source's is measured on held-out answers. Fails with `InputError` for an unknown type or a
pattern that finds no tensor, `MissingResource` for a full disk, `ProofFailed` if the file that was
written says something else than its source.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from packager.artifacts.files import sha256_of
from packager.artifacts.kinds import Dataset, GgufFile, Ggufs, Merged
from packager.errors import InputError, Interrupted, PackagerError, ProofFailed
from packager.llamacpp import gguf_file
from packager.llamacpp.gguf_file import GgufInfo, tensor_shapes, types_of_tensors
from packager.llamacpp.imatrix import IMATRIX, read_imatrix
from packager.llamacpp.quantizer import planned_types, quantize_file
from packager.process import child, progress
from packager.prompt.corpus import answer_samples, corpus_samples
from packager.proof import divergence
from packager.recipe.sections import Quantize

if TYPE_CHECKING:
    from packager.llamacpp.imatrix import Float32

    Columns = Mapping[str, Float32]

T = TypeVar("T")

ANSWER_TOKENS = 768
"""Held-out answer tokens on which predictions are compared."""
LEAST_TOKENS = 256
"""With fewer than these, the corpus that every stage is proven on is added."""
RUN_SECONDS, SECONDS_PER_BYTE = 600.0, 1e-6
"""Time to compare files: beside a constant, with their size, as every layer is read for every row."""
ROOM = 8 << 30
"""Address space beside the files, in bytes: contexts, logits, the interpreter."""


class Quantizing(Quantize):
    """The types, and the context that the files are served with."""

    context: int = 0
    """Tokens; 0: as long as the longest text that is compared."""


def quantize(config: Quantizing, data: Dataset, merged: Merged, source: Ggufs, out: Path) -> Ggufs:
    """Write `model-TYPE.gguf` into `out` for every type, in the recipe's order."""
    original = source.folder / source.files[0].name
    before = _read(original)
    shapes = tensor_shapes(original)
    _patterns_must_find(config.tensors, shapes)
    columns = _importance(merged.folder / IMATRIX, shapes) if config.imatrix else {}
    files = []
    for name in config.types:
        path = out / f"model-{name}.gguf"
        if name == source.files[0].type:
            _link(original, path)
        else:
            _quantize(original, path, name, columns, config.tensors)
        info = _read(path)
        planned = planned_types(original, name, importance=columns, overrides=config.tensors)
        if faults := differences(info, before):
            raise ProofFailed(f"quantize: {path.name} lost {', '.join(faults)} of its source.", "report this model")
        file = GgufFile(
            name=path.name,
            type=name,
            size=path.stat().st_size,
            sha256=sha256_of(path),
            bits_per_weight=round(info.bits_per_weight, 3),
            tensor_types=dict(info.tensor_types),
            file_type=info.file_type,
            fallback_share=round(info.fallback_share, 4),
            unplanned=unplanned(planned, types_of_tensors(path)),
        )
        held = ", ".join(f"{count} {kind}" for kind, count in sorted(file.tensor_types.items()))
        progress.note(f"{name}: {file.size / 1e6:,.0f} MB, {file.bits_per_weight:.2f} bits/weight ({held})")
        files.append(file)
    return Ggufs(folder=out, files=compared(files, original, data, out, config.context))


def compared(files: Sequence[GgufFile], original: Path, data: Dataset, out: Path, context: int) -> tuple[GgufFile, ...]:
    """The files with their divergence from the F16 file, or with why they do not run; all opened as they are
    served. Raises what stops the F16 file from running."""
    samples = answer_samples(data.folder / "heldout.jsonl", data.end_of_turn, ANSWER_TOKENS)
    if sum(len(s.at) for s in samples) < LEAST_TOKENS:  # a handful would judge by chance
        samples += corpus_samples(data.folder, LEAST_TOKENS)
    with tempfile.TemporaryDirectory(prefix="predictions", dir=out) as folder:
        kept = Path(folder) / divergence.REFERENCE
        _in_child(divergence.keep_predictions, original, samples, context, kept)
        return tuple(_compared(file, out / file.name, kept, context) for file in files)


def _compared(file: GgufFile, path: Path, kept: Path, context: int) -> GgufFile:
    try:
        found = _in_child(divergence.from_reference, path, kept, context)
    except Interrupted:
        raise
    except PackagerError as error:
        return file.model_copy(update={"divergence": None, "fault": error.message})
    return file.model_copy(update={"divergence": found, "fault": ""})


def _in_child(function: Callable[..., T], path: Path, *args: object) -> T:
    """Run a file in a process of its own, one file after the other: each takes the memory of a served context."""
    size = path.stat().st_size
    timeout = RUN_SECONDS + size * SECONDS_PER_BYTE
    return child.call(function, path, *args, timeout=timeout, memory_limit=2 * size + ROOM).value


def differences(after: GgufInfo, before: GgufInfo) -> list[str]:
    """What quantization must keep and did not."""
    kept = ("architecture", "n_tensors", "parameters", "n_vocab", "bos_token_id", "eos_token_id", "add_bos",
            "chat_template")  # fmt: skip
    return [name for name in kept if getattr(after, name) != getattr(before, name)]


def unplanned(planned: Mapping[str, str], found: Mapping[str, str]) -> tuple[str, ...]:
    """Tensors whose type is not the planned one, in words."""
    names = sorted(planned.keys() | found.keys())
    pairs = [(name, found.get(name, "missing"), planned.get(name, "nothing")) for name in names]
    return tuple(f"{name} is {kind}, not {wanted}" for name, kind, wanted in pairs if kind != wanted)


def _read(path: Path) -> GgufInfo:
    try:
        return gguf_file.inspect(path)
    except (OSError, ValueError) as error:
        raise ProofFailed(f"{path.name} is not whole: {error}", "run the build again") from error


def _quantize(source: Path, path: Path, name: str, columns: Columns, tensors: Mapping[str, str]) -> None:
    def report(done: int, total: int) -> None:
        progress.update(done, total, "tensors", type=name)

    quantize_file(source, path, name, child.physical_cores(), on_progress=report, importance=columns, overrides=tensors)


def _patterns_must_find(tensors: Mapping[str, str], shapes: Mapping[str, tuple[int, ...]]) -> None:
    for pattern in tensors:
        if not any(re.search(pattern, name) for name in shapes):
            some = next((n for n in shapes if n.startswith("blk.")), next(iter(shapes)))
            raise InputError(f"quantize.tensors: '{pattern}' finds no tensor.", f"they have names such as {some}")


def _importance(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> Columns:
    """The importance of columns that the merge stage noted, for the tensors that the file has."""
    if not path.is_file():
        return {}
    noted = read_imatrix(path)
    found = {name: values for name, values in noted.items() if shapes.get(name, ())[:1] == values.shape}
    matrices = [name for name, shape in shapes.items() if len(shape) > 1 and name.startswith("blk.")]
    if without := [name for name in matrices if name not in found]:
        progress.note(f"{len(without)} of {len(matrices)} matrices have no importance, {without[0]} first")
    return found


def _link(source: Path, path: Path) -> None:
    """The same file under another name; a copy where the disk has no hard links."""
    try:
        os.link(source, path)
    except OSError:
        shutil.copyfile(source, path)
