"""Base + an adapter that only peft can merge -> the merged tensors, on disk, and how far they moved.

Takes the whole model in memory, in float32, and says so. Fails with `ProofFailed` (merge.pairs) if an
adapted weight is not in base and merged model alike.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from packager.artifacts.kinds import Adapter, Checkpoint
from packager.checkpoint import lora
from packager.errors import ProofFailed
from packager.process import progress

if TYPE_CHECKING:
    from packager.checkpoint.weights import Tensor

FOLDER = "peft.partial"
"""In the folder that is written, for peft's own files while they are read."""
BLOCK = 1 << 22
"""Elements compared at once."""


def by_peft(
    base: Checkpoint, adapter: Adapter, tensors: Mapping[str, Tensor], out: Path, reason: str
) -> tuple[dict[str, Tensor], float, set[str]]:
    """Merge an unusual adapter with peft, in memory and float32: its tensors, ||change||, adapted weights."""
    import numpy as np
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from packager.checkpoint import weights

    progress.note(f"merging with peft ({reason}); this takes {base.parameters * 8 / 1e9:.1f} GB of memory")
    plain = AutoModelForCausalLM.from_pretrained(base.folder, dtype=torch.float32)
    merged = PeftModel.from_pretrained(plain, adapter.folder).merge_and_unload()
    merged.save_pretrained(out / FOLDER)
    del plain, merged
    made = weights.checkpoint(out / FOLDER)
    named = lora.adapted(adapter.folder)
    missing = sorted(named - (made.keys() & tensors.keys()))
    if missing or made.keys() != tensors.keys():
        odd = missing or sorted(made.keys() ^ tensors.keys())
        raise ProofFailed(f"merge.pairs: {odd[0]} is not in base and merged model alike.", "use plain LoRA")
    square = 0.0
    with weights.Reader() as reader:
        for tensor in (t for t in made.values() if t.dtype in weights.FLOATS):
            for start in range(0, tensor.rows, step := max(1, BLOCK * tensor.rows // max(1, tensor.elements))):
                stop = min(start + step, tensor.rows)
                change = reader.rows(tensor, start, stop) - reader.rows(tensors[tensor.name], start, stop)
                square += float(np.dot(change.ravel(), change.ravel()))
    return {name: made[name] for name in tensors}, math.sqrt(square), named
