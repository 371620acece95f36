"""The reference documentation of the recipe: every field with its kind, default and meaning, from the code itself.

`markdown` is docs/recipe.md; a test compares the two.
"""

from __future__ import annotations

import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from packager.recipe.recipe import Recipe
from packager.recipe.sections import Section

KINDS: dict[Any, str] = {str: "text", int: "whole number", float: "number", bool: "true or false", Any: "anything"}
BOUNDS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than", "pattern": "pattern",
          "min_length": "at least so many:", "max_length": "at most so many:"}  # fmt: skip
INTRODUCTION = """\
# Every field of a recipe

Written by `packager recipes --markdown` from the docstrings of the fields (`packager/recipe/`); change it there.
A recipe holds only what differs from these defaults. `--set section.field=value` overrides a field for one build;
the override is recorded in the package.

YAML's merge keys work: a part that several places share stands once, under a name that begins with `x-` (which is read
by nothing else), and what is said beside it holds:

    x-shared: &shared {epochs: 3, learning_rate: 0.0002}
    train: {<<: *shared, epochs: 2}
"""


@dataclass(frozen=True)
class RecipeField:
    """One field of a recipe."""

    path: str
    """`section.field`; NAME stands for a name that the recipe gives, [] for one of a list."""
    kind: str
    """What it takes, in words, with its bounds."""
    default: str
    """As YAML would write it; `required` if there is none."""
    meaning: str


def fields() -> list[RecipeField]:
    """Every field of a recipe, in the order of the code."""
    return list(_fields_of(Recipe, ""))


def markdown() -> str:
    """docs/recipe.md: a table for each section."""
    lines, section = [INTRODUCTION], None
    for one in fields():
        here = one.path.rpartition(".")[0]
        if here != section:
            title = f"## `{here}`" if here else "## The recipe itself"
            lines += ["", title, "", "| field | takes | default | meaning |", "|---|---|---|---|"]
            section = here
        cells = (f"`{one.path}`", one.kind, f"`{one.default}`" if one.default else "", one.meaning)
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines).replace("\n\n\n", "\n\n") + "\n"


def _fields_of(section: type[Section], prefix: str) -> Iterator[RecipeField]:
    inner: list[RecipeField] = []
    for name, info in section.model_fields.items():
        path = f"{prefix}{name}"
        held = section_in(info.annotation)
        if held is not None:
            inner += _fields_of(held, f"{path}{_place(info.annotation)}.")
        elif name != "overrides":
            default = "required" if info.is_required() else _as_yaml(info.get_default(call_default_factory=True))
            yield RecipeField(path, _kind(info), default, (info.description or "").replace("\n", " "))
    yield from inner


def section_in(annotation: Any) -> type[Section] | None:
    """The section that a field holds: one, one or none, several, or several by name."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next((held for part in get_args(annotation) if (held := section_in(part))), None)


def _place(annotation: Any) -> str:
    origins = {get_origin(part) for part in (annotation, *get_args(annotation))}
    return ".NAME" if dict in origins else "[]" if tuple in origins else ""


def _kind(info: FieldInfo) -> str:
    bounds = [
        f"{words} {getattr(bound, name):g}" if name not in ("pattern",) else f"pattern `{bound.pattern}`"
        for bound in info.metadata
        for name, words in BOUNDS.items()
        if getattr(bound, name, None) is not None
    ]
    return ", ".join([_words(info.annotation), *bounds])


def _words(annotation: Any) -> str:
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(f"`{part}`" for part in parts)
    if origin in (Union, types.UnionType):
        return " or ".join("nothing" if part is type(None) else _words(part) for part in parts)
    if origin is tuple:
        return f"list of {_words(parts[0])}"
    if origin is dict:
        return f"{_words(parts[1])} by name"
    name = str(getattr(annotation, "__name__", annotation))
    return KINDS.get(annotation) or (_words(parts[0]) if parts else name)


def _as_yaml(value: Any) -> str:
    if value is None or value == "":
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_as_yaml, value))}]"
    return str(value)
