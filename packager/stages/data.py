"""Questions and answers -> `train.jsonl`, `heldout.jsonl`, `audit.json`, and the prompt they are set in.

Each line is a conversation: `messages`, `topic`, `row` (the line it came from). The tokenizer, the
chat template, frozen from the model's own or the recipe's, and the corpus that every stage is proven
on are put beside them: later stages take the prompt from here. Fails on rows that cannot be used,
patient identifiers, too many rows over the limit, and a template that cannot be expressed or masked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from packager.artifacts.files import write_json
from packager.artifacts.kinds import Checkpoint, Dataset
from packager.data.audit import preparation
from packager.data.audit.lengths import measurer
from packager.data.audit.preparation import Prepared
from packager.data.audit.rendering import render_audit
from packager.data.checks import data_checks, data_figures
from packager.data.conversations import CHOOSING, HELDOUT, TRAIN, leaked_rows, shared_system, write_conversations
from packager.data.rows.formats import Row
from packager.data.rows.table import read_rows, template_of
from packager.process import progress
from packager.prompt.corpus import write_corpus
from packager.prompt.frozen import frozen_template, write_frozen
from packager.prompt.ollama.composed import refuse_unservable
from packager.prompt.servable import must_fit, questions_must_fit
from packager.recipe.recipe import Recipe
from packager.recipe.sections import Data, Serve

AUDIT = "audit.json"


class Prepare(Data):
    """The recipe's data section, and the language that the answers should be in."""

    language: str = ""
    serve: Serve = Field(default=Serve(), exclude=True)
    """What the system message must leave room in. Rows do not depend on it, so it is left out of the stage's key,
    and the Modelfile stage, whose key it is in, looks again."""
    chooses: bool = False
    """Whether something is chosen by held-out rows: a step of the training, or the base to merge into."""
    questions: tuple[str, ...] = Field(default=(), exclude=True)
    """What files are asked later, and must fit too; left out of the key as well."""


def preparation_of(recipe: Recipe) -> Prepare:
    """The parts of the recipe that the rows depend on, and what has to fit beside them."""
    questions = (*(q.ask for q in recipe.smoke), *(probe.ask for probe in recipe.evaluate.probes))
    train = recipe.train
    return Prepare(
        **recipe.data.model_dump(),
        language=recipe.language,
        serve=recipe.serve,
        questions=questions,
        chooses=train.method == "qlora" or (train.method != "none" and bool(train.evaluate_every)),
    )


def data(config: Prepare, base: Checkpoint, out: Path) -> Dataset:
    """Read, check, audit and split the rows, and write them with their tokenizer and template."""
    table = read_rows(config)
    frozen = frozen_template(base.folder, template_of(config))
    refuse_unservable(frozen, base.folder, next((row.system for row in table.rows if row.system), None))
    for note in frozen.roles.notes:
        progress.note(f"chat template: {note}")
    measure = measurer(frozen, base.folder, lambda done, total: progress.update(done, total, "rows"))
    prepared = preparation.prepare(config, table, measure, config.language)
    preparation.refuse(config, prepared)
    audit = prepared.audit
    assert audit.split is not None
    assert audit.tokens is not None
    for line in render_audit(audit).splitlines():
        progress.note(line)
    choosing = prepared.choosing if config.chooses else ()
    digest = _write_rows(out, prepared, choosing)
    write_json(out / AUDIT, audit.model_dump(mode="json"))
    write_frozen(frozen, base.folder, out)
    system = shared_system((*prepared.train, *prepared.heldout))
    must_fit(out, frozen.roles, system, config.serve)
    questions_must_fit(out, system, config.questions, config.serve.context)
    write_corpus(out, system)
    answers = config.split.group_by != "question"
    leaked = max(audit.split.leaked, leaked_rows(out, answers=answers))
    return Dataset(
        folder=out,
        checks=data_checks(prepared, leaked, answers=answers),
        figures=data_figures(prepared),
        train_rows=len(prepared.train),
        heldout_rows=len(prepared.heldout) - len(choosing),
        choosing_rows=len(choosing),
        train_tokens=prepared.train_tokens,
        heldout_tokens=prepared.heldout_tokens - (prepared.choosing_tokens if choosing else 0),
        topics=audit.split.topics,
        too_long=audit.tokens.too_long,
        system=system,
        source_sha256=table.sha256,
        data_sha256=hashlib.sha256(digest.encode()).hexdigest(),
        end_of_turn=audit.tokens.end_of_turn,
        leaked=leaked,
        unterminated=audit.tokens.unterminated,
        identifiers=sum(one.count for one in audit.identifiers) if config.identifiers == "allow" else 0,
        source_revision=table.revision,
        base_template=frozen.base,
        base_template_sha256=frozen.base_sha256,
        template_notes=frozen.roles.notes,
    )


def _write_rows(out: Path, prepared: Prepared, choosing: Sequence[Row]) -> str:
    """Write every part of the split; returns a hash of all."""
    reporting = [row for row in prepared.heldout if not any(row is one for one in choosing)]
    digest = write_conversations(out / TRAIN, prepared.train) + write_conversations(out / HELDOUT, reporting)
    if not choosing:
        return digest
    progress.note(f"{len(choosing)} of {len(prepared.heldout)} held-out rows choose between models; the rest report")
    return digest + write_conversations(out / CHOOSING, choosing)
