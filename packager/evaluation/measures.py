"""Items and what each model made of them -> measures per model and set, differences, answered rows."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packager.artifacts.evaluation import (
    BASE,
    TUNED,
    AnsweredRow,
    CoursePoint,
    Difference,
    Measure,
    ModelAnswer,
    SetResult,
)
from packager.artifacts.files import json_lines
from packager.artifacts.kinds import Dataset
from packager.evaluation import bootstrap, overlap
from packager.evaluation.items import ValidationRow
from packager.prompt import masking
from packager.prompt.corpus import read_conversations
from packager.prompt.template import load_template, load_tokenizer

COMPARED = ("loss", "rouge1.f1", "rouge2.f1", "rougeL.f1", "exact", "token_f1.f1", "bertscore.f1")
COURSE_ROWS = 1000
"""Training rows from which their characters per token are taken."""


@dataclass(frozen=True)
class Outcome:
    """What one model made of one row: sums over its answer tokens (None if they could not be measured),
    its answer (None if not asked), and that answer's scores."""

    likelihood: Mapping[str, float] | None
    answer: Mapping[str, Any] | None
    scores: Mapping[str, float]


@dataclass(frozen=True)
class Resampled:
    """How intervals are made."""

    resamples: int
    seed: int


def scores(metrics: Sequence[str], answer: str, reference: str) -> dict[str, float]:
    """The answer's scores by every metric that looks at words."""
    found: dict[str, float] = {}
    if "rouge" in metrics:
        found |= overlap.rouge(answer, reference)
    if "exact" in metrics:
        found["exact"] = overlap.exact(answer, reference)
    if "token_f1" in metrics:
        found |= overlap.token_f1(answer, reference)
    return found


def result(
    model: str, name: str, items: Sequence[ValidationRow], outcomes: Sequence[Outcome], how: Resampled
) -> SetResult:
    """One model's measures on one set."""
    measured = [(i, o.likelihood) for i, o in zip(items, outcomes, strict=True) if o.likelihood]
    scored = [i.group for i, o in zip(items, outcomes, strict=True) if o.scores]
    answers = [o.answer for o in outcomes if o.answer is not None]
    named = next((o.scores for o in outcomes if o.scores), {})
    generated = [
        bootstrap.mean(
            score, [o.scores[score] for o in outcomes if o.scores], "share", "higher", how.resamples, how.seed, scored
        )
        for score in named
    ]
    return SetResult(
        model=model,
        set=name,
        rows=len(items),
        tokens=int(sum(found["tokens"] for _, found in measured)),
        characters=sum(len(item.said) for item, _ in measured),
        bytes=sum(len(item.said.encode()) for item, _ in measured),
        stopped=sum(bool(a["stopped"]) for a in answers),
        empty=sum(not a["text"] for a in answers),
        measures=(*(likelihoods(measured, how) if measured else ()), *generated),
    )


def likelihoods(measured: Sequence[tuple[ValidationRow, Mapping[str, float]]], how: Resampled) -> Iterator[Measure]:
    """Loss and what follows from it; the formulas are in docs/evaluation.md."""
    import numpy as np

    def summed(name: str) -> list[float]:
        return [found[name] for _, found in measured]

    nll, tokens = summed("nll"), summed("tokens")
    characters = [float(len(item.said)) for item, _ in measured]
    octets = [float(len(item.said.encode())) for item, _ in measured]
    bits = [value / math.log(2) for value in nll]
    groups = [item.group for item, _ in measured]
    ratio = functools.partial(bootstrap.ratio, resamples=how.resamples, seed=how.seed, groups=groups)
    yield ratio("loss", nll, tokens, "nats/token", "lower")
    yield ratio("perplexity", nll, tokens, "ratio", "lower", then=np.exp)
    yield ratio("token_accuracy", summed("correct"), tokens, "share", "higher")
    yield ratio("entropy", summed("entropy"), tokens, "nats/token", "")
    yield ratio("bits_per_token", bits, tokens, "bits/token", "lower")
    yield ratio("bits_per_character", bits, characters, "bits/character", "lower")
    yield ratio("bits_per_byte", bits, octets, "bits/byte", "lower")


