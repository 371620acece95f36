"""Base + adapter -> the merged checkpoint: FP16 safetensors, config, tokenizer, chat template.

W + s B A is computed in float32, block by block, so memory stays bounded whatever the model's
size. What changed is measured on the bytes that are written. Fails with `ProofFailed` if an adapter
matrix finds no base weight or a merged weight does not fit FP16, with `InputError` for a base that
is quantized or brings its own code.
"""

from __future__ import annotations

import concurrent.futures
import json
import math
import os
import re
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packager import lora, proc, progress
from packager.artifacts import Adapter, Checkpoint, Dataset, Merged, write_json
from packager.chat import TEMPLATE_FILE
from packager.errors import InputError, ProofFailed

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from packager.weights import Float32, Reader, Tensor, Writer

BLOCK = 1 << 18
"""Elements computed at once: what stays in a core's cache."""
REPORT_SECONDS = 0.2
LARGEST_BITS = 0x7BFF
"""65504, the largest finite FP16, as bits; without the sign, the order of bits is that of values."""
CARRIED = re.compile(
    r"(tokenizer.*\.(json|model)|special_tokens_map\.json|added_tokens\.json|vocab\.(json|txt)|merges\.txt"
    r"|generation_config\.json)"
)
"""Files of the base that the converter and transformers read; never code."""


@dataclass
class Tally:
    """What the blocks found; threads add to it."""

    total: int
    written: int = 0
    delta_square: float = 0.0
    largest_bits: int = 0
    pairs: set[str] = field(default_factory=set)
    """Names of the weights that an adapter pair was added to."""
    _reported: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, written: int, delta_square: float, largest_bits: int, pair: str = "") -> None:
        with self._lock:
            self.pairs |= {pair} - {""}
            self.written += written
            self.delta_square += delta_square
            self.largest_bits = max(self.largest_bits, largest_bits)
            now = time.monotonic()
            if now - self._reported > REPORT_SECONDS or self.written == self.total:
                self._reported = now
                progress.update(self.written / 1e6, self.total / 1e6, "MB")

    @property
    def largest_weight(self) -> float:
        import numpy as np

        return float(np.uint16(self.largest_bits).view(np.float16))


def merge(base: Checkpoint, data: Dataset, adapter: Adapter | None, out: Path, *, nf4: bool = False) -> Merged:
    """Write the merged checkpoint into `out`; without an adapter, the base in FP16. With `nf4`, the
    linear layers of the base are rounded to NF4 first."""
    # Every core multiplies blocks of its own below; with OpenBLAS's threads on top it takes 4 times as long.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from packager import weights

    settings = _base_config(base.folder)
    tensors = weights.checkpoint(base.folder)
    if settings.get("tie_word_embeddings") and "model.embed_tokens.weight" in tensors:
        tensors.pop("lm_head.weight", None)  # transformers ignores it too: the embedding is the head
    pairs: dict[str, lora.Pair] = {}
    expected, named = 0.0, set[str]()
    source = tensors
    if adapter is not None:
        reason = lora.unusual(adapter.folder)
        if reason:
            source, expected, named = _by_peft(base, adapter, tensors, out, reason)
        else:
            pairs = lora.read_pairs(adapter.folder, tensors)
            expected, named = math.sqrt(sum(p.expected_square for p in pairs.values())), set(pairs)
    compare = tensors if source is not tensors else {}
    tally = _stream(source, pairs, compare, out, nf4=nf4)
    shutil.rmtree(out / PEFT_FOLDER, ignore_errors=True)
    _carry(base.folder, data.folder, settings, out)
    return Merged(
        **base.model_dump(exclude={"folder", "key", "weights_sha256"}),
        folder=out,
        pairs_used=len(tally.pairs) if pairs else len(named),
        pairs_total=len(named),
        delta_norm=math.sqrt(tally.delta_square),
        delta_norm_expected=expected,
        largest_weight=tally.largest_weight,
    )


