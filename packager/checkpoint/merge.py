"""Base + adapter -> the merged checkpoint: FP16 safetensors, config, tokenizer, chat template.

W + s B A, and what DoRA makes of it, is computed in float32, block by block, so memory stays bounded
whatever the model's size; other adapters go through peft. What changed is measured on the bytes that
are written. Fails with `ProofFailed` if an adapter matrix finds no base weight or a merged weight does
not fit FP16, with `InputError` for a base that is quantized or brings its own code.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import math
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packager.artifacts.files import write_json
from packager.artifacts.kinds import Adapter, Checkpoint, Dataset, Merged
from packager.checkpoint import lora, merge_by_peft
from packager.checkpoint.change import Block, Change, Tally, change_of, moved, update_of
from packager.errors import InputError, ProofFailed
from packager.process import child
from packager.process.memory import keep_freed_memory
from packager.prompt.template import TEMPLATE_FILE, TOKENIZER_FILES

if TYPE_CHECKING:
    from packager.checkpoint.change import Bits
    from packager.checkpoint.matrices import Matrices
    from packager.checkpoint.weights import Float32, Reader, Tensor, Writer

BLOCK = 1 << 17
"""Elements computed at once: small enough for a core's cache, large enough for Python's calls not to count."""
KEPT_BYTES = 1 << 24
"""Arrays up to this size take memory that earlier ones gave back; to map each anew is more work than the arithmetic."""
LARGEST_BITS = 0x7BFF
"""65504, the largest finite FP16, as bits; without the sign, the order of bits is that of values."""


def merge_adapter(
    base: Checkpoint,
    data: Dataset,
    adapter: Adapter | None,
    out: Path,
    *,
    nf4: bool = False,
    matrices: Matrices | None = None,
) -> Merged:
    """Write the merged checkpoint into `out`; without an adapter, the base in FP16. With `nf4`, the
    linear layers of the base are rounded to NF4 first, from `matrices` where these hold them already."""
    from packager.checkpoint import weights

    settings = base_config(base.folder)
    tensors = weights.checkpoint(base.folder)
    if settings.get("tie_word_embeddings") and "model.embed_tokens.weight" in tensors:
        tensors.pop("lm_head.weight", None)  # transformers ignores it too: the embedding is the head
    pairs: dict[str, lora.Pair] = {}
    compare: dict[str, Tensor] = {}
    expected, named, reason = 0.0, set[str](), ""
    source = tensors
    if adapter is not None:
        reason = lora.unusual(adapter.folder, base.folder)
        if reason:
            source, expected, named = merge_by_peft.by_peft(base, adapter, tensors, out, reason)
            compare = tensors
        else:
            pairs, whole = lora.read_pairs(adapter.folder, tensors), lora.read_whole(adapter.folder, tensors)
            source, compare = tensors | whole, {name: tensors[name] for name in whole}
            named = {*pairs, *whole}
    meant = _as_trained(pairs, adapter)
    with weights.Reader() as reader, _rounded(matrices) if nf4 else contextlib.nullcontext() as rounded:
        tally = _stream(reader, source, pairs, compare, out, rounded, meant)
    if meant:
        from_adapter = {n: p.expected_square for n, p in meant.items() if p.magnitude is None}
        expected = math.sqrt(sum(from_adapter.values()) + tally.expected_square(besides=from_adapter.keys()))
    trained = adapter.as_trained if adapter else None
    shutil.rmtree(out / merge_by_peft.FOLDER, ignore_errors=True)
    carry(base.folder, data.folder, settings, out)
    return Merged(
        **base.model_dump(exclude={"folder", "content", "weights_sha256"}),
        folder=out,
        pairs_used=tally.used(named),
        pairs_total=trained.pairs + len(named - pairs.keys()) if trained else len(named),
        delta_norm=math.sqrt(tally.delta_square),
        delta_norm_expected=expected,
        largest_weight=tally.largest_weight,
        by_peft=bool(reason),
        moved=moved({name: tally.changes.get(name, Change()) for name in named}) if named else None,
    )


@contextlib.contextmanager
def _rounded(matrices: Matrices | None) -> Iterator[Matrices]:
    """These, or others that are opened for the block."""
    from packager.checkpoint.matrices import opened

    with contextlib.nullcontext(matrices) if matrices else opened() as given:
        yield given


def _as_trained(pairs: Mapping[str, lora.Pair], adapter: Adapter | None) -> dict[str, lora.Pair]:
    """The pairs with the scale that peft's modules had in training, where training noted it."""
    trained = adapter.as_trained if adapter else None
    return {name: replace(pair, scale=trained.scale) if trained else pair for name, pair in pairs.items()}


