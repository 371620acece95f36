"""A checkpoint, still to be trained or merged -> whether llama.cpp's converter may have it, and the weights that
the file must then hold.

Fails with `InputError` for an unknown architecture and for code in the folder, with `ProofFailed` for a
tokenizer that cannot be converted faithfully and for files that do not belong together.
"""

from __future__ import annotations

import json
from pathlib import Path

from packager.artifacts.kinds import Checkpoint
from packager.checkpoint import weights
from packager.errors import InputError, ProofFailed
from packager.llamacpp.converter import known_architectures, tokenizer_problem
from packager.proof.converted import vocabulary_of

BUFFERS = (".attention.masked_bias", ".attention.bias", ".rotary_emb.inv_freq")
"""Endings of tensors that the converter leaves out: they are computed, not trained."""


def converted_parameters(folder: Path) -> int:
    """The checkpoint's parameters without those that the converter leaves out."""
    return sum(t.elements for t in weights.checkpoint(folder).values() if not t.name.endswith(BUFFERS))


def refuse_unconvertible(checkpoint: Checkpoint) -> None:
    """Nothing but a known architecture with a known tokenizer and no code reaches the converter."""
    if code := sorted(checkpoint.folder.rglob("*.py")):
        raise InputError(f"The checkpoint holds code: {code[0].name}.", "use a base without its own code")
    for name in ("config.json", "tokenizer_config.json"):
        if json.loads((checkpoint.folder / name).read_text(encoding="utf-8")).get("auto_map"):
            raise InputError(f"{name} refers to code (auto_map).", "use a base without its own code")
    if checkpoint.architecture not in known_architectures():
        raise InputError(
            f"llama.cpp's converter does not know {checkpoint.architecture}.",
            "use a Llama, Qwen2, Phi-3 or another architecture of llama.cpp's converter",
        )
    if problem := tokenizer_problem(checkpoint.folder):
        raise ProofFailed(
            f"convert.tokenizer: the tokenizer of {checkpoint.source} cannot be converted: {problem}.",
            "use another base",
        )
    table = weights.checkpoint(checkpoint.folder).get("model.embed_tokens.weight")
    vocabulary, last = vocabulary_of(checkpoint.folder)
    rows = table.rows if table else vocabulary
    if not last < vocabulary == rows:
        raise ProofFailed(
            f"convert.vocabulary: config.json has {vocabulary} tokens, the embedding {rows} rows, and the tokenizer's "
            f"last token is {last}.",
            "use a base whose files belong together",
        )
