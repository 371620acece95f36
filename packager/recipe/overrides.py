"""`field.path=value` from the command line -> that field in a recipe as it was read, before its fields are checked."""

from __future__ import annotations

from typing import Any

import yaml

from packager.recipe.yaml_text import Loader

ASIDE = "x-"
"""How a part of a recipe begins that is only there to be merged into others (`<<: *name`)."""


def apply_override(raw: dict[str, Any], override: str, applied: dict[str, Any]) -> str:
    """Set one `a.b=value` in `raw`; returns what is wrong with it, if anything."""
    path, equals, text = override.partition("=")
    if not equals or not path:
        return f"set: '{override}' is not of the form field.path=value"
    return set_field(raw, path, _value(text), applied)


def _value(text: str) -> Any:
    """A value as YAML reads it; a text as it stands, of which YAML would take ` #` and the rest for a remark, and
    line ends for spaces. In quotes, or as a block, it is YAML's."""
    plain = text.strip()
    try:
        value = yaml.load(text, Loader=Loader)
    except (yaml.YAMLError, RecursionError):
        return plain
    if (isinstance(value, str) and not plain.startswith(('"', "'", "|", ">", "!"))) or plain.startswith("#"):
        return plain
    return value


def set_field(raw: dict[str, Any], path: str, value: Any, applied: dict[str, Any]) -> str:
    """Set one field in `raw`; returns what is wrong with it, if anything."""
    *parents, last = path.split(".")
    top = (*parents, last)[0]
    if top == "overrides" or top.startswith(ASIDE):  # what a recipe may hold, and what is read of it, is not this
        return f"{path}: unknown field"
    here = raw
    for parent in parents:
        within = here.get(parent) or {}  # not there, or taken away by an override before
        if not isinstance(within, dict):
            return f"set: {path}: '{parent}' has no fields"
        here[parent] = dict(within)  # a copy: in YAML one part may stand in several places
        here = here[parent]
    here[last] = value
    applied[path] = value
    return ""
