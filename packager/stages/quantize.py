"""F16 GGUF -> one GGUF per quantization type of the recipe, with llama.cpp's library.

Every file is read back: it must hold the tensors, the vocabulary and the chat template of its source,
and each tensor is compared with the type that llama.cpp chooses for it. How far its predictions are
from the source's is measured on held-out answers. Fails with `InputError` for an unknown type or a
pattern that finds no tensor, `MissingResource` for a full disk, `ProofFailed` if the file that was
written says something else than its source.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from packager.artifacts.files import link_or_copy, sha256_of
from packager.artifacts.kinds import Dataset, Divergence, GgufFile, Ggufs, Merged
from packager.errors import InputError, Interrupted, PackagerError, ProofFailed
from packager.llamacpp import gguf_file
from packager.llamacpp.gguf_file import GgufInfo, tensor_shapes, types_of_tensors
from packager.llamacpp.imatrix import IMATRIX, read_imatrix
from packager.llamacpp.limits import run_limits
from packager.llamacpp.model import GgufModel
from packager.llamacpp.quantizer import planned_types, quantize_file
from packager.process import child, progress
from packager.prompt.corpus import answer_samples, corpus_samples
from packager.prompt.masking import Encoded
from packager.proof import divergence
from packager.proof.divergence import RunningDivergence
from packager.recipe.sections import Quantize

if TYPE_CHECKING:
    from packager.llamacpp.imatrix import Float32

    Columns = Mapping[str, Float32]

ANSWER_TOKENS = 768
"""Held-out answer tokens on which predictions are compared."""
LEAST_TOKENS = 256
"""With fewer than these, the corpus that every stage is proven on is added."""


def quantize(config: Quantize, data: Dataset, merged: Merged, source: Ggufs, out: Path) -> Ggufs:
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
            link_or_copy(original, path)
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
    return Ggufs(folder=out, files=compared(files, original, data, out))


def compared(files: Sequence[GgufFile], original: Path, data: Dataset, out: Path) -> tuple[GgufFile, ...]:
    """The files with their divergence from the F16 file, or with why they do not run."""
    samples = answer_samples(data.folder / "heldout.jsonl", data.end_of_turn, ANSWER_TOKENS)
    if sum(len(s.at) for s in samples) < LEAST_TOKENS:  # a handful would judge by chance
        samples += corpus_samples(data.folder, LEAST_TOKENS)
    size = original.stat().st_size + sum(file.size for file in files)
    paths, limits = [out / file.name for file in files], run_limits(size)
    try:
        found = child.call(
            divergences, original, paths, samples, timeout=limits.seconds, memory_limit=limits.memory
        ).value
    except Interrupted:
        raise
    except PackagerError as error:
        if len(files) == 1:
            return (files[0].model_copy(update={"divergence": None, "fault": error.message}),)
        return tuple(one for file in files for one in compared([file], original, data, out))
    return tuple(f.model_copy(update={"divergence": d, "fault": ""}) for f, d in zip(files, found, strict=True))


def divergences(original: Path, paths: Sequence[Path], samples: Sequence[Encoded]) -> list[Divergence]:
    """How far each file predicts from `original`; all advance together, so one chunk of logits a file is held."""
    context, threads = max(len(s.ids) for s in samples), child.physical_cores()
    comparisons = [RunningDivergence() for _ in paths]
    with contextlib.ExitStack() as stack:
        models = [
            stack.enter_context(GgufModel.open(path, context=context, threads=threads)) for path in (original, *paths)
        ]
        for number, sample in enumerate(samples):
            chosen = set(sample.at)
            wanted = [i in chosen for i in range(len(sample.ids))]
            for chunks in zip(*(model.logits(sample.ids, wanted) for model in models), strict=True):
                targets = [sample.ids[i + 1] for i in chunks[0][0]]
                first, *others = (divergence.log_softmax(rows) for _, rows in chunks)
                for one, log_q in zip(comparisons, others, strict=True):
                    one.add(first, log_q, targets)
            progress.update(number + 1, len(samples), "held-out rows compared")
    return [one.result() for one in comparisons]


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
