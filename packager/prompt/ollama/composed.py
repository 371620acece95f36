"""A role format, a system message and the serving settings -> the text of a Modelfile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from packager.errors import InputError
from packager.prompt.ollama.go_template import go_template, stops
from packager.prompt.ollama.modelfile import commands_of, write_modelfile
from packager.prompt.roles import RoleFormat
from packager.recipe.sections import Serve


@dataclass(frozen=True)
class Composed:
    """A Modelfile and what it was made from."""

    text: str
    template: str
    stops: tuple[str, ...]


def compose(
    config: Serve, roles: RoleFormat, specials: Sequence[str], system: str | None, *, add_bos: bool
) -> Composed:
    """The Modelfile for a role format; raises `InputError` for what it cannot express."""
    if system and roles.refuses_system:
        raise InputError(
            "The chat template has no system message, but data.system is set.",
            "take data.system out, or give a template with one in data.template",
        )
    template = go_template(roles, add_bos=add_bos)
    ends = stops(roles, specials)
    return Composed(write_modelfile(commands_of(template, system, config, ends)), template, ends)
