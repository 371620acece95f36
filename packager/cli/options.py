"""The group of all commands, and what those about a recipe have in common."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from packager import __version__
from packager.cli.terminal import as_it_can
from packager.errors import Interrupted, explain


class Commands(click.Group):
    """A group whose commands turn errors of the operating system into messages for people."""

    def invoke(self, ctx: click.Context) -> Any:
        as_it_can()
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Interrupted("Stopped.") from None
        except (OSError, MemoryError) as error:
            explained = explain(error)
            if explained is None or isinstance(error, BrokenPipeError):
                raise
            raise explained from error


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="packager")
def main() -> None:
    """From a base model and a file of questions and answers to an offline, proven package.

    Begin with `packager recipes`, and `packager build smollm2_aps`; with your own file, `packager audit FILE` and
    `packager new NAME --data FILE`.

    A RECIPE is the name of one in recipes/, or the path of a YAML file. Exit codes: 0 done, 1 our bug,
    2 your input, 3 a proof failed, 4 a tool or resource is missing, 75 another build holds the folder.
    """


def recipe_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--build-dir", type=click.Path(path_type=Path), default=Path("build"), show_default=True,
                     help="Where run folders lie."),
        click.option("--set", "sets", multiple=True, metavar="a.b=c", help="Override a recipe field; repeatable."),
        click.option("--data", metavar="PATH", help="Override data.source."),
        click.option("--base", metavar="MODEL", help="Override base.model."),
        click.argument("recipe"),
    ):  # fmt: skip
        command = option(command)
    return command


def _knowledge(recipe: str) -> bool:
    """Whether a recipe has approved material; what is wrong with it is for another to say, with what is overridden."""
    from packager.recipe import loading

    try:
        return loading.load(recipe).knowledge is not None
    except loading.FaultyRecipe as error:
        return error.rest is not None and error.rest.knowledge is not None


def load(recipe: str, base: str | None, data: str | None, sets: tuple[str, ...]) -> Any:
    from packager.recipe import loading

    overrides, paths = [], {}
    if base:
        # The checksum and revision of the recipe's own base say nothing about another one.
        paths["base.model"] = base
        overrides += ["base.sha256=null", "base.revision=null", "base.licence=null"]
    if data:
        paths["data.source"] = data
        if _knowledge(recipe):
            # The column of sources and the questions are about the recipe's own rows.
            overrides += ["data.fields.source=null", "knowledge=null"]
            if not any("knowledge." in text for text in sets):
                note = "without approved material, which is the recipe's own rows. Where its rows name their documents:"
                click.echo(f"{data}: {note} --set 'data.fields.source=COLUMN knowledge.rows=true'", err=True)
    for text in sets:
        overrides += several(text.strip())
    return loading.load(recipe, overrides, paths)


_QUOTED = re.compile(r"""(?<![^\s=:,(\[{])(?:"(?:[^"\\]|\\.)*"|'(?:[^']|'')*')""", re.DOTALL)
"""Text in quotes, where quotes begin a word: the one in `d'água` does not."""


def several(text: str) -> list[str]:
    """The overrides in one text: a new one begins where a space is followed by `field.path=`, but not in quotes."""
    quoted = [found.span() for found in _QUOTED.finditer(text)]
    parts, start = [], 0
    for found in re.finditer(r"\s+(?=[a-z_]+(?:\.[\w-]+)*=)", text):
        if not any(begin < found.start() < end for begin, end in quoted):
            parts.append(text[start : found.start()])
            start = found.end()
    return [*parts, text[start:]]
