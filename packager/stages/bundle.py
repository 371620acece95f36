"""The package and a server for each kind of machine -> `bundle/`, the folder for the clinic (docs/bundle.md).

Everything of the package, the servers, scripts and page, what they have to know, a dossier of its own with version and
date, the bill of materials, and SHA256SUMS over all of it, written last. The memory that is needed is what the program
for this machine takes. Files too large for a FAT32 stick are split. Fails with `InputError` for a name that Windows
does not allow; `StageCrash` if a text would tell a path of this machine, or if the program for it does not run;
`ProofFailed` if that program serves another prompt than training's, or holds other first words for likely than
llama.cpp's library.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from packager.artifacts.evaluation import Evaluation
from packager.artifacts.files import sha256_of
from packager.artifacts.kinds import (
    Adapter,
    Bundle,
    Checkpoint,
    Dataset,
    Ggufs,
    Merged,
    Modelfile,
    Package,
    Proof,
    Servers,
)
from packager.artifacts.knowledge import Knowledge
from packager.clinic import config as configuring
from packager.clinic import contents, host_server, served, starter, stick
from packager.clinic.config import ClinicFacts, settings_of, write_config
from packager.clinic.contents import ASSETS, READ_ME
from packager.clinic.parts import programs
from packager.clinic.targets import TARGETS
from packager.knowledge import engine, index
from packager.knowledge.answer import examples
from packager.package.bom import BOM
from packager.package.parts import parts_of
from packager.package.verify import IN_BUNDLE, MANIFEST
from packager.process import progress
from packager.recipe.recipe import Recipe
from packager.recipe.sections import Section
from packager.report.delivery import Delivery
from packager.report.dossier import DOSSIER, DOSSIER_PDF, write_dossier
from packager.report.facts import gather_facts


class Bundling(Section):
    """What decides a bundle, beside the package and the servers."""

    recipe: Recipe
    signer: str = ""
    """The public key that will sign it, so that later versions can be compared with it; '': none."""
    largest_file: int = stick.LARGEST
    """Larger ones are split; bytes."""


def bundle(
    config: Bundling,
    base: Checkpoint,
    data: Dataset,
    adapter: Adapter | None,
    merged: Merged,
    ggufs: Ggufs,
    modelfile: Modelfile,
    proof: Proof,
    evaluation: Evaluation | None,
    package: Package,
    knowledge: Knowledge | None,
    servers: Servers,
    out: Path,
) -> Bundle:
    """Write the bundle of a finished package into `out`."""
    manifest = json.loads((package.folder / MANIFEST).read_text(encoding="utf-8"))
    default = next(f for f in manifest["files"] if f["default"])
    inside, replaced = out / IN_BUNDLE, (DOSSIER, DOSSIER_PDF)
    names = contents.carry_package(package, manifest, config.largest_file, inside, replaced=replaced)
    runtime = out / "runtime"
    contents.carry_programs(servers, runtime)
    shutil.copytree(ASSETS, out, dirs_exist_ok=True, copy_function=shutil.copyfile)
    facts = ClinicFacts(
        recipe=config.recipe,
        version=contents.next_version(out.parent / "bundle"),
        licence=base.licence,
        model=names[default["name"]],
        in_parts=names[default["name"]] != default["name"],
        model_type=default["type"],
        model_bytes=default["size"],
        system=modelfile.system,
        stops=modelfile.stops,
        proof=proof,
        proven_as=next(file.name for file in ggufs.files if file.type == default["type"]),
        likely=_likely(config.recipe, data, modelfile, package.folder / default["name"]),
        targets=tuple(t for n, t in TARGETS.items() if n in servers.binaries),
        signer=config.signer,
    )
    facts = _with_material(facts, knowledge)
    write_config(facts, runtime)
    facts = _with_what_ships(out, facts, data)
    write_config(facts, runtime)
    _write_read_me(facts, out)
    told = gather_facts(config.recipe, base, data, adapter, merged, ggufs, proof, evaluation)
    write_dossier(told, knowledge, out, _delivery(facts, out))
    files = _close(config.recipe, package, facts, out)
    return _bundle_of(facts, files, out)


def _bundle_of(facts: ClinicFacts, files: Sequence[str], out: Path) -> Bundle:
    return Bundle(
        folder=out,
        version=facts.version,
        files=len(files),
        size=sum((out / name).stat().st_size for name in files),
        targets=tuple(t.name for t in facts.targets),
        signed=bool(facts.signer),
    )


def _write_read_me(facts: ClinicFacts, out: Path) -> None:
    text = configuring.fill_in((ASSETS / READ_ME).read_text(encoding="utf-8"), settings_of(facts))
    (out / READ_ME).write_text(text, encoding="utf-8", newline="\r\n")  # old Notepads know no other line end


def _delivery(facts: ClinicFacts, out: Path) -> Delivery:
    """What the dossier says of the bundle itself."""
    settings = settings_of(facts)
    files = [p for p in out.rglob("*") if p.is_file()]
    return Delivery(
        version=facts.version,
        needed_ram_mb=settings["needed_ram_mb"],
        material_ram_mb=settings["material_ram_mb"],
        size=sum(path.stat().st_size for path in files),
        targets=tuple(target.name for target in facts.targets),
        signer_numbers=settings["signer_numbers"],
        in_parts=facts.in_parts,
    )


def _with_material(facts: ClinicFacts, knowledge: Knowledge | None) -> ClinicFacts:
    """What is known of the approved material, where there is any."""
    if knowledge is None:
        return facts
    size = sum((knowledge.folder / name).stat().st_size for name in knowledge.files)
    begin = examples(index.read(knowledge.folder))
    return replace(facts, material_bytes=size, searches=knowledge.searches, examples=begin)


def _likely(recipe: Recipe, data: Dataset, modelfile: Modelfile, model: Path) -> tuple[dict[int, float], ...]:
    """What the self-test compares each clinic's processor with."""
    asked = [configuring.messages(modelfile.system, question.ask) for question in recipe.smoke]
    return served.likely_beginnings(data, model, asked)


