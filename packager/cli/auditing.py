"""`packager audit`: a file or recipe -> its audit, with the base's tokenizer where that is at hand, and a page of it.

Raises `InputError` for a source that is not there or cannot be read, and for a place that cannot be written to.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from packager.artifacts.files import write_atomically
from packager.checkpoint.prompt_at_hand import prompt_at_hand
from packager.data.audit import files
from packager.data.audit.preparation import Prepared
from packager.data.audit.shown import ShownRow, shown
from packager.data.rows.recognise import Named
from packager.data.rows.table import template_of
from packager.errors import InputError
from packager.recipe import loading
from packager.recipe.recipe import Recipe

SHOWN = 10
"""Rows that the page shows."""


@dataclass(frozen=True)
class Audited:
    """An audit, of a recipe's data or of a bare file."""

    prepared: Prepared
    recipe: Recipe | None
    taken: tuple[str, ...]
    """What the columns of a bare file were taken for."""
    rows: tuple[ShownRow, ...]
    """Some rows as they are trained; none where the base's tokenizer is not at hand."""


def audit(source: str, named: Named, encoding: str, sheet: str | None, *, redact: bool) -> Audited:
    """The audit of a file, or of the data of a recipe (its name, or the path of a YAML file)."""
    if not (source.endswith((".yaml", ".yml")) or loading.is_named(source)):
        described = files.describe(source, encoding, sheet, named)
        return Audited(files.audit_file(source, redact=redact, described=described), None, described.taken, ())
    recipe = loading.load(source)
    with prompt_at_hand(recipe.base, template_of(recipe.data)) as prompt:
        prepared = files.audit_recipe(recipe, prompt, redact=redact)
        rows = shown(prepared.train, prompt, SHOWN) if prompt else []
    return Audited(prepared, recipe, (), tuple(rows))


def write_page(path: Path, found: Audited) -> None:
    """The page of an audit; of a bare file it is in the language of most answers."""
    from packager.report.data_page import render_data_page

    most = max(found.prepared.audit.languages.items(), key=lambda one: one[1], default=("en", 0))[0]
    language = found.recipe.language if found.recipe else "pt-BR" if most == "pt" else "en"
    name = found.recipe.name if found.recipe else found.prepared.audit.source
    write_atomically(path, render_data_page(name, language, found.prepared, found.rows))


def must_be_writable(path: Path) -> None:
    """Before anything is read: raise `InputError` for a file that could not be written."""
    if path.is_dir():
        raise InputError(
            f"{path} is a folder.", f"give a file in it, such as {path / ('out' + (path.suffix or '.jsonl'))}"
        )
    if not path.parent.is_dir():
        raise InputError(f"There is no folder {path.parent} to write {path.name} into.", f"mkdir -p {path.parent}")
