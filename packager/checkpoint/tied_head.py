"""A base that says its head is its embedding -> whether that is so.

What trains, what merges and what converts may take one or the other where a file holds both and its
configuration ties them: transformers runs a head of its own where it differs, llama.cpp's converter and the merge
leave it out. So the model that was trained would not be the one that is packaged.
"""

from __future__ import annotations

import json
from pathlib import Path

from packager.artifacts.checks import Check, verdict

HEAD, TABLE = "lm_head.weight", "model.embed_tokens.weight"
ROWS = 1024
"""Rows compared at once."""


def tied(folder: Path) -> list[Check]:
    """`merge.tied_head`, for a base in `folder` whose configuration ties a head that lies in its files."""
    from packager.checkpoint import weights

    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    tensors = weights.checkpoint(folder)
    if not config.get("tie_word_embeddings") or not {HEAD, TABLE} <= tensors.keys():
        return []
    odd = _unlike(folder)
    says = (
        f"config.json ties the head to the embedding, and {odd} rows of the head that lies beside it differ: training "
        "ran with that head, the package would not. Set tie_word_embeddings to false in the base's config.json."
        if odd
        else "The head that lies beside the embedding is the embedding."
    )
    return [verdict("merge.tied_head", odd, 0, "rows", not odd, says)]


def _unlike(folder: Path) -> int:
    """Rows of the head that are not the embedding's."""
    from packager.checkpoint import weights

    tensors = weights.checkpoint(folder)
    head, table = tensors[HEAD], tensors[TABLE]
    if head.shape != table.shape:
        return head.rows
    found = 0
    with weights.Reader() as reader:
        for start in range(0, head.rows, ROWS):
            stop = min(start + ROWS, head.rows)
            both = (reader.rows(tensor, start, stop) for tensor in (head, table))
            found += int((next(both) != next(both)).any(axis=1).sum())
    return found