def _stream(
    reader: Reader,
    tensors: Mapping[str, Tensor],
    pairs: Mapping[str, lora.Pair],
    compare: Mapping[str, Tensor],
    out: Path,
    rounded: Matrices | None,
    meant: Mapping[str, lora.Pair],
) -> Tally:
    """Write every tensor in FP16 (integers as they are), in blocks of rows, on all cores.

    The change is measured where a pair is `meant`, or against `compare` where that names a tensor. The linear
    layers of the body are taken from `rounded`, to NF4, where that is given.
    """
    from threadpoolctl import threadpool_limits

    from packager.checkpoint import weights

    keep_freed_memory(KEPT_BYTES, 2 * KEPT_BYTES)
    layout = [(t.name, "F16" if t.dtype in weights.FLOATS else t.dtype, t.shape) for t in tensors.values()]
    tally = Tally(sum(math.prod(shape) * weights.WIDTHS[dtype] for _, dtype, shape in layout))
    with weights.Writer(out, layout) as writer:

        def work(job: tuple[Tensor, int, int]) -> None:
            tensor, start, stop = job
            if tensor.dtype not in weights.FLOATS:
                raw = reader.raw(tensor, start, stop)
                writer.write(tensor.name, start, raw)
                tally.add(tensor.name, Block(len(raw)))
                return
            name = tensor.name
            whole = rounded.rounded(tensor).numpy() if rounded and _is_rounded(tensor) else None
            for _, first, last in _blocks(tensor) if whole is not None else [(tensor, start, stop)]:
                old = whole[first:last] if whole is not None else None
                bits, old = _written(reader, writer, tensor, first, last, pairs.get(name), old)
                tally.add(name, _measured(reader, bits, old, first, last, meant.get(name), compare.get(name)))

        # Every thread multiplies blocks of its own: with BLAS's threads on top it takes 8 times as long.
        with threadpool_limits(1, "blas"), concurrent.futures.ThreadPoolExecutor(_threads(rounded, tensors)) as pool:
            jobs = [
                pool.submit(work, job) for tensor in tensors.values() for job in _blocks(tensor, whole=bool(rounded))
            ]
            try:
                for job in jobs:
                    job.result()
            finally:
                pool.shutdown(cancel_futures=True)
    return tally


def _threads(rounded: Matrices | None, tensors: Mapping[str, Tensor]) -> int:
    """One a core; fewer where each holds a matrix whole, to round it."""
    cores = child.physical_cores()
    if rounded is None:
        return cores
    largest = max((tensor.elements for tensor in tensors.values() if _is_rounded(tensor)), default=1)
    return max(1, min(cores, rounded.room_to_round(largest)))


