"""Commands that build and use a package."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from packager.cli.options import load, main, recipe_options
from packager.errors import together

if TYPE_CHECKING:
    from packager.recipe.recipe import Recipe


def _load(recipe: str, base: str | None, data: str | None, sets: tuple[str, ...]) -> Recipe:
    """The recipe. Where fields are wrong, all else that is known to be wrong before a build is said with them."""
    from packager.pipeline import preflight
    from packager.process import progress
    from packager.recipe.loading import FaultyRecipe

    try:
        loaded: Recipe = load(recipe, base, data, sets)
    except FaultyRecipe as error:
        with progress.route(progress.Display()):
            beside = preflight.beside(error)
        raise together([error, *beside]) from None
    return loaded


@main.command()
@recipe_options
@click.option("--until", metavar="STAGE", default="package", show_default=True, help="Stop after this stage.")
@click.option("--verify", is_flag=True, help="Hash finished stages again instead of trusting their sizes.")
@click.option("--update", is_flag=True, help="Take the newest commits of a base or data set on the Hub.")
def build(recipe: str, base: str | None, data: str | None, sets: tuple[str, ...], build_dir: Path, until: str,
          verify: bool, update: bool) -> None:  # fmt: skip
    """Build a package; run again to resume. Nothing to do takes under a second."""
    from packager.cli import summary
    from packager.pipeline import build as building
    from packager.process import progress

    loaded = _load(recipe, base, data, sets)
    with progress.route(progress.Display()):
        artifact = building.build(loaded, build_dir / loaded.name, until, verify=verify, update=update)
    overrides = {"base": base, "data": data, "set": " ".join(sets)}
    click.echo(summary.of_build(artifact, summary.command("chat", recipe, overrides, build_dir)))


@main.command()
@recipe_options
def check(recipe: str, base: str | None, data: str | None, sets: tuple[str, ...], build_dir: Path) -> None:
    """Check everything that can fail early, and build nothing."""
    from packager.cli import summary
    from packager.cli.prospect import of_expected
    from packager.pipeline import estimate, preflight
    from packager.pipeline.prompts import check_prompts
    from packager.process import progress

    loaded = _load(recipe, base, data, sets)
    with progress.route(progress.Display()):
        checked = preflight.check(loaded, build_dir / loaded.name)
        check_prompts(loaded, checked.base)
    prospect = of_expected(estimate.expected(loaded, checked.base.parameters, checked.amount, checked.need, build_dir))
    overrides = {"base": base, "data": data, "set": " ".join(sets)}
    click.echo(summary.of_check(loaded, checked.base, prospect, summary.command("build", recipe, overrides, build_dir)))


@main.command()
@recipe_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def plan(recipe: str, base: str | None, data: str | None, sets: tuple[str, ...], build_dir: Path,
         as_json: bool) -> None:  # fmt: skip
    """Show each stage: done or to run and why, and what it took last time."""
    from dataclasses import asdict

    from packager.cli import summary
    from packager.pipeline import plan as planning

    loaded = load(recipe, base, data, sets)
    steps = planning.plan(loaded, build_dir / loaded.name)
    click.echo(json.dumps([asdict(s) for s in steps], indent=2) if as_json else summary.of_plan(steps))


@main.command()
@recipe_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.argument("question")
def ask(recipe: str, base: str | None, data: str | None, sets: tuple[str, ...], build_dir: Path, as_json: bool,
        question: str) -> None:  # fmt: skip
    """Answer QUESTION as the clinic's page would: approved passages with their source, or that there are none."""
    from packager.cli import asking

    loaded = load(recipe, base, data, sets)
    reply = asking.ask(build_dir / loaded.name / "package", question)
    click.echo(json.dumps(reply.as_json(), ensure_ascii=False, indent=2) if as_json else asking.of_reply(reply))


@main.command()
@recipe_options
@click.option("--file", "file_type", metavar="TYPE", help="Which quantization to talk to (default: the package's).")
@click.option("--web", is_flag=True, help="In the browser: a page that only this machine can reach.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port of --web (default: a free one).")
@click.argument("question", required=False)
def chat(recipe: str, base: str | None, data: str | None, sets: tuple[str, ...], build_dir: Path,
         file_type: str | None, web: bool, port: int, question: str | None) -> None:  # fmt: skip
    """Talk to the packaged model in the terminal or the browser, or ask it one QUESTION."""
    from packager.cli import chatting, web_chat

    loaded = load(recipe, base, data, sets)
    package = build_dir / loaded.name / "package"
    if web:
        web_chat.serve(loaded, package, file_type, port)
    else:
        chatting.chat(loaded, package, file_type, question)
