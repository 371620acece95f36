"""F16 GGUF -> one GGUF per quantization type of the recipe, with llama.cpp's library.

Every file is read back: it must hold the tensors, the vocabulary and the chat template of its source,
and each tensor is compared with the type that llama.cpp chooses for it. How far its predictions are
from the source's is measured on held-out answers. Fails with `InputError` for an unknown type or a
pattern that finds no tensor, `MissingResource` for a full disk, `ProofFailed` if the file that was
written says something else than its source.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from packager.artifacts.files import link_or_copy, sha256_of
from packager.artifacts.kinds import Dataset, GgufFile, Ggufs, Merged
from packager.errors import ProofFailed
from packager.llamacpp.gguf_file import GgufInfo, tensor_shapes, types_of_tensors
from packager.llamacpp.imatrix import IMATRIX, importance_for
from packager.llamacpp.quantizer import planned_types, quantize_file, refuse_idle_patterns
from packager.process import child, progress
from packager.proof.quantized import compared, differences, read_whole, unplanned
from packager.recipe.sections import Quantize


class Quantizing(Quantize):
    """The types, and the context that the files are served with."""

    context: int = 0
    """Tokens; 0: as long as the longest text that is compared."""
    kv: str = "f16"
    """What keys and values are kept in."""


def quantize(config: Quantizing, data: Dataset, merged: Merged, source: Ggufs, out: Path) -> Ggufs:
    """Write `model-TYPE.gguf` into `out` for every type, in the recipe's order."""
    original = source.folder / source.files[0].name
    before = read_whole(original)
    shapes = tensor_shapes(original)
    for said in refuse_idle_patterns(config.tensors, shapes):
        progress.note(said)
    columns = importance_for(merged.folder / IMATRIX, shapes) if config.imatrix else {}
    files = []
    for name in config.types:
        path = out / f"model-{name}.gguf"
        if name == source.files[0].type:
            link_or_copy(original, path)
        else:
            quantize_file(
                original,
                path,
                name,
                child.physical_cores(),
                on_progress=partial(_report, name),
                importance=columns,
                overrides=config.tensors,
            )
        info = read_whole(path)
        planned = planned_types(original, name, importance=columns, overrides=config.tensors)
        if faults := differences(info, before):
            raise ProofFailed(f"quantize: {path.name} lost {', '.join(faults)} of its source.", "report this model")
        file = _described(path, name, info, unplanned(planned, types_of_tensors(path)))
        held = ", ".join(f"{count} {kind}" for kind, count in sorted(file.tensor_types.items()))
        progress.note(f"{name}: {file.size / 1e6:,.0f} MB, {file.bits_per_weight:.2f} bits/weight ({held})")
        files.append(file)
    return Ggufs(folder=out, files=compared(files, original, data, out, config.context, config.kv))


def _report(name: str, done: int, total: int) -> None:
    progress.update(done, total, "tensors", type=name)


def _described(path: Path, name: str, info: GgufInfo, unplanned: tuple[str, ...]) -> GgufFile:
    return GgufFile(
        name=path.name,
        type=name,
        size=path.stat().st_size,
        sha256=sha256_of(path),
        bits_per_weight=round(info.bits_per_weight, 3),
        tensor_types=dict(info.tensor_types),
        file_type=info.file_type,
        fallback_share=round(info.fallback_share, 4),
        unplanned=unplanned,
    )
