"""Rows of the data stage, end to end -> texts that reach past what a model does otherwise beyond some length.

Beyond a window or the length it was first trained for, a model attends or turns its positions in another way, and
a runtime may choose that way by the context it was opened with and not by the text. So some texts are as long.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from packager.prompt.corpus import CORPUS, read_conversations
from packager.prompt.masking import Encoded
from packager.prompt.template import load_template, load_tokenizer, token_ids

BOUNDARIES = ("sliding_window", "original_max_position_embeddings", "attention_chunk_size")
"""Fields of config.json, and of its rope settings, that say from which position on a model computes otherwise."""
PAST = 64
"""Tokens beyond a boundary."""
POSITIONS = 48
"""Predictions compared in a long text: half of them beyond the boundary."""
WORK = 1e13
"""Parameters times tokens that a text may cost: some three minutes of two AVX2 cores in F16."""


def boundaries(folder: Path, context: int) -> list[int]:
    """The positions from which on the checkpoint in `folder` computes otherwise, ascending; those only that a
    prediction within `context` lies beyond."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config = config.get("text_config") or config
    ropes = [config.get(name) or {} for name in ("rope_scaling", "rope_parameters")]
    places: list[Mapping[str, Any]] = [config, *ropes, *(v for r in ropes for v in r.values() if isinstance(v, dict))]
    found = {place.get(name) for place in places for name in BOUNDARIES}
    if config.get("use_sliding_window") is False:
        found -= {config.get("sliding_window")}
    return sorted(b for b in found if isinstance(b, int) and 0 < b < context - 1)


def long_samples(model: Path, data: Path, context: int, parameters: int) -> tuple[list[Encoded], list[int]]:
    """One text past each boundary of the checkpoint in `model`, made of the rows in `data`, and the boundaries that
    are too far to be reached in bounded time."""
    found, too_far = [], []
    for boundary in boundaries(model, context):
        length = min(context, boundary + PAST)
        if parameters * length > WORK:
            too_far.append(boundary)
        else:
            found.append(_sample(_tokens(data, length), boundary))
    return found, too_far


def _tokens(data: Path, length: int) -> list[int]:
    """So many tokens of the corpus and the rows, as they are rendered; from the first again if there are too few."""
    template, tokenizer = load_template(data), load_tokenizer(data)
    files = [data / name for name in (CORPUS, "heldout.jsonl", "train.jsonl")]
    found: list[int] = []
    rows = [row for path in files if path.is_file() for row in read_conversations(path)]
    for row in itertools.cycle(rows):
        found += token_ids(tokenizer, template.render(row, add_generation_prompt=False))
        if len(found) >= length:
            return found[:length]
    return found


def _sample(ids: Sequence[int], boundary: int) -> Encoded:
    """Positions on both sides of the boundary."""
    half = POSITIONS // 2
    before = range(0, boundary, max(1, boundary // half))
    after = range(boundary, len(ids) - 1, max(1, (len(ids) - 1 - boundary) // half))
    return Encoded.predicting(ids, {*before, *after} & set(range(len(ids) - 1)))
