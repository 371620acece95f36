"""The package and a server for each kind of machine -> `bundle/`, the folder for the clinic (docs/bundle.md).

Everything of the package, the servers, scripts and page, what they have to know, and SHA256SUMS over all of it,
written last. The memory that is needed is what the program for this machine takes. Files too large for a FAT32
stick are split. Fails with `InputError` for a name that Windows does not allow; `StageCrash` if a text would tell a
path of this machine, or if the program for it does not run.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

from packager.artifacts.files import sha256_of
from packager.artifacts.kinds import Bundle, Checkpoint, Ggufs, Modelfile, Package, Proof, Servers
from packager.clinic import config as configuring
from packager.clinic import contents, host_server, starter, stick
from packager.clinic.config import ClinicFacts, settings_of, write_config
from packager.clinic.contents import ASSETS, READ_ME
from packager.clinic.targets import TARGETS
from packager.package.verify import MANIFEST
from packager.process import progress
from packager.recipe.recipe import Recipe
from packager.recipe.sections import Section


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
    ggufs: Ggufs,
    modelfile: Modelfile,
    proof: Proof,
    package: Package,
    servers: Servers,
    out: Path,
) -> Bundle:
    """Write the bundle of a finished package into `out`."""
    manifest = json.loads((package.folder / MANIFEST).read_text(encoding="utf-8"))
    default = next(f for f in manifest["files"] if f["default"])
    names = contents.carry_package(package, manifest, config.largest_file, out)
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
        targets=tuple(t for n, t in TARGETS.items() if n in servers.binaries),
        signer=config.signer,
    )
    write_config(facts, runtime)
    facts = _with_what_ships(out, facts)
    write_config(facts, runtime)
    read_me = configuring.fill_in((ASSETS / READ_ME).read_text(encoding="utf-8"), settings_of(facts))
    (out / READ_ME).write_text(read_me, encoding="utf-8", newline="\r\n")  # old Notepads know no other line end
    files = contents.close(out)
    return Bundle(
        folder=out,
        version=facts.version,
        files=len(files),
        size=sum((out / name).stat().st_size for name in files),
        targets=tuple(t.name for t in facts.targets),
        signed=bool(config.signer),
    )


def _with_what_ships(out: Path, facts: ClinicFacts) -> ClinicFacts:
    """The memory and the words of the program that ships, where this machine can run one of those that do."""
    host = host_server.host_target()
    if host not in facts.targets:
        progress.note("no program here is for this machine: needed memory and words of the self-test are the proof's")
        return facts
    requests = [configuring.request(facts, question.ask) for question in facts.recipe.smoke]
    ram, said = host_server.measured(out, facts.recipe.serve.context, requests)
    progress.note(f"{ram / 1e6:,.0f} MB of memory, measured with the program for this machine")
    return replace(facts, served_ram=ram, begins=said)


def fingerprint() -> list[str]:
    """The scripts, the page, the program behind them, and how they are told what they have to know."""
    texts = sorted(p for p in (*ASSETS.rglob("*"), *starter.SOURCES, Path(configuring.__file__)) if p.is_file())
    return [f"{path.name} {sha256_of(path)}" for path in texts]