def _blocks(tensor: Tensor, *, whole: bool = False) -> Iterator[tuple[Tensor, int, int]]:
    """Blocks of rows; with `whole`, one for a matrix that is rounded to NF4 (its scales are quantized together)."""
    step = max(1, BLOCK * tensor.rows // max(1, tensor.elements))
    if whole and _is_rounded(tensor):
        step = tensor.rows
    for start in range(0, tensor.rows, step):
        yield tensor, start, min(start + step, tensor.rows)


def _is_rounded(tensor: Tensor) -> bool:
    """Is this a matrix that QLoRA trains on in NF4: a linear layer of the body?"""
    return len(tensor.shape) == 2 and ".layers." in tensor.name


def _written(
    reader: Reader, writer: Writer, tensor: Tensor, start: int, stop: int, pair: lora.Pair | None, old: Float32 | None
) -> tuple[Bits, Float32 | None]:
    """Merge and write rows [start, stop): as FP16 bits, and what they were merged into (None: copied as they are).

    `old` are the rows to merge into, where they are not those of the file.
    """
    import numpy as np

    from packager.llamacpp.half_precision import to_half

    if tensor.dtype == "F16" and pair is None and old is None:  # nothing to compute; copied bit by bit
        bits: Bits = np.frombuffer(reader.raw(tensor, start, stop), np.uint16)
    else:
        old = reader.rows(tensor, start, stop) if old is None else old
        bits = to_half(old if pair is None else pair.merged(old, start, stop))  # what overflows is found below
    if int((bits & 0x7FFF).max(initial=0)) >= LARGEST_BITS:
        raise ProofFailed(
            f"merge.finite: a merged weight of {tensor.name} is not finite in FP16 (|w| >= 65504).",
            "train with a lower learning rate or alpha; a base made for bfloat16 may not fit FP16",
        )
    writer.write(tensor.name, start, bits.data)
    return bits, old


def _measured(
    reader: Reader,
    bits: Bits,
    old: Float32 | None,
    start: int,
    stop: int,
    meant: lora.Pair | None,
    before: Tensor | None,
) -> Block:
    """What was found in rows [start, stop): `bits` in place of `old`, by the pair that was `meant`, or in place of
    `before`'s rows."""
    from packager.llamacpp.half_precision import from_half

    largest = int((bits & 0x7FFF).max(initial=0))
    if before is not None:
        new = from_half(bits).reshape(stop - start, -1) if old is None else old
        old = reader.rows(before, start, stop)
        update = new - old
    elif meant is not None:
        old = from_half(bits).reshape(stop - start, -1) if old is None else old  # copied, so as it was
        update = update_of(meant, old, start, stop)
    else:
        return Block(bits.nbytes, largest)
    moved = from_half(bits.ravel()) - old.ravel()
    return Block(bits.nbytes, largest, float(moved @ moved), change_of(bits, old, update))


def base_config(folder: Path) -> dict[str, Any]:
    """config.json of the base; raises `InputError` if it cannot be merged into."""
    config = _json(folder / "config.json")
    if config.get("quantization_config"):
        raise InputError(
            "The base model's weights are quantized; an adapter cannot be merged into them without loss.",
            "set base.model to its 16-bit twin",
        )
    if config.get("auto_map"):
        raise InputError(
            "The base model brings its own code (auto_map in config.json), which is never run.",
            "use a base of an architecture that transformers and llama.cpp know",
        )
    return config


def carry(base: Path, data: Path, settings: Mapping[str, Any], out: Path) -> None:
    """Copy what belongs beside the weights: of the checkpoint in `base`, whose config.json holds `settings`, and the
    chat template, which comes from the data stage alone."""
    for name in (*TOKENIZER_FILES, "generation_config.json"):
        if (base / name).is_file() and name not in ("tokenizer_config.json", TEMPLATE_FILE):
            shutil.copyfile(base / name, out / name)
    tokenizer = _json(base / "tokenizer_config.json")
    for name in ("chat_template", "auto_map"):
        tokenizer.pop(name, None)
    write_json(out / "tokenizer_config.json", tokenizer)
    shutil.copyfile(data / TEMPLATE_FILE, out / TEMPLATE_FILE)
    kept = {k: v for k, v in settings.items() if k not in ("torch_dtype", "_name_or_path")}
    write_json(out / "config.json", kept | {"dtype": "float16"})


def _json(path: Path) -> dict[str, Any]:
    try:
        value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path.name} is not readable: {error}", "fetch the base model or train again") from error
    return value
