"""A base that was found -> the tensors that its GGUF file will hold, by llama.cpp's names, before it is converted."""

from __future__ import annotations

import re

from packager.checkpoint.locate import Located
from packager.llamacpp.gguf_file import tensor_shapes
from packager.llamacpp.imatrix import tensor_names

_BLOCK = re.compile(r"\.(\d+)\.")


def shapes_in_gguf(base: Located) -> dict[str, tuple[int, ...]]:
    """Shapes in ggml's order, (columns, rows, ...); empty where the names cannot be told beforehand.

    Of weights, not of norms and biases, which no type of blocks is for.
    """
    if base.is_gguf:
        return tensor_shapes(base.path)
    matrices = {name.removesuffix(".weight"): shape for name, shape in base.shapes.items() if len(shape) > 1}
    blocks = 1 + max((int(m[1]) for name in matrices if (m := _BLOCK.search(name))), default=-1)
    names = tensor_names(base.architecture, matrices, blocks)
    return {name: tuple(reversed(matrices[layer])) for layer, name in names.items()}
