"""A data file -> a recipe for it, with what was assumed, for a person to correct.

Looks at the rows: columns, bad and repeated rows, language, length. Fails if a recipe of that name is
there, or if the columns or the language do not tell (the error says what to give).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from packager.data.audit import files, identifiers, preparation
from packager.data.audit.report import Audit, places
from packager.data.rows.formats import Row
from packager.data.rows.table import read_rows
from packager.errors import InputError
from packager.recipe import loading
from packager.recipe.loading import ROOT, SHIPPED
from packager.recipe.recipe import Recipe
from packager.recipe.sections import Data

EXAMPLE = "smollm2_aps"
"""The recipe whose base and settings are taken where no base is given: it builds on any machine."""
LANGUAGES = {"pt": "pt-BR", "en": "en"}
CHARACTERS_PER_TOKEN = 2.5
"""Few, as small English models split Portuguese into many tokens."""
LENGTHS = (512, 1024, 2048, 4096, 8192)


def write(name: str, source: str, base: str = "", language: str = "", encoding: str = "utf-8") -> tuple[Path, str]:
    """Write `recipes/NAME.yaml` for the rows of `source`; returns its path, and in words what was assumed.

    Raises `InputError` for a name that is taken or none, and for rows that do not tell what they are.
    """
    path = SHIPPED / f"{name}.yaml"
    if path.exists():
        raise InputError(f"There is a recipe {name} already: {path}.", "edit it, or choose another name")
    if not re.fullmatch(r"[a-z0-9][a-z0-9_.-]{0,63}", name):
        raise InputError(f"'{name}' is no name for a recipe.", "use lower-case letters, digits, '_', '.' and '-'")
    config = files.guess(source, encoding).model_copy(update={"bad_rows": "drop"})
    prepared = preparation.prepare(config, read_rows(config))
    if not prepared.train and not prepared.heldout:
        raise InputError(f"No row of {source} can be used.", f"packager audit {source} says why")
    language = language or _language(prepared.audit)
    fields, assumed = _data(config, [*prepared.train, *prepared.heldout], prepared.audit)
    made = _settings(base, fields["max_tokens"]) | {"data": fields}
    assumed.append(f"the answers should be in {language} (language)")
    assumed.append(f"the base model is {made['base']['model']}" + ("" if base else ", a small one to try it with"))
    if question := _question([*prepared.train, *prepared.heldout]):
        made["smoke"] = [{"ask": question}]
        assumed.append("one question of the data is asked before a package is released (smoke): add your own")
    about = f"Answers as {Path(source).name} does."
    order = ("base", "data", "train", "quantize", "serve", "smoke", "device")
    recipe = {"name": name, "description": about, "language": language} | {k: made[k] for k in order if k in made}
    Recipe.model_validate(recipe)
    _create(path, f"# make recipe={name}\n# What was assumed from the data; correct what is wrong:\n", assumed, recipe)
    advice = [note for note in prepared.audit.notes if not ("deduplicate" in fields and "deduplicate" in note)]
    return path, "\n".join([*(f"  - {line}" for line in assumed), *(f"! {note}" for note in advice)])


def _create(path: Path, head: str, assumed: list[str], recipe: dict[str, Any]) -> None:
    text = yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True, width=110)
    with path.open("x", encoding="utf-8") as file:
        file.write(head + "".join(f"# - {line}\n" for line in assumed) + text)


def _data(config: Data, listed: list[Row], found: Audit) -> tuple[dict[str, Any], list[str]]:
    """The data section, and what it assumes."""
    source = config.source
    if not source.startswith("hf:") and not (Path.cwd() == ROOT or Path(source).is_absolute()):
        source = str(Path(source).absolute())  # `make` runs in the checkout
    fields: dict[str, Any] = {"source": source, "format": config.format}
    assumed = [_meaning(config)]
    if config.format == "qa" or config.fields.topic:
        fields["fields"] = config.fields.model_dump(exclude_none=True, exclude_defaults=config.format != "qa")
    if config.encoding != "utf-8":
        fields["encoding"] = config.encoding
    if bad := [one for one in found.dropped if one.unusable]:
        fields["bad_rows"] = "drop"
        assumed += [f"{one.rows:,} rows are left out: {one.reason} ({places(one.where, one.rows)})" for one in bad]
    if found.duplicates.repeated_rows > found.rows_kept // 10:
        fields["deduplicate"] = True
        assumed.append(f"{found.duplicates.repeated_rows:,} rows that only repeat another are left out (deduplicate)")
    if found.identifiers:
        kinds = ", ".join(f"{one.count:,} {one.kind}" for one in found.identifiers)
        assumed.append(f"it holds what look like patient identifiers ({kinds}): a build stops until data.identifiers"
                       " says redact, or they are taken out")  # fmt: skip
    lengths = sorted(sum(len(text) for _, text in row.messages) for row in listed)
    tokens = lengths[len(lengths) * 97 // 100] / CHARACTERS_PER_TOKEN
    fields["max_tokens"] = next((limit for limit in LENGTHS if limit >= tokens), LENGTHS[-1])
    assumed.append(f"nearly all rows have up to {fields['max_tokens']:,} tokens (max_tokens; a guess by their letters)")
    return fields, assumed


def _meaning(config: Data) -> str:
    if config.format == "qa":
        topic = f", topics in '{config.fields.topic}'" if config.fields.topic else ""
        return f"questions are in column '{config.fields.question}', answers in '{config.fields.answer}'{topic}"
    return {
        "alpaca": "rows are instructions (instruction, input, output)",
        "messages": "rows are conversations (messages)",
        "medquad": "rows are MedQuAD's",
    }[config.format]


def _settings(base: str, max_tokens: int) -> dict[str, Any]:
    """The sections that do not depend on what the rows say, but for their length."""
    serve = {"context": max(4096, max_tokens)}
    if base:
        return {"base": {"model": base}, "serve": serve}
    example = loading.load(EXAMPLE).model_dump(mode="json", exclude_unset=True)
    kept = {name: example[name] for name in ("base", "train", "device")}
    return kept | {"quantize": {"types": example["quantize"]["types"]}, "serve": example["serve"] | serve}


def _language(found: Audit) -> str:
    """The language of most answers, as a recipe names it."""
    most = max(found.languages, key=lambda name: found.languages[name], default="unknown")
    if most not in LANGUAGES:
        spoken = ", ".join(found.languages) or "none"
        raise InputError(
            f"The answers do not seem to be Portuguese or English ({spoken}).", "give --language pt-BR or --language en"
        )
    return LANGUAGES[most]


def _question(listed: list[Row]) -> str:
    """A short question that names nobody, of a conversation of one turn ('' if there is none)."""
    single = (row.question for row in listed if sum(role == "user" for role, _ in row.messages) == 1)
    return next((q for q in single if len(q) <= 200 and not identifiers.redact(q)[1]), "")
