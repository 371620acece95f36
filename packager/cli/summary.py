"""What the commands print: short texts from values. Nothing here computes or reads artifacts."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from packager.artifacts.kinds import Artifact, Bundle, Package
from packager.checkpoint.locate import Located
from packager.cli.terminal import wrapped
from packager.pipeline.plan import StagePlan, replaced_adapter
from packager.process.progress import duration
from packager.recipe.fields import RecipeField
from packager.recipe.loading import ROOT
from packager.recipe.recipe import Recipe

MEGABYTE = 10**6
BUILD_DIR = Path("build")


def command(verb: str, recipe: str, overrides: Mapping[str, str | None], build_dir: Path = BUILD_DIR) -> str:
    """What to type for `verb` on the same recipe, as it was given, with the same `overrides` (base, data, set).

    `make` in the checkout, where it can say all that; else the program as it was called.
    """
    given = {name: text for name, text in overrides.items() if text}
    if Path.cwd() == ROOT and build_dir == BUILD_DIR and shlex.quote(recipe) == recipe:
        target = [] if verb == "build" else [verb]
        return shlex.join(["make", *target, f"recipe={recipe}", *(f"{k}={v}" for k, v in given.items())])
    program = [sys.argv[0]] if Path(sys.argv[0]).name == "packager" else [sys.executable, "-m", "packager"]
    words = [word for name, text in given.items() for word in (f"--{name}", text)]
    if build_dir != BUILD_DIR:
        words += ["--build-dir", str(build_dir)]
    return shlex.join([*program, verb, recipe, *words])


def of_build(artifact: Artifact, talk: str) -> str:
    """The end of a build: what there is now, and the next command to type (`talk`)."""
    if not isinstance(artifact, Package):
        return f"Built up to {artifact.folder}."
    rows = [f"{artifact.proof}. Package: {artifact.folder}"]
    for name, speed in artifact.tokens_per_second.items():
        size = (artifact.folder / name).stat().st_size / MEGABYTE
        rows.append(f"  {name}: {size:,.0f} MB" + (f", {speed:.0f} tokens/s on this CPU" if speed else ""))
    rows += [f"Failed probe: {ask}" for ask in artifact.probes_failed]
    rows += [f"Not proven: {one}" for one in artifact.unproven]
    if artifact.default_because:
        rows.append(f"{artifact.default_because}.")
    rows.append(f"Next: {talk}      What it is: {artifact.folder / 'report.html'}")
    return "\n".join(rows)


def of_bundle(bundle: Bundle, signer: str, copied: Path | None) -> str:
    """Where the folder for the clinic is, and the next command to type."""
    rows = [
        f"Bundle: {bundle.folder}, version {bundle.version}, {bundle.files} files, {bundle.size / MEGABYTE:,.0f} MB.",
        f"  starts on {', '.join(bundle.targets)}; elsewhere with Ollama (LEIA-ME.txt says how)",
    ]
    if signer:
        rows.append(f"  signed by {signer}; give the clinic the public key by another way than the stick")
    if copied:
        rows.append(f"  copied to {copied}, and read back right")
    return "\n".join([*rows, f"Next: packager verify {copied or bundle.folder}"])


def of_check(recipe: Recipe, found: Located, prospect: str, build: str) -> str:
    """All is right, what the run will be (`prospect`), and the next command to type (`build`)."""
    size = f"{found.parameters / 1e6:,.0f}M parameters" if found.parameters else "size unknown"
    return (
        f"{recipe.name}: recipe, data, base model, converter, disk and memory are all right.\n"
        f"  base {found.source}\n"
        f"  {found.architecture}, {size}; files of type {', '.join(recipe.quantize.types)}\n"
        f"{f'  left out of the base: {found.left_out}' + chr(10) if found.left_out else ''}"
        f"{prospect}\n"
        f"Next: {build}"
    )


def of_plan(steps: Sequence[StagePlan]) -> str:
    rows = [f"{'stage':<10} {'':<7} {'last time':>9} {'memory':>9}  why"]
    for step in steps:
        took = duration(step.seconds) if step.seconds is not None else "-"
        memory = f"{step.peak_ram / MEGABYTE:,.0f} MB" if step.peak_ram else "-"
        rows.append(f"{step.stage:<10} {'done' if step.done else 'to run':<7} {took:>9} {memory:>9}  {step.why}")
    waiting = [s for s in steps if not s.done]
    known = sum(s.seconds or 0 for s in waiting)
    rows.append(
        f"{len(waiting)} of {len(steps)} stages to run"
        + (f"; they took {duration(known)} last time." if known else ".")
    )
    if warning := replaced_adapter(steps):
        rows.append(f"! {warning}")
    return "\n".join(rows)


def of_recipes(loaded: Sequence[Recipe], needs: Mapping[str, str]) -> str:
    """Each recipe, its base, and what it `needs`, by its name."""
    width = max(len(r.name) for r in loaded)
    rows = []
    for r in loaded:
        rows.append(wrapped(f"{r.name:<{width}}  {r.description}", width + 2))
        rows.append(
            wrapped(f"{'':<{width}}  {r.base.model}, {r.train.method}, {', '.join(r.quantize.types)}", width + 2)
        )
        rows.append(wrapped(f"{'':<{width}}  {needs[r.name]}", width + 2))
    rows.append("Times are of a whole build and rough: half to twice as long happens.")
    rows.append("Next: packager check NAME (what it needs, in figures), packager preview NAME, packager build NAME")
    return "\n".join(rows)


def of_fields(fields: Sequence[RecipeField]) -> str:
    return "\n".join(f"{f.path} ({f.kind}; default: {f.default or 'none'})\n    {f.meaning}" for f in fields)
