"""A finished build -> parcels: for each repo a folder with exactly the files that go there.

The package goes as it is, byte for byte. The adapter and the merged weights get a card, the lineage and
checksums of their own. Fails with `ProofFailed` if the package is not whole or its proof did not pass, and
with `InputError` if the recipe says another package, or if something in it may not leave or lacks what the
base's licence asks for.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packager.artifacts.files import fresh, home_folder, link_or_copy, sha256_of, write_atomically, write_json
from packager.artifacts.kinds import Checkpoint
from packager.artifacts.run_folder import open_run
from packager.checkpoint import licence_files, locate, lora
from packager.errors import InputError, ProofFailed
from packager.hub import login
from packager.knowledge import engine
from packager.package import card, licence
from packager.package.card import CardFacts
from packager.package.verify import CHECKSUMS, MANIFEST, checksums, verify, version_of
from packager.pipeline import plan
from packager.process import progress
from packager.prompt.template import TOKENIZER_FILES
from packager.publish.refusals import refusals
from packager.recipe.recipe import Recipe
from packager.report.facts import as_shown


@dataclass(frozen=True)
class ShippedFile:
    """A file to send."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Parcel:
    """What one repo is to hold, and nothing else."""

    repo: str
    part: str
    """package, adapter or merged."""
    folder: Path
    items: Mapping[str, ShippedFile]

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(item.size for item in self.items.values())


@dataclass(frozen=True)
class Shipment:
    """Everything one push is to send."""

    name: str
    version: str
    private: bool
    run: Path
    parcels: tuple[Parcel, ...]
    notes: tuple[str, ...]
    """What is worth knowing and stops nothing."""


@contextlib.contextmanager
def staged(
    recipe: Recipe, run: Path, repo: str, *, public: bool = False, adapter: bool = False, merged: bool = False
) -> Iterator[Shipment]:
    """The parcels of a build, for as long as the block lasts; no build may run meanwhile.

    Files are linked, not copied, where the disk can: what was checked is what is sent, even if a new
    package is put in the folder's place.
    """
    if repo.count("/") != 1 or not all(repo.split("/")):
        raise InputError(f"'{repo}' is not the name of a repo.", "give --repo org/name")
    if not (run / "package").is_dir():
        raise InputError(f"{recipe.name} has no package yet.", f"packager build {recipe.name}")
    with open_run(run) as held, progress.route(held.display):
        held.display.begin("check", "the package, what it was made of, and what may not leave")
        made = _made(recipe, run)
        base: Checkpoint = made["base"]
        names = {"package": repo}
        for part, wanted in (("adapter", adapter), ("merged", merged)):
            if wanted:
                names[part] = f"{repo}-{part}"
        if (adapter or merged) and recipe.train.method == "none":
            raise InputError(
                f"{recipe.name} is not trained, so there is no adapter and the merged weights are the base's own.",
                "push without --adapter and --merged",
            )
        lacking = licence.gaps(base.licence, recipe.name, list(names.values()), run / "package")
        if lacking:
            raise _all(lacking, "The licence of the base asks for more before this is passed on")
        folder = fresh(run / "push.partial")
        try:
            parcels = _parcels(recipe, run, made, names, folder)
            refused = _refused(parcels, (login.token() or "", str(run.resolve())))
            if refused:
                raise _all(refused, "Not everything in the package may be published")
            held.display.end("whole, proven, and nothing in it that may not leave")
            yield Shipment(
                name=recipe.name,
                version=version_of(run / "package"),
                private=not public,
                run=run,
                parcels=parcels,
                notes=tuple(_notes(base)),
            )
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _made(recipe: Recipe, run: Path) -> dict[str, Any]:
    """What every stage made, by its name, if the package is whole, proven, and what the recipe says."""
    verify(run / "package")
    proof = run / "proof" / "proof.json"
    if proof.is_file() and json.loads(proof.read_text("utf-8")).get("passed") is not True:
        raise ProofFailed(
            f"The last proof of {recipe.name} failed.", f"see {proof}; mend what failed, then build again"
        )
    progress.note("hashing what each stage made")
    return plan.finished(recipe, run, verify=True)