def differences(
    name: str,
    items: Sequence[ValidationRow],
    results: Mapping[str, SetResult],
    outcomes: Mapping[str, Sequence[Outcome]],
    how: Resampled,
) -> Iterator[Difference]:
    """tuned against base, and every other model against both, on the rows that both have."""
    for model in results:
        for against in (BASE, TUNED):
            if against in results and model not in (BASE, against):
                pairs = zip(items, outcomes[model], outcomes[against], strict=True)
                yield from _gaps((model, against, name), results[model], list(pairs), how)


def _gaps(
    names: tuple[str, str, str],
    found: SetResult,
    rows: Sequence[tuple[ValidationRow, Outcome, Outcome]],
    how: Resampled,
) -> Iterator[Difference]:
    for measure in (m for m in found.measures if m.name in COMPARED):
        if measure.name == "token_f1.f1" and found.measure("rouge1.f1"):
            continue  # the same figure under another name
        compared = []
        for item, a, b in rows:
            if measure.name == "loss" and a.likelihood and b.likelihood:
                compared.append((a.likelihood["nll"], b.likelihood["nll"], a.likelihood["tokens"], item.group))
            elif measure.name in a.scores and measure.name in b.scores:
                compared.append((a.scores[measure.name], b.scores[measure.name], 1.0, item.group))
        if compared:
            mine, other, weights, groups = zip(*compared, strict=True)
            gap = bootstrap.difference(measure, names, mine, other, weights, how.resamples, how.seed, groups)
            if gap is not None:
                yield gap


def answered(
    item: ValidationRow, outcomes: Mapping[str, Outcome], judged: Mapping[str, Mapping[str, int]]
) -> AnsweredRow:
    """The row with every model's answer to it."""
    answers = [
        ModelAnswer(
            model=model,
            text=o.answer["text"],
            tokens=o.answer["tokens"],
            stopped=o.answer["stopped"],
            scores=dict(o.scores) | ({"loss": o.likelihood["nll"] / o.likelihood["tokens"]} if o.likelihood else {}),
            judged=dict(judged.get(model, {})),
        )
        for model, o in outcomes.items()
        if o.answer is not None
    ]
    return AnsweredRow(
        set=item.set, row=item.row, question=item.question, reference=item.reference, answers=tuple(answers)
    )


def course(metrics: Path, data: Dataset) -> Iterator[CoursePoint]:
    """The likelihoods of training, from the adapter's `metrics.jsonl`."""
    per = {name: _per_token(data, f"{name}.jsonl") for name in ("train", "heldout")}
    for row in json_lines(metrics):
        for part, prefix in (("train", ""), ("heldout", "heldout_")):
            if (loss := row.get(f"{prefix}loss")) is None:
                continue
            characters, octets = per[part]
            yield CoursePoint(
                part="train" if part == "train" else "heldout",
                step=row["step"],
                loss=loss,
                perplexity=math.exp(min(loss, 700.0)),
                token_accuracy=row.get(f"{prefix}token_accuracy"),
                entropy=row.get(f"{prefix}entropy"),
                bits_per_token=loss / math.log(2),
                bits_per_character=loss / math.log(2) / characters,
                bits_per_byte=loss / math.log(2) / octets,
            )


def _per_token(data: Dataset, name: str) -> tuple[float, float]:
    """Mean characters and bytes of answers per trained token."""
    template, tokenizer = load_template(data.folder), load_tokenizer(data.folder)
    tokens, said = 0, ""
    for number, row in enumerate(read_conversations(data.folder / name)):
        if number == COURSE_ROWS:
            break
        tokens += sum(masking.encode(template, tokenizer, data.end_of_turn, row).trained)
        said += "".join(m["content"] for m in row if m["role"] == "assistant" and m.get("weight", 1))
    return len(said) / max(1, tokens), len(said.encode()) / max(1, tokens)
