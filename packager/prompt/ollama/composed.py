"""A role format, a system message and the serving settings -> the text of a Modelfile.

Fails with `InputError` for what a Modelfile cannot express.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from packager.errors import InputError
from packager.prompt.frozen import Frozen
from packager.prompt.ollama.go_template import go_template, stops
from packager.prompt.ollama.modelfile import commands_of, write_modelfile
from packager.prompt.roles import RoleFormat
from packager.prompt.template import load_tokenizer, special_tokens
from packager.recipe.sections import Serve

if TYPE_CHECKING:
    from tokenizers import Tokenizer


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


def refuse_unservable(frozen: Frozen, folder: Path, system: str | None) -> None:
    """Raises `InputError` for what a Modelfile cannot hold: before the training, not after it. The tokenizer is in
    `folder`."""
    refuse_unservable_with(frozen, load_tokenizer(folder), system)


def refuse_unservable_with(frozen: Frozen, tokenizer: Tokenizer, system: str | None) -> None:
    """The same with a tokenizer that is at hand."""
    specials, roles = special_tokens(tokenizer), frozen.roles
    if system and "system" not in roles.prefix and not roles.refuses_system:
        raise InputError(
            "The chat template passes system messages over: this one would be neither trained nor served.",
            "take out data.system (or the rows' own), or give a template with a place for it in data.template",
        )
    compose(Serve(), roles, specials, system, add_bos=False)
