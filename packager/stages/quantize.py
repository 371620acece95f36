"""F16 GGUF -> one GGUF per quantization type of the recipe, with llama.cpp's library.

Every file is read back: it must hold the tensors, the vocabulary and the chat template of its source,
and each tensor is compared with the type that llama.cpp chooses for it. How far its predictions are
from the merged checkpoint's is measured on held-out answers. Fails with `InputError` for an unknown type or a
pattern that finds no tensor, `MissingResource` for a full disk, `ProofFailed` if the file that was
written says something else than its source.
"""

from __future__ import annotations

import concurrent.futures
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from packager.artifacts.files import link_or_copy, sha256_of
from packager.artifacts.kinds import GgufFile, Ggufs, Merged
from packager.errors import ProofFailed
from packager.llamacpp.gguf_file import GgufInfo, tensor_shapes, types_of_tensors
from packager.llamacpp.imatrix import IMATRIX, importance_for
from packager.llamacpp.quantizer import planned_types, quantize_files, refuse_idle_patterns
from packager.process import child, progress
from packager.proof.divergence import ANSWERS
from packager.proof.quantized import compared, differences, read_whole, unplanned
from packager.recipe.sections import Quantize

if TYPE_CHECKING:
    from packager.llamacpp.quantizer import Float32


class Quantizing(Quantize):
    """The types, and the context that the files are served with."""

    context: int = 0
    """Tokens; 0: as long as the longest text that is compared."""
    kv: str = "f16"
    """What keys and values are kept in."""
    order: tuple[str, ...] = ()
    """The patterns of `tensors` in their order, which decides, and which a stage's key does not see in a mapping."""


def quantize(config: Quantizing, merged: Merged, source: Ggufs, out: Path) -> Ggufs:
    """Write `model-TYPE.gguf` into `out` for every type, in the recipe's order."""
    original = source.folder / source.files[0].name
    before = read_whole(original)
    shapes = tensor_shapes(original)
    for said in refuse_idle_patterns(config.tensors, shapes):
        progress.note(said)
    columns = importance_for(merged.folder / IMATRIX, shapes) if config.imatrix else {}
    _write(original, out, config, columns)
    files, sums = [], []
    beside = concurrent.futures.ThreadPoolExecutor(1)
    try:
        for name in config.types:
            path = _path(out, name)
            info = read_whole(path)
            planned = planned_types(original, name, importance=columns, overrides=config.tensors)
            if faults := differences(info, before):
                raise ProofFailed(f"quantize: {path.name} lost {', '.join(faults)} of its source.", "report this model")
            file = _described(path, name, info, unplanned(planned, types_of_tensors(path)))
            held = ", ".join(f"{count} {kind}" for kind, count in sorted(file.tensor_types.items()))
            progress.note(f"{name}: {file.size / 1e6:,.0f} MB, {file.bits_per_weight:.2f} bits/weight ({held})")
            files.append(file)
            sums.append(beside.submit(sha256_of, path))
        apart = compared(files, merged.folder / ANSWERS, out, config.context, config.kv)
        hashed = [file.model_copy(update={"sha256": sha256.result()}) for file, sha256 in zip(apart, sums, strict=True)]
    finally:
        beside.shutdown(cancel_futures=True)
    return Ggufs(folder=out, files=tuple(hashed))


def _path(out: Path, name: str) -> Path:
    return out / f"model-{name}.gguf"


def _write(original: Path, out: Path, config: Quantizing, columns: Mapping[str, Float32]) -> None:
    """All files. The type of the F16 file itself is a second name for it."""
    files = {name: _path(out, name) for name in config.types}
    if same := files.pop("F16", None):
        link_or_copy(original, same)
    if files:
        quantize_files(
            original,
            files,
            child.processors(),
            on_progress=partial(progress.update, unit="tensors"),
            importance=columns,
            overrides=config.tensors,
        )


def _described(path: Path, name: str, info: GgufInfo, unplanned: tuple[str, ...]) -> GgufFile:
    return GgufFile(
        name=path.name,
        type=name,
        size=path.stat().st_size,
        sha256="",
        bits_per_weight=round(info.bits_per_weight, 3),
        tensor_types=dict(info.tensor_types),
        file_type=info.file_type,
        fallback_share=round(info.fallback_share, 4),
        unplanned=unplanned,
    )
