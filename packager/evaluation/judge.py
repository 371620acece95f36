"""Answers -> a language model's scores of accuracy and style, 1 to 3, by written criteria.

All models' answers to a question go into one request, under letters in an order drawn for each row, so
that the judge cannot tell which is which. What is not the JSON that was asked for is asked for again.
No request is sent that could pass the cost cap. Every row's scores are cached as they come.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from packager.artifacts.evaluation import JudgedPair, Judgement, JudgeScores, LeftOut
from packager.artifacts.files import key_of
from packager.errors import InputError, MissingResource
from packager.evaluation import bootstrap, criteria, endpoint
from packager.process import progress
from packager.recipe.evaluation import Judge

ANSWER_TOKENS = 256
"""Room for the judge's JSON."""
CHARACTERS_PER_TOKEN = 2
"""For the most that a request can cost, before it is sent: no tokenizer makes more of ordinary text."""

Scored = dict[str, dict[str, int]]
"""Model -> criterion -> score."""


@dataclass(frozen=True)
class JudgeQuestion:
    """What decides a judgement."""

    judge: Judge
    language: str
    resamples: int
    seed: int
    groups: tuple[int, ...] = ()
    """The number of each row's group; (): each row is one."""


@dataclass
class Bill:
    """What was asked and used so far."""

    asked: int = 0
    retried: int = 0
    prompt_tokens: int = 0
    answer_tokens: int = 0
    formats_refused: int = 0
    """How many of `criteria.response_formats` the endpoint does not know."""

    def cost(self, judge: Judge, prompt: int = 0, answer: int = 0) -> float:
        """In all, and for so many tokens more."""
        tokens = (self.prompt_tokens + prompt) * judge.prompt_price + (self.answer_tokens + answer) * judge.answer_price
        return tokens / 1e6


class CapReached(Exception):
    """The next request could cost more than the recipe allows."""


def unreachable(wanted: Judge | None) -> list[LeftOut]:
    """Why there can be no judge, if that is known beforehand."""
    if wanted is None or endpoint.find() is not None:
        return []
    fix = f"set {endpoint.ADDRESS[0]} (and {endpoint.KEY[0]}) both in the environment or both in the checkout's .env"
    return [LeftOut(what="judge", why="no endpoint is named", fix=fix)]


def judge(
    how: JudgeQuestion, rows: Sequence[tuple[str, str]], answers: Mapping[str, Sequence[str]], cache: Path
) -> tuple[Judgement, dict[int, Scored]]:
    """Judge `answers` (model -> a text per row) to `rows` (question, reference); also the scores by row."""
    where = endpoint.find()
    if where is None:
        raise MissingResource("no endpoint is named", unreachable(how.judge)[0].fix)
    if missing := [m for m in how.judge.models if m not in answers]:
        raise InputError(f"evaluate.judge.models: {missing[0]} was not evaluated.", f"use {', '.join(answers)}")
    numbers = list(range(len(rows)))
    if how.judge.rows < len(numbers):
        numbers = sorted(random.Random(how.seed).sample(numbers, how.judge.rows))
    known, bill, ended = _read(cache), Bill(), ""
    found: dict[int, Scored] = {}
    unusable = 0
    for done, number in enumerate(numbers, 1):
        order = list(how.judge.models)
        random.Random(f"{how.seed} {number}").shuffle(order)
        said = criteria.messages(how.language, *rows[number], [answers[m][number] for m in order])
        name = key_of(how.judge.model, said)[:32]
        try:
            row = known.get(name) or _ask(where, how.judge, said, len(order), bill)
        except CapReached:
            ended = f"the cost cap of {how.judge.max_cost:g} was reached after {done - 1} of {len(numbers)} rows"
            progress.note(f"judge: {ended}")
            break
        if name not in known:
            with cache.open("a", encoding="utf-8") as out:
                out.write(json.dumps({"key": name} | row) + "\n")
        if row["scores"] is None:
            unusable += 1
        else:
            found[number] = dict(zip(order, row["scores"], strict=True))
        progress.update(done, len(numbers), "rows judged")
    judgement = Judgement(
        judge=how.judge.model,
        language=cast(Literal["pt-BR", "en"], how.language),
        scores=tuple(_distributions(how, found)),
        comparisons=tuple(_comparisons(how.judge.models, list(found.values()))),
        asked=bill.asked,
        retried=bill.retried,
        unusable=unusable,
        prompt_tokens=bill.prompt_tokens,
        answer_tokens=bill.answer_tokens,
        cost=round(bill.cost(how.judge), 6),
        ended=ended,
    )
    return judgement, found


