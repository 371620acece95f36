"""A package's folder -> whole: weights, Modelfiles, the files for Ollama on the Hub, its bill of materials,
and SHA256SUMS over all of it.

Fails with `ProofFailed` for weights that changed after they were proven and for files that do not read back,
with `StageCrash` if a text would tell a folder of this machine or a token.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from packager.artifacts.files import hashes_of, link_or_copy, sha256_of, write_atomically
from packager.artifacts.kinds import Ggufs, Modelfile
from packager.artifacts.knowledge import Knowledge
from packager.errors import ProofFailed, StageCrash
from packager.package.bom import BOM, Part, bom_of
from packager.package.manifest import packed_name
from packager.package.verify import CHECKSUMS
from packager.process.secrets import holds_path, holds_secret
from packager.prompt.ollama.hub_files import hub_differences, hub_files
from packager.prompt.ollama.modelfile import kv_note, with_from
from packager.recipe.recipe import Recipe


def put_weights(recipe: Recipe, ggufs: Ggufs, out: Path) -> None:
    """Every GGUF file under its name in the package."""
    for file in ggufs.files:
        link_or_copy(ggufs.folder / file.name, out / packed_name(recipe, file))


def put_knowledge(knowledge: Knowledge | None, out: Path) -> None:
    """Every file of the approved material, if there is any, under its own name; rows to train on stay here."""
    if knowledge:
        for name in knowledge.files:
            link_or_copy(knowledge.folder / name, out / name)


def write_modelfiles(recipe: Recipe, ggufs: Ggufs, modelfile: Modelfile, licence: str, out: Path) -> None:
    """One for every file; that of the first is called `Modelfile` and stands for Ollama on the Hub too."""
    for number, file in enumerate(ggufs.files):
        name = "Modelfile" if number == 0 else f"Modelfile.{file.type}"
        text = with_from(modelfile.text, packed_name(recipe, file), licence)
        write_atomically(out / name, text + kv_note(recipe.serve.kv))
    _for_ollama_on_the_hub(out)


def close(recipe: Recipe, ggufs: Ggufs, parts: Sequence[Part], out: Path) -> tuple[str, ...]:
    """Write the bill of materials and SHA256SUMS; returns the name of every file."""
    paths = sorted(p for p in out.iterdir() if p.name != "key")
    sums = {path.name: sha256 for path, sha256 in zip(paths, hashes_of(paths), strict=True)}
    for file in ggufs.files:  # hashed again: what was proven is what is packed
        if sums[packed_name(recipe, file)] != file.sha256:
            raise ProofFailed(f"{file.name} changed after it was proven.", "run the build with --verify")
    write_atomically(out / BOM, bom_of(recipe.name, "package", parts, sums))
    sums[BOM] = sha256_of(out / BOM)
    write_atomically(out / CHECKSUMS, "".join(f"{sums[name]}  {name}\n" for name in sorted(sums)))
    return (*sorted(sums), CHECKSUMS)


def refuse_private(out: Path, folders: Sequence[Path]) -> None:
    """No folder of this build and nothing like a token may be in a text file of the package."""
    for path in sorted(out.iterdir()):
        if path.suffix in (".gguf", ".bin", ".pdf"):
            continue
        text = path.read_text(encoding="utf-8")
        private = [str(folder) for folder in folders if len(folder.parts) > 1 and holds_path(text, str(folder))]
        if private or holds_secret(text.encode()):
            what = private[0] if private else "something that looks like a token"
            raise StageCrash(f"{path.name} would contain {what}; it was not packaged.", "remove it from the recipe")
        if path.suffix == ".json":
            json.loads(text)


def _for_ollama_on_the_hub(out: Path) -> None:
    """Write `template`, `system` and `params`, and read them back against the Modelfile."""
    modelfile = (out / "Modelfile").read_text(encoding="utf-8")
    names = hub_files(modelfile)
    for name, text in names.items():
        write_atomically(out / name, text)
    read = {name: (out / name).read_bytes().decode() for name in names}
    if differences := hub_differences(modelfile, read):
        raise ProofFailed("\n".join(differences), "this is our bug: please report it")
