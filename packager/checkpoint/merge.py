"""Base + adapter -> the merged checkpoint: FP16 safetensors, config, tokenizer, chat template.

The arithmetic is in `merge_blocks.py`; adapters of another kind go through peft. Fails with `ProofFailed` if
an adapter matrix finds no base weight or a merged weight does not fit FP16, with `InputError` for a base that
is quantized or brings its own code.
"""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packager.artifacts.files import write_json
from packager.artifacts.kinds import Adapter, Checkpoint, Dataset, Merged
from packager.checkpoint import lora, merge_by_peft
from packager.checkpoint.merge_blocks import write_merged
from packager.errors import InputError
from packager.prompt.template import TEMPLATE_FILE

if TYPE_CHECKING:
    from packager.checkpoint.weights import Tensor

CARRIED = re.compile(
    r"(tokenizer.*\.(json|model)|special_tokens_map\.json|added_tokens\.json|vocab\.(json|txt)|merges\.txt"
    r"|generation_config\.json)"
)
"""Files of the base that the converter and transformers read; never code."""


def merge_adapter(base: Checkpoint, data: Dataset, adapter: Adapter | None, out: Path, *, nf4: bool = False) -> Merged:
    """Write the merged checkpoint into `out`; without an adapter, the base in FP16. With `nf4`, the
    linear layers of the base are rounded to NF4 first."""
    from packager.checkpoint import weights

    settings = _base_config(base.folder)
    tensors = weights.checkpoint(base.folder)
    if settings.get("tie_word_embeddings") and "model.embed_tokens.weight" in tensors:
        tensors.pop("lm_head.weight", None)  # transformers ignores it too: the embedding is the head
    pairs: dict[str, lora.Pair] = {}
    compare: dict[str, Tensor] = {}
    expected, named = 0.0, set[str]()
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
    tally = write_merged(source, pairs, compare, out, nf4=nf4)
    if pairs:
        from_adapter = sum(p.expected_square for p in pairs.values() if p.magnitude is None)
        expected = math.sqrt(from_adapter + tally.expected_square)
    shutil.rmtree(out / merge_by_peft.FOLDER, ignore_errors=True)
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
