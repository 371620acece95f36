"""Importance matrices: how strongly each column of each matrix is used, in llama.cpp's own GGUF layout.

Sums of squared inputs by the name of a checkpoint's layer -> `imatrix.gguf`, as llama-imatrix writes
it (tools/imatrix/imatrix.cpp: `NAME.in_sum2` and `NAME.counts`) -> mean squares by tensor name, as
the quantizer takes them. A layer that the converter takes apart or joins has no name there and is
left out. `read_imatrix` raises `ValueError` for a file that is not one.
"""

from __future__ import annotations

import ast
import functools
import importlib
import sys
import types
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packager.llamacpp.converter import parsed_module
from packager.llamacpp.vendored import converter
from packager.process import progress

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Float32 = npt.NDArray[np.float32]
    Float64 = npt.NDArray[np.float64]

IMATRIX = "imatrix.gguf"
"""What the file is called beside a checkpoint."""
SUMS, COUNTS = ".in_sum2", ".counts"
_NAMES = "packager_vendored_gguf"


def tensor_names(architecture: str, layers: Iterable[str], blocks: int) -> dict[str, str]:
    """GGUF tensor names of a checkpoint's `layers` (model.layers.0.self_attn.q_proj -> blk.0.attn_q.weight),
    by the tables of the vendored gguf-py. Layers that it has no name for are left out."""
    arch = _gguf_architecture(architecture)
    if not arch:
        return {}
    tables = _name_tables()
    names = tables.get_tensor_name_map(tables.MODEL_ARCH[arch], blocks)
    found = {layer: names.get_name(layer) for layer in layers}
    return {layer: f"{name}.weight" for layer, name in found.items() if name}


def write_imatrix(path: Path, sums: Mapping[str, Float64], tokens: int, dataset: str) -> None:
    """Write sums of squared inputs [columns] over `tokens` tokens, by GGUF tensor name; `dataset` says of what."""
    import numpy as np
    from gguf import GGUFWriter

    writer = GGUFWriter(path, arch="")
    writer.add_type("imatrix")
    writer.add_array("imatrix.datasets", [dataset])
    writer.add_uint32("imatrix.chunk_count", 1)
    writer.add_uint32("imatrix.chunk_size", tokens)
    for name in sorted(sums):
        writer.add_tensor(name + SUMS, sums[name].astype(np.float32)[None])
        writer.add_tensor(name + COUNTS, np.full((1, 1), tokens, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def read_imatrix(path: Path) -> dict[str, Float32]:
    """Mean squared inputs [columns] by GGUF tensor name."""
    import numpy as np
    from gguf import GGUFReader

    try:
        tensors = {t.name: np.array(t.data, np.float32) for t in GGUFReader(path).tensors}
        sums = {n.removesuffix(SUMS): data.ravel() for n, data in tensors.items() if n.endswith(SUMS)}
        return {name: total / tensors[name + COUNTS].item() for name, total in sums.items()}
    except (KeyError, IndexError, OverflowError, TypeError, ValueError) as error:
        raise ValueError(f"{path.name} is not a readable importance matrix: {error}") from error


def importance_for(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Float32]:
    """The importance of columns that the merge stage noted in `path`, for the tensors of `shapes`; none without it."""
    if not path.is_file():
        return {}
    noted = read_imatrix(path)
    columns = {name: values for name, values in noted.items() if shapes.get(name, ())[:1] == values.shape}
    matrices = [name for name, shape in shapes.items() if len(shape) > 1 and name.startswith("blk.")]
    if without := [name for name in matrices if name not in columns]:
        progress.note(f"{len(without)} of {len(matrices)} matrices have no importance, {without[0]} first")
    return columns


@functools.cache
def _name_tables() -> Any:
    """gguf-py's tensor_mapping as vendored: the tables that the converter names tensors by. Its own
    package is not imported, because the installed gguf has the same name."""
    package = types.ModuleType(_NAMES)
    package.__path__ = [str(converter().parent / "gguf-py" / "gguf")]
    sys.modules[_NAMES] = package
    return importlib.import_module(f"{_NAMES}.tensor_mapping")


@functools.cache
def _gguf_architecture(architecture: str) -> str:
    """The member of MODEL_ARCH that the converter gives an architecture of config.json ('' if none)."""
    classes = [node for node in parsed_module(architecture) if isinstance(node, ast.ClassDef)]
    by_name = {c.name: c for c in classes}
    for found in classes:
        if architecture in _registered(found) and (arch := _arch_of(found, by_name)) not in ("", "MMPROJ"):
            return arch
    return ""


def _registered(found: ast.ClassDef) -> set[str]:
    calls = [d for d in found.decorator_list if isinstance(d, ast.Call) and ast.unparse(d.func) == "ModelBase.register"]
    return {a.value for call in calls for a in call.args if isinstance(a, ast.Constant) and isinstance(a.value, str)}


def _arch_of(found: ast.ClassDef, by_name: Mapping[str, ast.ClassDef]) -> str:
    """`model_arch = gguf.MODEL_ARCH.X` in a class, or in what it inherits from in the same module."""
    for node in found.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "model_arch":
            return ast.unparse(node.value).rpartition(".")[2]
    inherited = (by_name[ast.unparse(b)] for b in found.bases if ast.unparse(b) in by_name)
    return next(filter(None, (_arch_of(b, by_name) for b in inherited)), "")