def _with_what_ships(out: Path, facts: ClinicFacts, data: Dataset) -> ClinicFacts:
    """The memory and the words of the program that ships, where this machine can run one of those that do; and that it
    serves what was proven. Raises `ProofFailed` if not."""
    host = host_server.host_target()
    if host not in facts.targets:
        progress.note("no program here is for this machine: needed memory and words of the self-test are the proof's, "
                      "and what the programs serve is not proven")  # fmt: skip
        return facts
    requests = [configuring.request(facts, question.ask) for question in facts.recipe.smoke]
    ram, said = host_server.measured(out, facts.recipe.serve.context, requests)
    progress.note(f"{ram / 1e6:,.0f} MB of memory, measured with the program for this machine")
    with host_server.serving(out) as server:
        progress.note(served.prove_served(server, data, configuring.proof_of(facts)["questions"]))
    return replace(facts, served_ram=ram, begins=said)


def _close(recipe: Recipe, package: Package, facts: ClinicFacts, out: Path) -> list[str]:
    """Write the bill of materials and the checksums of all that lies there; returns the name of every file."""
    sums = contents.hashed(out)
    described = json.loads((out / IN_BUNDLE / MANIFEST).read_text(encoding="utf-8"))
    made = [
        *parts_of(described, _adapter(package), recipe.dossier.data_licence, f"{IN_BUNDLE}/"),
        *programs(facts.targets, sums),
    ]
    return contents.close(recipe.name, sums, made, out)


def _adapter(package: Package) -> str:
    """The adapter's sha256, from the package's own bill of materials."""
    listed = json.loads((package.folder / BOM).read_text(encoding="utf-8"))["components"]
    found = [c["hashes"][0]["content"] for c in listed if c["bom-ref"] == "adapter"]
    return str(found[0]) if found else ""


def fingerprint() -> list[str]:
    """The scripts, the page, the program behind them with its search, and how they are told what they have to know."""
    told = (Path(configuring.__file__), Path(served.__file__))
    texts = sorted(p for p in (*ASSETS.rglob("*"), *starter.SOURCES, *told) if p.is_file())
    return [*engine.fingerprint(), *(f"{path.name} {sha256_of(path)}" for path in texts)]
