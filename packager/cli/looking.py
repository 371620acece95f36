"""Commands to look at data and at a run: rows as they are trained, a page of the audit, the course of a training."""

from __future__ import annotations

from pathlib import Path

import click

from packager.cli.options import load, main, recipe_options


@main.command()
@recipe_options
@click.option("--rows", type=click.IntRange(min=1, max=1000), default=3, show_default=True, help="How many rows.")
@click.option("--line", type=click.IntRange(min=1), metavar="N", help="Only the row of this line of the file.")
def preview(recipe: str, base: str | None, data: str | None, sets: tuple[str, ...], build_dir: Path, rows: int,
            line: int | None) -> None:  # fmt: skip
    """Show rows exactly as they are rendered for training, what is trained of them marked."""
    from packager.cli import previewing

    click.echo(previewing.preview(load(recipe, base, data, sets), rows, line))


@main.command()
@click.argument("source", metavar="RECIPE|PATH|-")
@click.option("--build-dir", type=click.Path(path_type=Path), default=Path("build"), show_default=True,
              help="Where run folders lie.")  # fmt: skip
@click.option("--once", is_flag=True, help="Show it once, and do not wait for more.")
def watch(source: str, build_dir: Path, once: bool) -> None:
    """Watch a training: loss curve, tokens a second, time left. PATH is a run folder or a metrics.jsonl, also one of
    another machine (`ssh HOST cat build/R/adapter.partial/metrics.jsonl | packager watch -`)."""
    from packager.cli import watching

    watching.watch(source, build_dir, once=once)