def _parcels(
    recipe: Recipe, run: Path, made: Mapping[str, Any], names: Mapping[str, str], folder: Path
) -> tuple[Parcel, ...]:
    package = run / "package"
    sums, _ = checksums((package / CHECKSUMS).read_text("utf-8"))
    parcels = []
    for part, repo in names.items():
        out = folder / part
        out.mkdir()
        if part == "package":
            for name in (*sums, CHECKSUMS):
                link_or_copy(package / name, out / name)
            items = dict(sums)
        else:
            items = _part(part, repo, names["package"], _facts(recipe, made), made, package, out)
        items[CHECKSUMS] = sha256_of(out / CHECKSUMS)
        sized = {name: ShippedFile((out / name).stat().st_size, sha256) for name, sha256 in sorted(items.items())}
        parcels.append(Parcel(repo, part, out, sized))
    return tuple(parcels)


def _facts(recipe: Recipe, made: Mapping[str, Any]) -> CardFacts:
    """What the cards are written from."""
    return CardFacts(
        recipe=recipe,
        base=made["base"],
        data=made["data"],
        adapter=made.get("adapter"),
        ggufs=made["gguf"],
        proof=as_shown(made["proof"]),
        merged=made["merged"],
    )


def _part(
    part: str, repo: str, package_repo: str, facts: CardFacts, made: Mapping[str, Any], package: Path, out: Path
) -> dict[str, str]:
    """Fill `out` with the adapter or the merged weights; returns the checksums of what lies there."""
    source: Path = made[part].folder
    tokenizer = facts.data.folder if part == "adapter" else source
    weights = [lora.WEIGHTS] if part == "adapter" else [p.name for p in sorted(source.glob("*.safetensors"))]
    configs = [lora.CONFIG] if part == "adapter" else [*locate.CONFIG_FILES, "model.safetensors.index.json"]
    licences = [path.name for path in licence_files.files(package) if path.name != engine.LICENCE]
    for at, wanted in ((source, weights + configs), (tokenizer, TOKENIZER_FILES), (package, licences)):
        for name in wanted:
            if (at / name).is_file():
                link_or_copy(at / name, out / name)
    text = card.adapter_card(facts, repo, package_repo) if part == "adapter" else card.merged_card(facts, package_repo)
    write_atomically(out / card.FILE, text)
    manifest = json.loads((package / MANIFEST).read_text("utf-8"))
    sums = {p.name: sha256_of(p) for p in sorted(out.iterdir())}
    manifest |= {
        "part": part,
        "package": {"repo": package_repo, "version": version_of(package)},
        "files": [{"name": n, "size": (out / n).stat().st_size, "sha256": sums[n]} for n in weights],
    }
    write_json(out / MANIFEST, manifest)
    sums[MANIFEST] = sha256_of(out / MANIFEST)
    write_atomically(out / CHECKSUMS, "".join(f"{sums[name]}  {name}\n" for name in sorted(sums)))
    verify(out)
    return sums


def _refused(parcels: Sequence[Parcel], private: Sequence[str]) -> list[str]:
    """What may not leave, in all that is to be sent."""
    total, done = sum(parcel.size for parcel in parcels), 0
    found = []
    for parcel in parcels:
        for name, item in parcel.items.items():
            progress.update(done / 1e6, total / 1e6, "MB searched for tokens and identifiers", of=name)
            found += refusals(parcel.folder, [name], private, str(home_folder() or "/"))
            done += item.size
    return found


def _notes(base: Checkpoint) -> Iterator[str]:
    if not base.revision:
        yield f"the card names no base model, because {base.source} is not of the Hub: no model tree there"
    if unread := licence.unread(base.licence):
        yield unread


def _all(faults: Sequence[str], heading: str) -> InputError:
    lines = "\n".join(f"  - {fault}" for fault in faults)
    return InputError(f"{heading}:\n{lines}", "mend each of these, then push again; nothing was sent")
