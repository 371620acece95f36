"""The weights of a base on the Hub, as far as they are known without fetching them.

Repo -> every tensor's shape, and whether two tensors are equal, by range requests. Weights that are in the
cache already are read there, so a base that was fetched once needs no network.
"""

from __future__ import annotations

import json
from pathlib import Path

from packager.checkpoint import output_head, weights
from packager.checkpoint.layout import Shapes
from packager.checkpoint.output_head import Equal
from packager.errors import InputError
from packager.hub import headers
from packager.hub.reading import Repo

SAMPLE = 1 << 18
"""Bytes that are compared of each of two tensors, at their start, middle and end."""


def remote_weights(repo: Repo, folder: Path) -> tuple[Shapes, Equal]:
    """The shapes of a repo's tensors, and how to compare two; `folder` is what the cache holds of it.

    Raises `InputError` (a damaged file, shards that the index does not name) or `MissingResource`.
    """
    if all((folder / name).is_file() for name in repo.weights):
        tensors = weights.checkpoint(folder)
        return {name: one.shape for name, one in tensors.items()}, output_head.equal_on_disk(tensors)
    found = headers.fetch_headers(repo)
    odd = next((name for name, one in found.items() if one.dtype not in weights.WIDTHS), "")
    if odd:
        raise InputError(
            f"{odd} of {repo.name} is {found[odd].dtype}, a quantized or unknown type.",
            "set base.model to its full-precision twin",
        )
    check_index(folder, {name: one.file for name, one in found.items()}, repo.weights)

    def equal(one: str, other: str) -> bool:
        a, b = found[one], found[other]
        if a.dtype != b.dtype or a.end - a.begin != b.end - b.begin:
            return False
        size = a.end - a.begin
        for start in sorted({0, size // 2, max(0, size - SAMPLE)}):
            stop = min(start + SAMPLE, size)
            x, y = (headers.fetch_bytes(repo, t.file, t.begin + start, t.begin + stop)[0] for t in (a, b))
            if x != y:
                return False
        return True

    return {name: one.shape for name, one in found.items()}, equal


def check_index(folder: Path, places: dict[str, str], files: tuple[str, ...]) -> None:
    """Raises `InputError` unless several files have an index, and it names the tensors that they hold."""
    path = folder / weights.INDEX
    if not path.is_file():
        weights.whole_set(files)
        return
    try:
        said = json.loads(path.read_text(encoding="utf-8"))["weight_map"]
        wrong = sorted(name for name in {*said, *places} if said.get(name) != places.get(name))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path.name} is damaged: {error}", "download it again") from error
    if wrong:
        raise weights.index_error(wrong, said, places)
