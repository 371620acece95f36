"""Validation sets -> items: the tokens of each row, its prompt, question and reference answer.

The held-out rows come from the data stage's folder, further sets from the sources that the recipe
names, read as the training data are. Rows that do not fit the context are left out and counted.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from packager.artifacts.evaluation import HELDOUT
from packager.artifacts.kinds import Dataset
from packager.data.audit.split import group_numbers
from packager.data.rows import hub_dataset
from packager.data.rows.table import read_rows, refuse_bad, rows_fingerprint
from packager.errors import InputError
from packager.evaluation import availability
from packager.prompt import masking
from packager.prompt.corpus import read_conversations
from packager.prompt.masking import BoundaryError, Encoded
from packager.prompt.template import Message, load_template, load_tokenizer, token_ids
from packager.recipe.evaluation import ValidationSet
from packager.recipe.loading import located
from packager.recipe.sections import Data


@dataclass(frozen=True)
class ValidationRow:
    """One row of a set, ready to be run."""

    set: str
    row: int
    question: str
    reference: str
    encoded: Encoded
    """The whole conversation; empty where a token straddles prompt and answer, so that none can be measured."""
    said: str
    """All that the assistant says in it and is trained, for counting characters and bytes."""
    prompt: Encoded
    """The conversation before its last answer, as it is served."""
    group: int
    """Rows of one number are near-duplicates: one piece of evidence."""


def config_of(validation: ValidationSet, data: Data) -> Data:
    """How a validation set is read: as the training data, but for what it gives itself."""
    given = {"format": validation.format, "fields": validation.fields}
    return data.model_copy(
        update={
            "source": validation.source,
            "revision": validation.revision,
            "subset": validation.subset,
            "hub_split": validation.hub_split,
            "encoding": validation.encoding,
            **{name: value for name, value in given.items() if value is not None},
        }
    )


def heldout(data: Dataset, limit: int | None, seed: int, by: str) -> list[ValidationRow]:
    """Rows that the data stage held out; `by` is the recipe's data.split.group_by."""
    found = [list(c) for c in read_conversations(data.folder / "heldout.jsonl")]
    return _grouped(_items(HELDOUT, found, data, limit, seed), by)


def of_set(name: str, config: Data, data: Dataset, limit: int | None, seed: int) -> list[ValidationRow]:
    """The rows of a further set; raises `InputError` if none can be used."""
    table = read_rows(config)
    refuse_bad(table.bad, table.read, config)
    return _grouped(_items(name, [row.as_messages() for row in table.rows], data, limit, seed), config.split.group_by)


def prompt_of(data: Dataset, question: str) -> Encoded:
    """The tokens of one question as it is served."""
    messages = [{"role": "system", "content": data.system}] if data.system else []
    messages.append({"role": "user", "content": question})
    template, tokenizer = load_template(data.folder), load_tokenizer(data.folder)
    return Encoded(tuple(token_ids(tokenizer, template.render(messages, add_generation_prompt=True))))


def _grouped(rows: Sequence[ValidationRow], by: str) -> list[ValidationRow]:
    numbers = group_numbers([row.question for row in rows], [row.reference for row in rows], by)
    return [replace(row, group=number) for row, number in zip(rows, numbers, strict=True)]


def _items(
    name: str, conversations: Sequence[Sequence[Message]], data: Dataset, limit: int | None, seed: int
) -> list[ValidationRow]:
    template, tokenizer = load_template(data.folder), load_tokenizer(data.folder)
    numbers = list(range(len(conversations)))
    if limit is not None and limit < len(numbers):
        numbers = sorted(random.Random(seed).sample(numbers, limit))
    found = []
    for number in numbers:
        messages = conversations[number]
        try:
            encoded = masking.encode(template, tokenizer, data.end_of_turn, messages)
        except BoundaryError:
            encoded = Encoded(())
        prompt = token_ids(tokenizer, template.render(messages[:-1], add_generation_prompt=True))
        found.append(
            ValidationRow(
                set=name,
                row=number,
                question=messages[-2]["content"],
                reference=messages[-1]["content"],
                encoded=encoded,
                said="".join(m["content"] for m in messages if m["role"] == "assistant" and m.get("weight", 1)),
                prompt=Encoded(tuple(prompt)),
                group=number,
            )
        )
    if not found:
        raise InputError(f"The validation set {name} holds no rows.", "check evaluate.sets")
    return found


def missing(config: Data) -> str:
    """Why a set's source cannot be read, as far as it is known beforehand; '' if it can."""
    if not config.source.startswith("hf:"):
        return "" if located(config.source).exists() else f"there is no {config.source}"
    if hub_dataset.cached(config):
        return ""
    refusal = availability.dataset(config.source.removeprefix("hf:"), config.revision)
    return refusal.message if refusal else ""


def fingerprint(config: Data) -> str:
    """What a set's rows depend on, without touching the network."""
    there = config.source.startswith("hf:") or located(config.source).exists()
    return rows_fingerprint(config) if there else ""
