"""Proven artifacts -> `package/`, the folder that is handed over.

GGUF files, one Modelfile per file and the same for Ollama on the Hub, the manifest with the whole
lineage, the model card, the report and its figures, the dossier, a note for the clinic, the base's licence, the bill
of materials, and SHA256SUMS over all of it, written last. So a Hub repo holds the package byte for byte, and one
`packager verify` serves both. No training data, no token and no path of this machine goes in; a text
file that holds one stops the stage.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from packager.artifacts.checks import tally
from packager.artifacts.evaluation import Evaluation
from packager.artifacts.files import home_folder, sha256_of, write_atomically, write_json
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
from packager.artifacts.knowledge import Knowledge
from packager.checkpoint import licence_files
from packager.checkpoint.lora import WEIGHTS as ADAPTER
from packager.errors import StageCrash
from packager.package import card, contents, licence
from packager.package.bom import Part
from packager.package.card import CardFacts
from packager.package.leia_me import leia_me
from packager.package.manifest import manifest_of, packed_name
from packager.package.parts import parts_of
from packager.package.verify import MANIFEST
from packager.process import progress
from packager.proof.fit import default_first
from packager.recipe.recipe import Recipe
from packager.report.facts import as_shown

REPORTED = ("report.html", "metrics.json", "dossie.html", "dossie.pdf")
"""What the package takes over from the report."""


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
    knowledge: Knowledge | None,
    out: Path,
) -> Package:
    """Write the package of a passed proof into `out`."""
    if not proof.passed:
        raise StageCrash("A package was asked for although its proof failed.", "this is our bug")
    files, why = default_first(ggufs.files, proof.checks, recipe.device)
    ggufs = ggufs.model_copy(update={"files": files})
    if why:
        progress.note(why)
    contents.put_weights(recipe, ggufs, out)
    contents.write_modelfiles(recipe, ggufs, modelfile, base.licence, out)
    _write_licence(base, adapter, out)
    manifest = manifest_of(recipe, base, data, adapter, merged, ggufs, proof, knowledge)
    write_json(out / MANIFEST, manifest | {"not_proven": report.unproven, "probes_failed": report.probes_failed})
    facts = CardFacts(
        recipe, base, data, adapter, ggufs, as_shown(proof), evaluation, merged, report.unproven, report.probes_failed
    )
    write_atomically(out / "README.md", card.model_card(facts))
    write_atomically(out / "LEIA-ME.txt", leia_me(facts))
    for name in REPORTED:
        shutil.copyfile(report.folder / name, out / name)
    contents.put_knowledge(knowledge, out)
    contents.refuse_private(out, [data.folder.parent.resolve(), *filter(None, [home_folder()])])
    names = contents.close(recipe, ggufs, _parts(manifest, adapter, recipe), out)
    return Package(
        folder=out,
        files=names,
        size=sum((out / n).stat().st_size for n in names),
        proof=tally(proof.checks),
        tokens_per_second={packed_name(recipe, f): _speed(proof, f) for f in ggufs.files},
        default_because=why,
        unproven=report.unproven,
        probes_failed=report.probes_failed,
    )


def _parts(manifest: dict[str, Any], adapter: Adapter | None, recipe: Recipe) -> list[Part]:
    """What stands in the bill of materials beside the files."""
    trained = sha256_of(adapter.folder / ADAPTER) if adapter else ""
    return parts_of(manifest, trained, recipe.dossier.data_licence)


def _write_licence(base: Checkpoint, adapter: Adapter | None, out: Path) -> None:
    """The base's licence and what was changed."""
    changes = f"{'fine-tuned (LoRA, merged), ' if adapter else ''}converted to GGUF, quantized"
    for name, text in licence.texts(base.licence, base.source, changes, licence_files.read(base.folder)).items():
        write_atomically(out / name, text)


def _speed(proof: Proof, file: GgufFile) -> float:
    """Tokens a second, as the smoke test measured it."""
    of_file = (c.measured for c in proof.checks if (c.id, c.subject) == ("smoke.speed", file.type))
    return float(next(of_file, 0.0))
