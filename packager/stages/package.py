"""Proven artifacts -> `package/`, the folder that is handed over.

GGUF files, one Modelfile per file and the same for Ollama on the Hub, the manifest with the whole
lineage, the model card, the report and its figures, a note for the clinic, the base's licence, and
SHA256SUMS over all of it, written last. So a Hub repo holds the package byte for byte, and one
`packager verify` serves both. No training data, no token and no path of this machine goes in; a text
file that holds one stops the stage.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from packager import __version__
from packager.artifacts.evaluation import Evaluation
from packager.artifacts.files import sha256_of, write_atomically, write_json
from packager.artifacts.kinds import (
    Adapter,
    Checkpoint,
    Dataset,
    GgufFile,
    Ggufs,
    Merged,
    Modelfile,
    Package,
    Proof,
    Report,
)
from packager.errors import ProofFailed, StageCrash
from packager.llamacpp import vendored
from packager.package import card, licence
from packager.package.card import CardFacts
from packager.process import progress
from packager.prompt.ollama.hub_files import hub_differences, hub_files
from packager.prompt.ollama.modelfile import with_from
from packager.proof.fit import default_first
from packager.recipe.recipe import Recipe

CHECKSUMS = "SHA256SUMS"
REPORTED = ("report.html", "metrics.json")
"""What the package takes over from the report."""
TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{30,}\b")


def package(
    recipe: Recipe,
    base: Checkpoint,
    data: Dataset,
    adapter: Adapter | None,
    merged: Merged,
    ggufs: Ggufs,
    modelfile: Modelfile,
    proof: Proof,
    evaluation: Evaluation | None,
    report: Report,
    out: Path,
) -> Package:
    """Write the package of a passed proof into `out`."""
    if not proof.passed:
        raise StageCrash("A package was asked for although its proof failed.", "this is our bug")
    files, why = default_first(ggufs.files, proof.checks, recipe.device)
    ggufs = ggufs.model_copy(update={"files": files})
    if why:
        progress.note(why)
    for file in ggufs.files:
        _link_or_copy(ggufs.folder / file.name, out / packed_name(recipe, file))
    for number, file in enumerate(ggufs.files):
        name = "Modelfile" if number == 0 else f"Modelfile.{file.type}"
        text = with_from(modelfile.text, packed_name(recipe, file), base.licence)
        write_atomically(out / name, text)
    _for_ollama_on_the_hub(out)
    changes = f"{'fine-tuned (LoRA, merged), ' if adapter else ''}converted to GGUF, quantized"
    for name, text in licence.texts(base.licence, base.source, changes).items():
        write_atomically(out / name, text)
    manifest = _manifest(recipe, base, data, adapter, merged, ggufs, proof)
    write_json(out / "manifest.json", manifest)
    facts = CardFacts(
        recipe=recipe,
        base=base,
        data=data,
        adapter=adapter,
        ggufs=ggufs,
        proof=proof,
        evaluation=evaluation,
        merged=merged,
    )
    write_atomically(out / "README.md", card.model_card(facts))
    write_atomically(out / "LEIA-ME.txt", card.leia_me(facts))
    for name in REPORTED:
        shutil.copyfile(report.folder / name, out / name)
    _refuse_private(out, [data.folder.parent, Path.home()])
    paths = sorted(p for p in out.iterdir() if p.name != "key")
    sums = "".join(f"{sha256_of(p)}  {p.name}\n" for p in paths)
    for file in ggufs.files:  # hashed again: what was proven is what is packed
        if f"{file.sha256}  {packed_name(recipe, file)}\n" not in sums:
            raise ProofFailed(f"{file.name} changed after it was proven.", "run the build with --verify")
    write_atomically(out / CHECKSUMS, sums)
    names = (*(p.name for p in paths), CHECKSUMS)
    return Package(
        folder=out,
        files=names,
        size=sum((out / n).stat().st_size for n in names),
        checks=len(proof.checks),
        tokens_per_second={packed_name(recipe, f): _speed(proof, f) for f in ggufs.files},
        default_because=why,
    )


def _speed(proof: Proof, file: GgufFile) -> float:
    speeds = [a.tokens_per_second for a in proof.answers if a.file == file.name]
    return statistics.median(speeds) if speeds else 0.0


def packed_name(recipe: Recipe, file: GgufFile) -> str:
    """What a quantized file is called in the package."""
    return f"{recipe.name}-{file.type}.gguf"


PLACES = ("model", "source", "template", "encoder", "folder")
"""Fields of a recipe that may name a file or folder."""


def public(value: Any, field: str = "") -> Any:
    """A recipe, or a part of it, as the manifest shows it: files of this machine by their names only."""
    if isinstance(value, dict):
        return {key: public(one, key.rpartition(".")[2]) for key, one in value.items()}
    if isinstance(value, list):
        return [public(one, field) for one in value]
    is_path = isinstance(value, str) and value.startswith(("/", "~", "..")) and not re.search(r"{[{%]", value)
    return Path(value).name if field in PLACES and is_path else value


def _for_ollama_on_the_hub(out: Path) -> None:
    """Write `template`, `system` and `params`, and read them back against the Modelfile."""
    modelfile = (out / "Modelfile").read_text(encoding="utf-8")
    names = hub_files(modelfile)
    for name, text in names.items():
        write_atomically(out / name, text)
    read = {name: (out / name).read_bytes().decode() for name in names}
    if differences := hub_differences(modelfile, read):
        raise ProofFailed("\n".join(differences), "this is our bug: please report it")


def _manifest(
    recipe: Recipe,
    base: Checkpoint,
    data: Dataset,
    adapter: Adapter | None,
    merged: Merged,
    ggufs: Ggufs,
    proof: Proof,
) -> dict[str, Any]:
    failed = [c.id for c in proof.checks if not c.passed]
    return {
        "packager": __version__,
        "name": recipe.name,
        "recipe": public(recipe.model_dump(mode="json")),
        "base": base.model_dump(mode="json", exclude={"folder", "key"}),
        "data": data.model_dump(mode="json", exclude={"folder", "key"}),
        "adapter": adapter.model_dump(mode="json", exclude={"folder", "key"}) if adapter else None,
        "merged": merged.model_dump(mode="json", exclude={"folder", "key"}),
        "llama.cpp": vendored.commit(),
        "files": [
            file.model_dump(mode="json") | {"name": packed_name(recipe, file), "default": number == 0}
            for number, file in enumerate(ggufs.files)
        ],
        "proof": {
            "passed": proof.passed,
            "failed": failed,
            "checks": [c.model_dump(mode="json") for c in proof.checks],
        },
        "licence": base.licence or "unknown",
    }


def _link_or_copy(source: Path, target: Path) -> None:
    """A hard link costs no disk; where the file system has none, a copy."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _refuse_private(out: Path, folders: Sequence[Path]) -> None:
    """No folder of this build and nothing like a token may be in a text file of the package."""
    for path in sorted(out.iterdir()):
        if path.suffix == ".gguf":
            continue
        text = path.read_text(encoding="utf-8")
        private = [str(folder) for folder in folders if len(folder.parts) > 1 and str(folder) in text]
        if private or TOKEN.search(text):
            what = private[0] if private else "something that looks like a token"
            raise StageCrash(f"{path.name} would contain {what}; it was not packaged.", "remove it from the recipe")
        if path.suffix == ".json":
            json.loads(text)
