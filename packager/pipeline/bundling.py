"""A finished build -> the folder for the clinic: the programs for it, then the stage `bundle`.

Apart from the line through the stages, because it compiles for other machines and most builds do without.
Fails with `InputError` if the package is not what its recipe says, `MissingResource` without the compiler.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from packager.artifacts.kinds import Bundle, Servers
from packager.artifacts.run_folder import open_run
from packager.artifacts.stage import Stage
from packager.clinic import cross_compile, starter
from packager.clinic.targets import TARGETS
from packager.pipeline import plan
from packager.process import child, progress
from packager.recipe.recipe import Recipe
from packager.stages import bundle as bundle_stage


def programs(targets: Sequence[str], folder: Path) -> Servers:
    """The servers and what starts them, compiled into `folder` where they are not there yet.

    Without `targets` those for every kind of machine; then what cannot be built here is left out and said.
    """
    names = targets or tuple(TARGETS)
    display = progress.Display()
    with progress.route(display), cross_compile.compiling(folder):
        display.begin("runtime", f"for {', '.join(names)}")
        made = cross_compile.servers(names, folder, jobs=child.physical_cores(), required=bool(targets))
        for name in made.binaries:
            starter.built(TARGETS[name], folder)
        display.end(", ".join(made.binaries))
    return made


def bundle(recipe: Recipe, folder: Path, servers: Servers, *, signer: str = "") -> Bundle:
    """Bring the bundle of a finished package up to date; the package is not built here.

    Raises `InputError` if there is no package, or not that of the recipe as it is now.
    """
    with open_run(folder) as run:
        made = plan.finished(recipe, folder)
        stage = Stage(
            "bundle",
            bundle_stage.bundle,
            Bundle,
            ("base", "data", "adapter", "merged", "gguf", "modelfile", "proof", "evaluation", "package", "knowledge"),
            section=lambda r: bundle_stage.Bundling(recipe=r, signer=signer),
            sources=lambda _: bundle_stage.fingerprint(),
            versions=("reportlab",),
            deliverable=True,
            says=lambda b: f"version {b.version}, {b.files} files, {b.size / 1e6:,.0f} MB, for {', '.join(b.targets)}",
        )
        return run.make(stage, recipe, [*(made.get(name) for name in stage.takes), servers])
