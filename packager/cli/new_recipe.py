"""A data file -> a recipe for it, with what was assumed, for a person to correct.

Looks at the rows: columns, bad and repeated rows, damage, language, length. Fails if a recipe of that name is
there, or if the columns or the language do not tell (the error says what to give).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from packager.artifacts.files import write_atomically
from packager.cli.auditing import must_apply
from packager.cli.base_lengths import Lengths, base_of, lengths_of
from packager.cli.feedback import check_name
from packager.data.audit import files, identifiers, preparation
from packager.data.audit.files import Described
from packager.data.audit.preparation import Prepared
from packager.data.audit.rendering import count, places
from packager.data.audit.report import FEWEST, Audit
from packager.data.rows.columns import column
from packager.data.rows.formats import Row
from packager.data.rows.recognise import NOBODY, Named
from packager.data.rows.table import Table, read_rows
from packager.errors import InputError
from packager.recipe import loading
from packager.recipe.loading import ROOT
from packager.recipe.recipe import Recipe
from packager.recipe.sections import Data, Split

EXAMPLE = "smollm2_aps"
"""The recipe whose base and settings are taken where no base is given: it builds on any machine."""
LANGUAGES = {"pt": "pt-BR", "en": "en"}
LENGTHS = (512, 1024, 2048, 4096, 8192)
STEPS = 120
"""Optimizer steps that a small file is trained for; fewer where that would repeat its rows too often."""
MOST_EPOCHS = 4.0
ROWS_PER_STEP = 16
WARM_UP = 0.05
"""Share of the steps over which the learning rate rises."""
ROOM = 1.5
"""What an answer in the clinic may be longer than the longest of the data."""
SHARES = (0.1, 0.15, 0.2, 0.25, 0.3)
"""Of the rows, held out."""
FEW_ROWS = 20
"""Fewer prove nothing."""
SHORTEST_ANSWER = 160
"""serve.max_answer_tokens is at least so much."""


@dataclass(frozen=True)
class Wanted:
    """What the command line says about the recipe to be written; empty is left to the data."""

    source: str
    base: str = ""
    language: str = ""
    encoding: str = ""
    sheet: str | None = None
    system: str = ""
    """The system message, or the name of the column that holds it."""
    named: Named = NOBODY


@dataclass(frozen=True)
class Drafted:
    """The rows as the recipe will read them, and the section that says so."""

    config: Data
    described: Described
    table: Table
    prepared: Prepared
    lengths: Lengths

    @property
    def rows(self) -> list[Row]:
        return [*self.prepared.train, *self.prepared.heldout]

    @property
    def audit(self) -> Audit:
        return self.prepared.audit


def write(name: str, wanted: Wanted) -> tuple[Path, str]:
    """Write NAME.yaml into recipes/ here (or into this folder, without one) for the rows of `wanted.source`;
    returns its path, and in words what was assumed.

    Raises `InputError` for a name that is taken or none, and for rows that do not tell what they are.
    """
    check_name(name)
    if wanted.system and not wanted.system.strip():
        raise InputError("--system is empty: an empty system message cannot be served.", "write one, or leave it out")
    must_apply(wanted.source, wanted.encoding, wanted.sheet)
    if loading.is_named(name):
        raise InputError(f"There is a recipe {name} already: {loading.find(name)}.", "edit it, or choose another name")
    drafted = _draft(wanted)
    language = wanted.language or _language(drafted.audit)
    fields, assumed = _data(wanted, drafted)
    made = _settings(wanted.base, drafted, fields["max_tokens"]) | {"data": fields}
    assumed += _said_of(made)
    assumed.append(f"the answers should be in {language} (language)")
    assumed.append(
        f"the base model is {made['base']['model']}" + ("" if wanted.base else ", a small one to try it with")
    )
    if question := _question(drafted.rows):
        made["smoke"] = [{"ask": question}]
        assumed.append("one question of the data is asked before a package is released (smoke): add your own")
    if splits := drafted.described.other_splits:
        sets = {split: {"source": fields["source"], "hub_split": split} for split in splits}
        made["evaluate"] = {"sets": sets}
        assumed.append(f"the split {' and '.join(splits)} is not trained on: it is a validation set (evaluate.sets)")
    if language == "pt-BR":
        made.setdefault("evaluate", {})["safety"] = {}
        assumed.append("packager evaluate asks the safety questions as well (evaluate.safety)")
    order = ("base", "data", "train", "quantize", "serve", "smoke", "evaluate", "device")
    about = f"Answers as {Path(wanted.source).name} does."
    recipe = {"name": name, "description": about, "language": language} | {k: made[k] for k in order if k in made}
    Recipe.model_validate(recipe)
    path = loading.own_folder() / f"{name}.yaml"
    _create(
        path, f"# packager build {name}\n# What was assumed from the data; correct what is wrong:\n", assumed, recipe
    )
    advice = [note for note in drafted.audit.notes if not ("deduplicate" in fields and "deduplicate" in note)]
    return path, "\n".join([*(f"  - {line}" for line in assumed), *(f"! {note}" for note in advice)])


def _draft(wanted: Wanted) -> Drafted:
    described = files.describe(wanted.source, wanted.encoding, wanted.sheet, wanted.named)
    config = described.data.model_copy(update={"bad_rows": "drop"})
    fields = config.fields
    if wanted.system:
        names = files.columns(config)
        held = column(names, wanted.system)
        if held and held in (fields.question, fields.answer):
            raise InputError(
                f"--system {held}: that column is taken for the question or the answer.",
                "name another column or a text",
            )
        if held:
            fields = fields.model_copy(update={"system": held})
        else:
            config = config.model_copy(update={"system": wanted.system})
            fields = fields.model_copy(update={"system": None})
        config = config.model_copy(update={"fields": fields})
    table = read_rows(config)
    topic = config.fields.topic
    if topic and any(f"'{topic}'" in one.reason for one in table.bad) and not wanted.named.topic:
        # A row without a topic is no worse for training: rather no topics than fewer rows.
        config = config.model_copy(update={"fields": config.fields.model_copy(update={"topic": None})})
        table = read_rows(config)
    config, prepared = _divided(config, table)
    if not prepared.train and not prepared.heldout:
        raise InputError(f"No row of {wanted.source} can be used.", f"packager audit {wanted.source} says why")
    lengths = lengths_of([*prepared.train, *prepared.heldout], base_of(wanted.base), config)
    return Drafted(config, described, table, prepared, lengths)


def _divided(config: Data, table: Table) -> tuple[Data, Prepared]:
    """The rows, with the least share held out from which anything can be told; the usual one where none will do."""
    usual = preparation.prepare(config, table)
    for share in SHARES:
        split = config.split.model_copy(update={"fraction": share})
        other = config.model_copy(update={"split": split})
        prepared = usual if share == config.split.fraction else preparation.prepare(other, table)
        if prepared.audit.split and prepared.audit.split.heldout_groups >= FEWEST:
            return other, prepared
    return config, usual


def _create(path: Path, head: str, assumed: list[str], recipe: dict[str, Any]) -> None:
    text = yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True, width=110)
    lines = "".join(f"# - {_shown(line)}\n" for line in assumed)
    if path.exists():
        raise InputError(f"{path} is there already.", "edit it, or choose another name")
    write_atomically(path, head + lines + text)


def _shown(line: str) -> str:
    """As a remark in YAML, which may hold no control characters: the name of a column may."""
    return "".join(c if c.isprintable() else "\ufffd" for c in " ".join(line.split()))


def _data(wanted: Wanted, drafted: Drafted) -> tuple[dict[str, Any], list[str]]:
    """The data section, and what it assumes."""
    config, found = drafted.config, drafted.audit
    source = config.source
    if not source.startswith("hf:") and not (Path.cwd() == ROOT or Path(source).is_absolute()):
        source = str(Path(source).absolute())  # a build may be started elsewhere
    fields: dict[str, Any] = {"source": source, "format": config.format}
    assumed = list(drafted.described.taken)
    assumed += [f"{share.file} gives {share.rows:,} rows" for share in found.files]
    if config.format == "qa" or config.fields.topic or config.fields.system:
        fields["fields"] = config.fields.model_dump(exclude_none=True, exclude_defaults=config.format != "qa")
    if config.fields.topic != drafted.described.data.fields.topic:
        assumed.append(f"column '{drafted.described.data.fields.topic}' is not used, as some rows have no topic")
    for name in ("encoding", "sheet", "system"):
        if (value := getattr(config, name)) != Data.model_fields[name].default:
            fields[name] = value
    if config.system:
        assumed.append("every conversation begins with the system message that was given (data.system)")
    if bad := [one for one in found.dropped if one.unusable]:
        fields["bad_rows"] = "drop"
        assumed += [f"{one.rows:,} rows are left out: {one.reason} ({places(one.where, one.rows)})" for one in bad]
    if found.duplicates.repeated_rows > found.rows_kept // 10:
        fields["deduplicate"] = True
        assumed.append(f"{found.duplicates.repeated_rows:,} rows that only repeat another are left out (deduplicate)")
    if config.split != Split():
        fields["split"] = {"fraction": config.split.fraction}
        assumed.append(
            f"{config.split.fraction:.0%} of the rows are held out, which is the least that tells anything (split)"
        )
    if found.identifiers:
        kinds = ", ".join(f"{one.count:,} {one.kind}" for one in found.identifiers)
        assumed.append(f"it holds what look like patient identifiers ({kinds}): check and build stop until"
                       " data.identifiers says redact, or they are taken out")  # fmt: skip
    assumed += [f"{one.rows:,} rows have {one.what} ({places(one.where, one.rows)})"
                + (f"; data.clean: [{one.kind}] mends it" if one.mendable else "") for one in found.damage]  # fmt: skip
    if found.contradicting:
        assumed.append(f"{found.contradicting:,} pairs of rows contradict each other: packager audit lists them")
    if found.rows_kept < FEW_ROWS:
        assumed.append(f"{found.rows_kept} rows are too few to teach or to prove anything: add some")
    lengths = drafted.lengths
    fields["max_tokens"] = min(lengths.most, _room(sorted(lengths.rows)[len(lengths.rows) * 97 // 100]))
    how = "counted with the base's tokenizer" if lengths.counted else "a guess by their letters"
    assumed.append(f"nearly all rows have up to {fields['max_tokens']:,} tokens (max_tokens; {how})")
    return fields, assumed


def _room(tokens: float) -> int:
    return next((limit for limit in LENGTHS if limit >= tokens), LENGTHS[-1])


def _settings(base: str, drafted: Drafted, max_tokens: int) -> dict[str, Any]:
    """The sections beside the data: they depend on how many rows there are and how long they are."""
    most = drafted.lengths.most
    cap = max(SHORTEST_ANSWER, min(-(-int(ROOM * max(drafted.lengths.answers)) // 64) * 64, max_tokens))
    context = min(most, max(2048, _room(max_tokens + cap)))
    serve = {"context": context, "max_answer_tokens": min(cap, context // 2)}
    rows = max(1, len(drafted.prepared.train))
    if base:
        return {"base": {"model": base}, "train": _passes(rows, ROWS_PER_STEP), "serve": serve}
    example = loading.load(str(loading.SHIPPED / f"{EXAMPLE}.yaml")).model_dump(mode="json", exclude_unset=True)
    kept = {name: example[name] for name in ("base", "train", "device")}
    per_step = example["train"]["batch"]["examples_per_step"]
    return kept | {
        "train": example["train"] | _passes(rows, per_step),
        "quantize": {"types": example["quantize"]["types"]},
        "serve": example["serve"] | serve,
    }


def _passes(rows: int, rows_per_step: int) -> dict[str, Any]:
    """Epochs for about `STEPS` steps, within 1 and `MOST_EPOCHS`, and a warm-up of some of them."""
    epochs = round(min(MOST_EPOCHS, max(1.0, STEPS * rows_per_step / rows)), 1)
    steps = -(-int(rows * epochs) // rows_per_step)
    return {"epochs": epochs, "warmup_steps": max(1, min(100, round(steps * WARM_UP)))}


def _said_of(made: dict[str, Any]) -> list[str]:
    train, serve = made["train"], made["serve"]
    warm_up = count(train["warmup_steps"], "step")
    return [
        f"the rows are gone through {train['epochs']:g} times, with {warm_up} of warm-up (train)",
        f"answers may have up to {serve['max_answer_tokens']:,} tokens, prompt and answer {serve['context']:,} (serve)",
    ]


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
    """A short first question of a user that names nobody ('' if there is none)."""
    first = (next(text for role, text in row.messages if role == "user") for row in listed)
    return next((q for q in first if len(q) <= 200 and not identifiers.redact(q)[1]), "")
