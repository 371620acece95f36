"""Questions and answers -> `train.jsonl`, `heldout.jsonl`, `audit.json`, and the prompt they are set in.

Each line is a conversation: `messages`, `topic`, `row` (the line it came from). The tokenizer, the
chat template, the model's own or the recipe's, with its date pinned, and the corpus that every stage
is proven on are put beside them: later stages take the prompt from here. Fails on rows that cannot
be used, patient identifiers, too many rows over the limit, and a template that cannot be expressed
or masked.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from packager.artifacts.files import write_atomically, write_json
from packager.artifacts.kinds import Check, Checkpoint, Dataset, verdict
from packager.data.audit import preparation
from packager.data.audit.duplicates import normalise
from packager.data.audit.lengths import measurer
from packager.data.audit.preparation import Prepared
from packager.data.audit.report import render_audit
from packager.data.rows.formats import Row
from packager.data.rows.table import read_rows, template_of
from packager.errors import InputError
from packager.process import progress
from packager.prompt.corpus import read_conversations, write_corpus
from packager.prompt.ollama import composed
from packager.prompt.roles import derive_roles
from packager.prompt.servable import must_fit
from packager.prompt.template import (
    TEMPLATE_FILE,
    ChatTemplate,
    load_template,
    load_tokenizer,
    pin_date,
    special_tokens,
)
from packager.recipe.sections import Data, Serve

TRAIN, HELDOUT, AUDIT = "train.jsonl", "heldout.jsonl", "audit.json"
CARRIED = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "tokenizer.model")


class Prepare(Data):
    """The recipe's data section, and the language that the answers should be in."""

    language: str = ""
    serve: Serve = Field(default=Serve(), exclude=True)
    """What the system message must leave room in. Rows do not depend on it, so it is left out of the stage's key,
    and the Modelfile stage, whose key it is in, looks again."""


def data(config: Prepare, base: Checkpoint, out: Path) -> Dataset:
    """Read, check, audit and split the rows, and write them with their tokenizer and template."""
    table = read_rows(config)
    template = pin_date(load_template(base.folder, template_of(config)))
    _must_be_servable(template, base.folder, next((row.system for row in table.rows if row.system), None))
    measure = measurer(template, base.folder, lambda done, total: progress.update(done, total, "rows"))
    prepared = preparation.prepare(config, table, measure, config.language)
    preparation.refuse(config, prepared)
    found = prepared.audit
    assert found.split is not None
    assert found.tokens is not None
    for line in render_audit(found).splitlines():
        progress.note(line)
    digest = _write(out / TRAIN, prepared.train) + _write(out / HELDOUT, prepared.heldout)
    write_json(out / AUDIT, found.model_dump(mode="json"))
    for name in CARRIED:
        if (base.folder / name).is_file():
            shutil.copyfile(base.folder / name, out / name)
    write_atomically(out / TEMPLATE_FILE, template.source)
    system = _system((*prepared.train, *prepared.heldout))
    must_fit(out, derive_roles(template, special_tokens(load_tokenizer(out))), system, config.serve)
    write_corpus(out, system)
    leaked = max(found.split.leaked, _leaked(out, answers=config.evaluation.group_by != "question"))
    return Dataset(
        folder=out,
        checks=_checks(prepared, leaked, answers=config.evaluation.group_by != "question"),
        train_rows=len(prepared.train),
        heldout_rows=len(prepared.heldout),
        train_tokens=prepared.train_tokens,
        heldout_tokens=prepared.heldout_tokens,
        topics=found.split.topics,
        too_long=found.tokens.too_long,
        system=system,
        source_sha256=table.sha256,
        data_sha256=hashlib.sha256(digest.encode()).hexdigest(),
        end_of_turn=found.tokens.end_of_turn,
        leaked=leaked,
        unterminated=found.tokens.unterminated,
        identifiers=sum(one.count for one in found.identifiers) if config.identifiers == "allow" else 0,
        source_revision=table.revision,
    )


def _leaked(folder: Path, *, answers: bool) -> int:
    """Held-out rows, as they were written, whose question or answer was written into training too.

    A question is all that the user says in a row, an answer all that the assistant says: a greeting
    that opens many conversations is no leak.
    """
    judged = ("user", "assistant") if answers else ("user",)
    said = {
        name: [
            {(role, normalise("\n".join(m["content"] for m in row if m["role"] == role))) for role in judged}
            for row in read_conversations(folder / name)
        ]
        for name in (TRAIN, HELDOUT)
    }
    trained = set().union(*said[TRAIN])
    return sum(bool(row & trained) for row in said[HELDOUT])


def _checks(prepared: Prepared, leaked: int, *, answers: bool) -> tuple[Check, ...]:
    tokens = prepared.audit.tokens
    assert tokens is not None
    total = len(prepared.train) + len(prepared.heldout) + tokens.too_long
    found = sum(one.count for one in prepared.audit.identifiers)
    policy = prepared.audit.identifiers_policy
    what, more = ("question or answer", "") if answers else ("question", "; answers may repeat")
    return (
        verdict("data.no_leak", leaked, 0, "rows", leaked == 0,
              f"{leaked} of {len(prepared.heldout)} held-out rows have their {what} in the {len(prepared.train)} "
              f"trained{more}."),
        verdict("data.end_of_turn", tokens.unterminated, 0, "rows", tokens.unterminated == 0,
              f"{total - tokens.too_long - tokens.unterminated} of {total - tokens.too_long} rows end in a trained "
              f"{tokens.end_of_turn}, so that the model learns to stop."),
        verdict("data.left_out", round(tokens.too_long / total, 4), "recorded", "share", True,
              f"{tokens.too_long} of {total} rows were left out for their length."),
        verdict("data.identifiers", found, "recorded" if policy != "stop" else 0, "identifiers",
              found == 0 or policy != "stop",
              f"{found} patient identifiers were found; the recipe says: {policy}."),
    )  # fmt: skip


def _must_be_servable(template: ChatTemplate, folder: Path, system: str | None) -> None:
    """What a Modelfile cannot hold is refused here: before the training, not after it."""
    specials = special_tokens(load_tokenizer(folder))
    roles = derive_roles(template, specials)
    if system and "system" not in roles.prefix and not roles.refuses_system:
        raise InputError(
            "The chat template passes system messages over: this one would be neither trained nor served.",
            "take out data.system (or the rows' own), or give a template with a place for it in data.template",
        )
    composed.compose(Serve(), roles, specials, system, add_bos=False)


def _write(path: Path, conversations: Sequence[Row]) -> str:
    """Write one conversation a line; returns the sha256 of the file."""
    text = "".join(
        json.dumps({"messages": row.as_messages(), "topic": row.topic, "row": row.line}, ensure_ascii=False) + "\n"
        for row in conversations
    )
    write_atomically(path, text)
    return hashlib.sha256(text.encode()).hexdigest()


def _system(conversations: Sequence[Row]) -> str | None:
    """The system message that all conversations share; raises `InputError` if they differ."""
    found = {row.system for row in conversations}
    if len(found) > 1:
        raise InputError(
            f"The rows have {len(found)} different system messages (or none), but the clinic is served one.",
            "give every row the same, or take them out and set data.system",
        )
    return found.pop()
