"""Base + adapter -> the merged checkpoint: FP16 safetensors, config, tokenizer, chat template.

W + s B A, and what DoRA makes of it, is computed in `merge_writing.py`; other adapters go through peft. What changed
is measured on the bytes that are written. Fails with `ProofFailed` if an adapter matrix finds no base weight or a
merged weight does not fit FP16, with `InputError` for a base that is quantized or brings its own code.
"""

from __future__ import annotations

import contextlib
import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packager.artifacts.files import json_text
from packager.artifacts.kinds import Adapter, Checkpoint, Dataset, Merged
from packager.checkpoint import lora, merge_by_peft
from packager.checkpoint.change import Change, moved
from packager.checkpoint.matrices import Matrices, opened
from packager.checkpoint.merge_writing import Merge, write_merged
from packager.errors import InputError
from packager.prompt.template import TEMPLATE_FILE, TOKENIZER_FILES

if TYPE_CHECKING:
    from packager.checkpoint.weights import Tensor


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
    linear layers of the base are rounded to NF4 first. Computed on the GPU of `matrices`, where they lie on one."""
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
    with contextlib.nullcontext(matrices) if matrices or not nf4 else opened() as given:
        tally = write_merged(Merge(source, pairs, meant, compare, given, nf4), out)
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


def _as_trained(pairs: Mapping[str, lora.Pair], adapter: Adapter | None) -> dict[str, lora.Pair]:
    """The pairs with the scale that peft's modules had in training, where training noted it."""
    trained = adapter.as_trained if adapter else None
    return {name: replace(pair, scale=trained.scale) if trained else pair for name, pair in pairs.items()}


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
    (out / "tokenizer_config.json").write_text(json_text(tokenizer), encoding="utf-8")  # synced with the weights
    shutil.copyfile(data / TEMPLATE_FILE, out / TEMPLATE_FILE)
    kept = {k: v for k, v in settings.items() if k not in ("torch_dtype", "_name_or_path")}
    (out / "config.json").write_text(json_text(kept | {"dtype": "float16"}), encoding="utf-8")


def _json(path: Path) -> dict[str, Any]:
    try:
        value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path.name} is not readable: {error}", "fetch the base model or train again") from error
    return value
