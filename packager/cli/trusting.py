"""Commands for those who have to trust a package: what it is, and that it can be made again."""

from __future__ import annotations

from pathlib import Path

import click

from packager.cli.options import load, main, recipe_options


@main.command()
@recipe_options
@click.option(
    "--to",
    "target",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Copy page and PDF there as well.",
)
def dossier(recipe: str, base: str | None, data: str | None, sets: tuple[str, ...], build_dir: Path,
            target: Path | None) -> None:  # fmt: skip
    """Write the dossier for an ethics committee and for IT (Portuguese, HTML and PDF); builds what is missing."""
    import shutil

    from packager.pipeline import build as building
    from packager.process import progress

    loaded = load(recipe, base, data, sets)
    with progress.route(progress.Display()):
        package = building.build(loaded, build_dir / loaded.name)
    written = [package.folder / name for name in ("dossie.html", "dossie.pdf")]
    if target:
        written = [Path(shutil.copyfile(path, target / path.name)) for path in written]
    click.echo("\n".join(f"{path}: {path.stat().st_size / 1e3:,.0f} kB" for path in written))
    bundled = build_dir / loaded.name / "bundle" / "dossie.pdf"
    if bundled.is_file():
        click.echo(f"{bundled}: of the bundle, with its version, its date and how it is installed")
    else:
        click.echo(f"A dossier with version, date and installation is in the bundle: packager bundle {recipe}")
    if loaded.evaluate.safety is None or not (build_dir / loaded.name / "evaluation").is_dir():
        click.echo("Its safety questions were not measured: set evaluate.safety in the recipe, and packager evaluate.")


def rebuilt(package: Path, kit: Path, base: str) -> str:
    """Make a package's weights again in a folder of its own, and a bundle's programs in build/runtime, where this
    machine keeps what it has compiled; say what came out equal."""
    import tempfile

    from packager.pipeline import rebuilding
    from packager.process import progress, stopping

    with (
        stopping.interruptible(),
        progress.route(progress.Display()),
        tempfile.TemporaryDirectory(prefix="packager-rebuild-") as scratch,
    ):
        found = rebuilding.rebuild(package, kit, Path(scratch), base_model=base)
        programs = rebuilding.programs(package, Path("build") / "runtime")
    lines = [f"  {step}" for step in (*found.steps, *programs)] + [f"  (but {note})" for note in found.notes]
    return "\n".join(["Made again, and equal byte for byte:", *lines])


@main.command()
@recipe_options
def attest(recipe: str, base: str | None, data: str | None, sets: tuple[str, ...], build_dir: Path) -> None:
    """Write what others need to make a finished package's files again: adapter, template, hashes; no data."""
    from packager.pipeline import attesting

    loaded = load(recipe, base, data, sets)
    folder = attesting.attest(loaded, build_dir / loaded.name)
    size = sum(path.stat().st_size for path in folder.iterdir())
    click.echo(f"{folder}: {size / 1e6:,.1f} MB.")
    click.echo(f"Next, on any machine: packager verify {folder.with_name('package')} --rebuild {folder}")