def _ask(where: endpoint.Endpoint, wanted: Judge, said: list[dict[str, str]], count: int, bill: Bill) -> dict[str, Any]:
    """The scores of one row (None if no answer was usable)."""
    most = sum(len(m["content"].encode()) for m in said) // CHARACTERS_PER_TOKEN + 64
    for attempt in range(wanted.retries + 1):
        if bill.cost(wanted, most, ANSWER_TOKENS) > wanted.max_cost:
            raise CapReached
        body: dict[str, Any] = {"model": wanted.model, "messages": said, "max_tokens": ANSWER_TOKENS}
        # At 0 a model that fails says the same again.
        body["temperature"] = 0.0 if attempt == 0 else 0.7
        reply = _complete(where, body, criteria.response_formats(count), bill)
        bill.asked += 1
        bill.retried += attempt > 0
        bill.prompt_tokens += reply.prompt_tokens
        bill.answer_tokens += reply.answer_tokens
        if (scores := criteria.parse(reply.text, count)) is not None:
            return {"scores": scores}
    return {"scores": None}


def _complete(
    where: endpoint.Endpoint, body: dict[str, Any], formats: Sequence[dict[str, Any]], bill: Bill
) -> endpoint.Completion:
    """The answer, held to the first of `formats` that the endpoint knows, or to none."""
    while bill.formats_refused < len(formats):
        try:
            return endpoint.complete(where, body | {"response_format": formats[bill.formats_refused]})
        except InputError:
            if bill.asked:  # it knew the format before, so something else is wrong
                raise
            bill.formats_refused += 1
    return endpoint.complete(where, body)


def _read(cache: Path) -> dict[str, dict[str, Any]]:
    """Usable rows that were judged before."""
    known = {}
    for line in cache.read_text(encoding="utf-8").split("\n") if cache.is_file() else ():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if row.get("scores"):
            known[row["key"]] = row
    return known


def _distributions(how: JudgeQuestion, judged: Mapping[int, Scored]) -> Iterator[JudgeScores]:
    rows = list(judged.values())
    groups = [how.groups[number] for number in judged] if how.groups else None
    for model, criterion in itertools.product(how.judge.models if rows else (), criteria.CRITERIA):
        scores = [row[model][criterion] for row in rows]

        def interval(values: Sequence[float], name: str) -> tuple[float, float, float]:
            found = bootstrap.mean(name, values, "score", "higher", how.resamples, how.seed, groups)
            low, high = found.low, found.high
            return found.value, found.value if low is None else low, found.value if high is None else high

        mean, low, high = interval([float(s) for s in scores], criterion)
        yield JudgeScores(
            model=model,
            criterion=cast(Literal["accuracy", "style"], criterion),
            counts={s: scores.count(s) for s in criteria.SCORES},
            shares={s: interval([float(x == s) for x in scores], criterion) for s in criteria.SCORES},
            mean=mean,
            low=low,
            high=high,
            n=len(scores),
        )


def _comparisons(models: Sequence[str], rows: Sequence[Scored]) -> Iterator[JudgedPair]:
    """Row by row, whose sum of scores is greater; later models against earlier ones."""
    for against, model in itertools.combinations(models, 2):
        gaps = [sum(row[model].values()) - sum(row[against].values()) for row in rows]
        better, worse = sum(g > 0 for g in gaps), sum(g < 0 for g in gaps)
        yield JudgedPair(model=model, against=against, better=better, equal=len(gaps) - better - worse, worse=worse)
