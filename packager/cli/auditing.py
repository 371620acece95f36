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
from packager.data.rows.sources import READERS, TEXT
from packager.data.rows.table import template_of
from packager.errors import InputError
from packager.recipe import loading
from packager.recipe.idle import SHEETS
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
    if not _is_recipe(source):
        described = files.describe(source, encoding, sheet, named)
        return Audited(files.audit_file(source, redact=redact, described=described), None, described.taken, ())
    recipe = loading.load(source)
    with prompt_at_hand(recipe.base, template_of(recipe.data)) as prompt:
        prepared = files.audit_recipe(recipe, prompt, redact=redact)
        rows = shown(prepared.train, prompt, SHOWN) if prompt else []
    return Audited(prepared, recipe, (), tuple(rows))


def check_asked(source: str, named: Named, encoding: str, sheet: str | None) -> None:
    """Raise `InputError` for a flag that says nothing about this source: it would be left unheard."""
    if not _is_recipe(source):
        must_apply(source, encoding, sheet)
        return
    flags = {"question": named.question, "answer": named.answer, "topic": named.topic,
             "encoding": encoding, "sheet": sheet}  # fmt: skip
    if given := [f"--{name}" for name, value in flags.items() if value]:
        raise InputError(
            f"{', '.join(given)}: a recipe says itself how its data are read.",
            "take it out; the recipe's fields are data.fields, data.encoding and data.sheet",
        )


def must_apply(source: str, encoding: str, sheet: str | None) -> None:
    """Raise `InputError` for --sheet of what is no spreadsheet, and for --encoding of what is no text."""
    ending = Path(source).suffix.lower()
    if source.startswith("hf:") or ending not in READERS or loading.expanded(source).is_dir():
        return
    if sheet and ending not in SHEETS:
        raise InputError(f"--sheet is for a spreadsheet, and {source} is none.", "take it out")
    if encoding and ending not in TEXT:
        raise InputError(f"--encoding is for a text file (.csv, .jsonl, ...), and {source} is none.", "take it out")


def _is_recipe(source: str) -> bool:
    return source.endswith((".yaml", ".yml")) or loading.is_named(source)


def must_not_overwrite(source: str, written: Path | None, page: Path | None) -> None:
    """Raise `InputError` for output that would replace the recipe, its data or the other output, or whose name does
    not say that it is JSON Lines."""
    if written and written.suffix.lower() not in (".jsonl", ".ndjson"):
        raise InputError(
            f"--write writes JSON Lines, and {written.name} does not end so.", f"name it {written.stem}.jsonl"
        )
    if written and page and written.absolute() == page.absolute():
        raise InputError(f"--write and --html name the same file, {page}.", "give each a name of its own")
    there = _files_of(source)
    for flag, out in (("write", written), ("html", page)):
        if out and out.exists() and any(path.exists() and out.samefile(path) for path in there):
            raise InputError(f"--{flag} {out} would replace what is read.", "give it another name")


def _files_of(source: str) -> list[Path]:
    """The recipe and the data that are read, as far as they lie here; what is wrong with them, the audit says."""
    found, template = [], None
    if _is_recipe(source):
        recipe = loading.load(source)
        found.append(loading.find(source))
        source, template = recipe.data.source, recipe.data.template
    if template and "{%" not in template and "{{" not in template:
        found.append(loading.located(template))
    if not source.startswith("hf:"):
        path = loading.located(source)
        found += path.rglob("*") if path.is_dir() else [path]
    return found


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
