"""Commands that bring a package to others: the Hub, a stick, a clinic."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click

from packager.cli.options import load, main, recipe_options


@main.command()
@recipe_options
@click.option("--repo", required=True, metavar="ORG/NAME", help="The model repo to push to.")
@click.option("--public", is_flag=True, help="Let everyone see it; otherwise it is private.")
@click.option("--adapter", is_flag=True, help="Push the adapter too, to ORG/NAME-adapter.")
@click.option("--merged", is_flag=True, help="Push the merged FP16 weights too, to ORG/NAME-merged.")
@click.option("--dry-run", is_flag=True, help="Say what would go where, and send nothing.")
@click.option(
    "--deadline",
    type=click.FloatRange(min=0, min_open=True),
    metavar="MINUTES",
    help="Give up after this long (default: 10, and what a slow line takes).",
)
def push(recipe: str, base: str | None, data: str | None, sets: tuple[str, ...], build_dir: Path, repo: str,
         public: bool, adapter: bool, merged: bool, dry_run: bool, deadline: float | None) -> None:  # fmt: skip
    """Publish a finished package on the Hub; run again to resume."""
    from packager.hub import login
    from packager.hub.connection import connection
    from packager.process import stopping
    from packager.publish import rendering, sending, staging

    loaded = load(recipe, base, data, sets)
    staged = staging.staged(loaded, build_dir / loaded.name, repo, public=public, adapter=adapter, merged=merged)
    with stopping.interruptible(), staged as shipment:
        click.echo(rendering.plan(shipment))
        if dry_run and not login.token():
            click.echo(rendering.NOT_ASKED)
            return
        with connection(deadline * 60 if deadline else sending.deadline(shipment)) as watch:
            account, replies = sending.ask(shipment)
            click.echo(rendering.reply(account, replies, shipment))
            if not dry_run:
                click.echo(rendering.pushed(sending.push(shipment, replies, watch)))


def _targets(context: click.Context, option: click.Parameter, value: Sequence[str] | str | None) -> tuple[str, ...]:
    from packager.clinic.targets import TARGETS

    names = tuple(value.split(",")) if isinstance(value, str) else tuple(value or ())
    if unknown := [name for name in names if name not in TARGETS]:
        raise click.BadParameter(f"{unknown[0]} is none of {', '.join(TARGETS)}")
    return names


@main.command()
@click.argument("targets", nargs=-1, callback=_targets)
@click.option("--build-dir", type=click.Path(path_type=Path), default=Path("build"), show_default=True,
              help="Where run folders lie.")  # fmt: skip
def runtime(targets: tuple[str, ...], build_dir: Path) -> None:
    """Build llama-server for clinics: windows-x86_64, linux-x86_64, linux-arm64, or those named."""
    from packager.clinic.targets import TARGETS
    from packager.pipeline import bundling
    from packager.process import stopping

    with stopping.interruptible():
        made = bundling.programs(targets or tuple(TARGETS), build_dir / "runtime")
    click.echo("\n".join(f"{name}: {made.folder / path}" for name, paths in made.binaries.items() for path in paths))


@main.command()
@recipe_options
@click.option(
    "--sign",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="KEY",
    help="Sign with this private ed25519 key (made by ssh-keygen).",
)
@click.option(
    "--to",
    "stick",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Copy it there, for example to a USB stick, and read it back; run again to resume.",
)
@click.option("--targets", callback=_targets, metavar="A,B", help="For these kinds of machines only.")
def bundle(recipe: str, base: str | None, data: str | None, sets: tuple[str, ...], build_dir: Path,
           sign: Path | None, stick: Path | None, targets: tuple[str, ...]) -> None:  # fmt: skip
    """Make the folder for the clinic from a finished package: it runs without network or Python."""
    from packager.cli import summary
    from packager.clinic import stick as sticks
    from packager.package import signing
    from packager.pipeline import bundling, plan
    from packager.process import progress, stopping

    loaded = load(recipe, base, data, sets)
    with stopping.interruptible(), progress.route(progress.Display()):
        plan.finished(loaded, build_dir / loaded.name)  # before compiling for minutes
        signer = signing.public_key(sign) if sign else ""
        made = bundling.programs(targets, build_dir / "runtime")
        bundled = bundling.bundle(loaded, build_dir / loaded.name, made, signer=signer)
        key = signing.sign(bundled.folder, sign) if sign else ""
        copied = sticks.copy(bundled.folder, stick) if stick else None
    click.echo(summary.of_bundle(bundled, key and f"{key} ({signing.numbers(signer)})", copied))


@main.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="PUBLIC.pub",
    help="Also check that it is signed by the owner of this key.",
)
@click.option(
    "--rebuild",
    "kit",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Also make its weights, and a bundle's programs, again from what `packager attest` wrote; compare every byte.",
)
@click.option(
    "--base", default="", metavar="MODEL", help="For --rebuild: where the base is, if it was a file or folder."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verify(folder: Path, key: Path | None, kit: Path | None, base: str, as_json: bool) -> None:
    """Check a copy of a package or bundle: files, checksums, bill of materials, manifest, proof, signature. Needs no
    network, but for the base of --rebuild."""
    from dataclasses import asdict

    from packager.package import verify as verifying
    from packager.package.verify import render_verified

    found = verifying.verify(folder, key)
    click.echo(json.dumps(asdict(found)) if as_json else render_verified(found))
    if kit:
        from packager.cli import trusting

        click.echo(trusting.rebuilt(folder, kit, base))


@main.command()
@click.argument("model", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="MODEL.gguf")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--gb",
    type=click.FloatRange(min=0, min_open=True),
    default=4.0,
    show_default=True,
    help="Largest part, in GB of 10^9 bytes.",
)
def split(model: Path, folder: Path, gb: float) -> None:
    """Write a GGUF file into FOLDER in parts, for a FAT32 stick; llama.cpp loads it from the first."""
    from packager.llamacpp.split import split_file
    from packager.process import progress

    with progress.route(progress.Display()):
        parts = split_file(model, folder, int(gb * 10**9))
    click.echo("\n".join(f"{part}: {part.stat().st_size / 1e6:,.0f} MB" for part in parts))
