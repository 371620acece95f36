"""Is the head of a checkpoint its embedding, or one of its own?

config.json and every tensor's shape -> nothing, or why training and package would use different heads.
Where config.json says that the two are one and the file holds a head all the same, the bytes of both are
compared; an equal copy does no harm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from packager.checkpoint.layer_tensors import LAYERS, setting
from packager.checkpoint.layout import HEADS, Shapes, embedding
from packager.checkpoint.weights import Reader, Tensor
from packager.errors import InputError

BLOCK_BYTES = 1 << 24
"""Bytes of a tensor in memory at once."""

Equal = Callable[[str, str], bool]
"""Do the two tensors of these names hold the same bytes?"""


def head_problem(config: Mapping[str, Any], shapes: Shapes, equal: Equal) -> InputError | None:
    """What is wrong with the head; `equal` is asked only where there are two of one shape."""
    table, head = embedding(shapes), next((name for name in HEADS if name in shapes), "")
    tied = setting(config, "tie_word_embeddings")
    said = "config.json says" if "tie_word_embeddings" in config else "this class of model means"
    if not table:
        return None
    if tied and head:
        if shapes[head] == shapes[table] and equal(table, head):
            return None
        return InputError(
            f"{said} tie_word_embeddings: true, that the head is the embedding, but the weights hold a {head} that"
            " differs from it; training would use one and the package the other.",
            "if the head is the right one, write tie_word_embeddings: false into config.json; if not, save the base"
            f" without {head}",
        )
    if not tied and not head and config.get("model_type") in LAYERS:
        return InputError(
            f"The weights hold no head (lm_head.weight), and {said} tie_word_embeddings: false, that it is not the"
            " embedding; it would be drawn at random.",
            "download the base model again; if its card says that the two are one, write tie_word_embeddings: true"
            " into config.json",
        )
    return None


def equal_on_disk(tensors: Mapping[str, Tensor]) -> Equal:
    """Compares whole tensors in files, a block of rows at a time."""

    def equal(one: str, other: str) -> bool:
        a, b = tensors[one], tensors[other]
        if (a.dtype, a.shape) != (b.dtype, b.shape):
            return False
        with Reader() as reader:
            return all(reader.raw(a, *rows) == reader.raw(b, *rows) for rows in _blocks(a))

    return equal


def named_otherwise(equal: Equal, stored: Mapping[str, str]) -> Equal:
    """The same comparison for tensors that `equal` knows by the names in `stored`."""
    return lambda one, other: equal(stored[one], stored[other])


def _blocks(tensor: Tensor) -> Iterator[tuple[int, int]]:
    step = max(1, BLOCK_BYTES // max(1, tensor.row_bytes))
    for start in range(0, tensor.rows, step):
        yield start, min(start + step, tensor.rows)