def _stream(
    tensors: Mapping[str, Tensor],
    pairs: Mapping[str, lora.Pair],
    compare: Mapping[str, Tensor],
    out: Path,
    *,
    nf4: bool = False,
) -> Tally:
    """Write every tensor in FP16 (integers as they are), in blocks of rows, on all cores.

    The change is measured where there is a pair, or against `compare` where that names a tensor.
    With `nf4`, the linear layers of the body are rounded to NF4 first.
    """
    from packager import weights
    from packager.reference import round_trip

    layout = [(t.name, "F16" if t.dtype in weights.FLOATS else t.dtype, t.shape) for t in tensors.values()]
    tally = Tally(sum(math.prod(shape) * weights.WIDTHS[dtype] for _, dtype, shape in layout))
    with weights.Reader() as reader, weights.Writer(out, layout) as writer:

        def work(job: tuple[Tensor, int, int]) -> None:
            tensor, start, stop = job
            if tensor.dtype not in weights.FLOATS:
                raw = reader.raw(tensor, start, stop)
                writer.write(tensor.name, start, raw)
                tally.add(len(raw), 0.0, 0)
                return
            pair, before = pairs.get(tensor.name), compare.get(tensor.name)
            rounded = round_trip(reader.rows(tensor)) if nf4 and _is_rounded(tensor) else None
            for _, first, last in _blocks(tensor) if rounded is not None else [(tensor, start, stop)]:
                old = rounded[first:last] if rounded is not None else None
                found = _block(reader, writer, tensor, first, last, pair, before, old)
                tally.add(*found, tensor.name if pair else "")

        # A matrix that is rounded is held whole: one at a time.
        with concurrent.futures.ThreadPoolExecutor(1 if nf4 else proc.physical_cores()) as pool:
            jobs = [pool.submit(work, job) for tensor in tensors.values() for job in _blocks(tensor, whole=nf4)]
            try:
                for job in jobs:
                    job.result()
            finally:
                pool.shutdown(cancel_futures=True)
    return tally


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


def _block(
    reader: Reader,
    writer: Writer,
    tensor: Tensor,
    start: int,
    stop: int,
    pair: lora.Pair | None,
    before: Tensor | None,
    old: Float32 | None,
) -> tuple[int, float, int]:
    """Merge and write rows [start, stop): bytes written, ||change||^2, largest |weight| as FP16 bits.

    `old` are the rows to merge into, where they are not those of the file.
    """
    import numpy as np

    from packager.weights import from_half

    if tensor.dtype == "F16" and pair is None and old is None:  # nothing to compute; copied bit by bit
        bits: npt.NDArray[np.uint16] = np.frombuffer(reader.raw(tensor, start, stop), np.uint16)
    else:
        old = reader.rows(tensor, start, stop) if old is None else old
        new = old if pair is None else old + pair.scale * (pair.b[start:stop] @ pair.a)
        with np.errstate(over="ignore"):  # found below, and named
            bits = new.astype(np.float16).view(np.uint16)
    largest = int((bits & 0x7FFF).max(initial=0))
    if largest >= LARGEST_BITS:
        raise ProofFailed(
            f"merge.finite: a merged weight of {tensor.name} is not finite in FP16 (|w| >= 65504).",
            "train with a lower learning rate or alpha; a base made for bfloat16 may not fit FP16",
        )
    writer.write(tensor.name, start, bits.data)
    if before is not None:
        old = reader.rows(before, start, stop)
    if old is None or (pair is None and before is None):
        return bits.nbytes, 0.0, largest
    change = from_half(bits.ravel()) - old.ravel()
    return bits.nbytes, float(np.dot(change, change)), largest


PEFT_FOLDER = "peft.partial"


def _by_peft(
    base: Checkpoint, adapter: Adapter, tensors: Mapping[str, Tensor], out: Path, reason: str
) -> tuple[dict[str, Tensor], float, set[str]]:
    """Merge an unusual adapter with peft, in memory and float32: its tensors, ||change||, adapted weights."""
    import numpy as np
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from packager import weights

    progress.note(f"merging with peft ({reason}); this takes {base.parameters * 8 / 1e9:.1f} GB of memory")
    plain = AutoModelForCausalLM.from_pretrained(base.folder, dtype=torch.float32)
    merged = PeftModel.from_pretrained(plain, adapter.folder).merge_and_unload()
    merged.save_pretrained(out / PEFT_FOLDER)
    del plain, merged
    made = weights.checkpoint(out / PEFT_FOLDER)
    named = lora.adapted(adapter.folder)
    missing = sorted(named - (made.keys() & tensors.keys()))
    if missing or made.keys() != tensors.keys():
        odd = missing or sorted(made.keys() ^ tensors.keys())
        raise ProofFailed(f"merge.pairs: {odd[0]} is not in base and merged model alike.", "use plain LoRA")
    square = 0.0
    with weights.Reader() as reader:
        for tensor in (t for t in made.values() if t.dtype in weights.FLOATS):
            for _, start, stop in _blocks(tensor):
                change = reader.rows(tensor, start, stop) - reader.rows(tensors[tensor.name], start, stop)
                square += float(np.dot(change.ravel(), change.ravel()))
    return {name: made[name] for name in tensors}, math.sqrt(square), named


def _base_config(folder: Path) -> dict[str, Any]:
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


def _carry(base: Path, data: Path, settings: Mapping[str, Any], out: Path) -> None:
    """Copy what belongs beside the weights; the chat template comes from the data stage alone."""
    for path in sorted(base.iterdir()):
        if path.is_file() and CARRIED.fullmatch(path.name) and path.name != "tokenizer_config.json":
            shutil.copyfile(path, out / path.name)
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
