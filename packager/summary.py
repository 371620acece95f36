"""What the commands print: short texts from values. Nothing here computes or reads artifacts."""

from __future__ import annotations

from collections.abc import Sequence

from packager.artifacts import Artifact, Package
from packager.base_model import Located
from packager.build import Step
from packager.progress import duration
from packager.recipe import Recipe

MEGABYTE = 10**6


def of_build(recipe: Recipe, artifact: Artifact) -> str:
    """The end of a build: what there is now, and the next command to type."""
    if not isinstance(artifact, Package):
        return f"Built up to {artifact.folder}."
    rows = [f"Proof passed ({artifact.checks} checks). Package: {artifact.folder}"]
    for name, speed in artifact.tokens_per_second.items():
        size = (artifact.folder / name).stat().st_size / MEGABYTE
        rows.append(f"  {name}: {size:,.0f} MB" + (f", {speed:.0f} tokens/s on this CPU" if speed else ""))
    rows.append(f"Next: make chat recipe={recipe.name}      What it is: {artifact.folder / 'README.md'}")
    return "\n".join(rows)


def of_check(recipe: Recipe, found: Located) -> str:
    size = f"{found.parameters / 1e6:,.0f}M parameters" if found.parameters else "size unknown"
    return (
        f"{recipe.name}: recipe, data, base model, converter, disk and memory are all right.\n"
        f"  base {found.source} ({found.architecture}, {size}), types {', '.join(recipe.quantize.types)}\n"
        f"Next: packager build {recipe.name}"
    )


def of_plan(steps: Sequence[Step]) -> str:
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
    return "\n".join(rows)


def of_recipes(loaded: Sequence[Recipe]) -> str:
    width = max(len(r.name) for r in loaded)
    rows = []
    for r in loaded:
        rows.append(f"{r.name:<{width}}  {r.description}")
        rows.append(f"{'':<{width}}  {r.base.model}, {r.train.method}, {', '.join(r.quantize.types)}")
    return "\n".join(rows)


def of_fields(fields: Sequence[tuple[str, str, str]]) -> str:
    return "\n".join(f"{path} (default: {default})\n    {text}" for path, default, text in fields)
