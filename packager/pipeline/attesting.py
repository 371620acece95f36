"""A finished build -> a folder from which anybody with the base makes its files again (`packager verify --rebuild`).

It holds the adapter, the frozen chat template, the importance matrix and `attestation.json`; no row of the data. Fails
with `InputError` if the package is not what its recipe says.
"""

from __future__ import annotations

import shutil
from importlib import metadata
from pathlib import Path
from typing import TypeVar

from packager import __version__
from packager.artifacts.attestation import ATTESTATION, FORMAT, Attestation
from packager.artifacts.files import fresh, sha256_of, write_atomically
from packager.artifacts.kinds import Adapter, Artifact, Checkpoint, Dataset, Ggufs, Merged
from packager.checkpoint import lora, tensor_hashes
from packager.llamacpp import rounding, vendored
from packager.llamacpp.imatrix import IMATRIX
from packager.package.manifest import public
from packager.pipeline import pins, plan
from packager.prompt.template import TEMPLATE_FILE
from packager.recipe.recipe import Recipe
from packager.recipe.sections import Base

A = TypeVar("A", bound=Artifact)
TOOLS = ("torch", "transformers", "bitsandbytes", "numpy", "gguf", "llama_cpp_python")
FOLDER = "attest"


def attest(recipe: Recipe, folder: Path) -> Path:
    """Write the folder `attest` into the run folder and return it."""
    recipe = pins.known(recipe, folder)
    made = plan.finished(recipe, folder)
    base, data, merged, f16, ggufs = (made[name] for name in ("base", "data", "merged", "f16", "gguf"))
    adapter = made.get("adapter")
    assert isinstance(base, Checkpoint)
    assert isinstance(data, Dataset)
    assert isinstance(merged, Merged)
    assert isinstance(f16, Ggufs)
    assert isinstance(ggufs, Ggufs)
    assert adapter is None or isinstance(adapter, Adapter)
    out = fresh(folder / f"{FOLDER}.partial")
    carried = [data.folder / TEMPLATE_FILE]
    carried += [adapter.folder / name for name in (lora.WEIGHTS, lora.CONFIG)] if adapter else []
    carried += [merged.folder / IMATRIX] if recipe.quantize.imatrix else []
    for path in carried:
        shutil.copyfile(path, out / path.name)
    known = Attestation(
        format=FORMAT,
        packager=__version__,
        recipe=recipe.name,
        language=recipe.language,
        context=recipe.serve.context,
        source=Base.model_validate(public(recipe.base.model_dump(mode="json"))),
        base=_bare(base),
        data=_bare(data),
        adapter=_bare(adapter) if adapter else None,
        merged=_bare(merged),
        quantize=recipe.quantize,
        tools={name: metadata.version(name) for name in TOOLS},
        llama_cpp=vendored.commit(),
        rounding=rounding.fingerprint(),
        sha256={path.name: sha256_of(out / path.name) for path in carried},
        merged_tensors=tensor_hashes.of_checkpoint(merged.folder),
        f16=f16.files[0].sha256,
        f16_tensors=tensor_hashes.of_gguf(f16.folder / f16.files[0].name),
        files={file.type: file.sha256 for file in ggufs.files},
    )
    write_atomically(out / ATTESTATION, known.model_dump_json(indent=1) + "\n")
    shutil.rmtree(folder / FOLDER, ignore_errors=True)
    return out.rename(folder / FOLDER)


def _bare(artifact: A) -> A:
    """Without the folder of this machine."""
    return artifact.model_copy(update={"folder": Path(), "content": ""})
