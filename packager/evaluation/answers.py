"""A GGUF file and items -> each row's likelihood and answer, kept in a cache as soon as it is known.

Runs in a child process, as a damaged file can abort it. The cache is a JSON line per row, known by
the model, the tokens and the settings; a line that a kill cut off is passed over. So an evaluation
resumes where it stopped, and one with other settings measures again only what they change.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from packager.artifacts.files import key_of
from packager.evaluation.items import ValidationRow
from packager.llamacpp.model import GgufModel
from packager.llamacpp.parallel import ParallelModel
from packager.process import child, progress
from packager.prompt.masking import Encoded
from packager.proof import divergence
from packager.recipe.sections import Serve

SEQUENCES, CELLS = 16, 16384
"""Answers generated at once, and the tokens of all their contexts together: 2 GB for a model of 8B."""


@dataclass(frozen=True)
class AnswerSettings:
    """How answers are generated."""

    serve: Serve
    seed: int
    max_tokens: int
    end_of_turn: int
    """The token that ends an answer, beside those at which llama.cpp ends one anyway."""
    engine: str
    """Version of llama-cpp-python: another one may compute otherwise."""


Known = dict[str, dict[str, Any]]


def question_key(question: Encoded, settings: AnswerSettings) -> str:
    how = ["likelihood"] if question.trained else [settings.serve.model_dump(), settings.seed, settings.max_tokens]
    return key_of(question.ids, question.trained, settings.end_of_turn, settings.engine, how)[:32]


def questions_of(items: Iterable[ValidationRow], *, likelihood: bool, answers: bool) -> list[Encoded]:
    """What is to be run: prompts to be answered, and conversations whose answers are measured."""
    found: list[Encoded] = []
    for item in items:
        if likelihood and item.encoded.ids:
            found.append(item.encoded)
        if answers:
            found.append(item.prompt)
    return found


def read_answers(cache: Path) -> Known:
    """What is known already: key -> result."""
    known: Known = {}
    if cache.is_file():
        with cache.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                try:
                    row = json.loads(line)
                    known[row["key"]] = row
                except (ValueError, KeyError, TypeError):
                    continue
    return known


def answer_questions(path: Path, wanted: Sequence[Encoded], settings: AnswerSettings, cache: Path) -> None:
    """Measure and answer what the cache lacks; every result is appended to it at once."""
    known = read_answers(cache)
    missing = [q for q in dict.fromkeys(wanted) if question_key(q, settings) not in known]
    if not missing:
        return
    measured = [q for q in missing if q.trained]
    asked = [q for q in missing if not q.trained]
    longest = max([len(q.ids) for q in measured] + [len(q.ids) + settings.max_tokens for q in asked])
    context = min(longest, settings.serve.context) + 1
    with (
        cache.open("a", encoding="utf-8") as out,
        ParallelModel.open(
            path,
            context=context,
            threads=child.physical_cores(),
            sequences=max(1, min(SEQUENCES, len(asked), CELLS // context)),
        ) as model,
    ):
        out.write("\n")  # ends what a kill may have cut off
        _measure(model, measured, settings, out)
        _answer(model, asked, settings, out)


def _measure(model: ParallelModel, wanted: Sequence[Encoded], settings: AnswerSettings, out: IO[str]) -> None:
    for number, question in enumerate(wanted):
        began = time.perf_counter()
        found = likelihood(model, question.ids, question.trained)
        _keep(out, question_key(question, settings), found | {"seconds": time.perf_counter() - began})
        progress.update(number + 1, len(wanted), "rows measured")


def likelihood(model: GgufModel, ids: Sequence[int], trained: Sequence[bool]) -> dict[str, float]:
    """Over the tokens with `trained[i]`: the sums of -log p and of the entropy of the prediction (nats),
    how many were the likeliest, and how many they are."""
    import numpy as np

    found = {"nll": 0.0, "entropy": 0.0, "correct": 0, "tokens": 0}
    for positions, rows in model.logits(ids, [*trained[1:], False]):
        log_p = divergence.log_softmax(rows)
        targets = [ids[p + 1] for p in positions]
        found["nll"] -= float(log_p[np.arange(len(targets)), targets].sum(dtype=np.float64))
        found["entropy"] -= float((np.exp(log_p) * log_p).sum(dtype=np.float64))
        found["correct"] += int((log_p.argmax(axis=1) == targets).sum())
        found["tokens"] += len(targets)
    return found


def _answer(model: ParallelModel, wanted: Sequence[Encoded], settings: AnswerSettings, out: IO[str]) -> None:
    began, tokens = time.perf_counter(), 0
    stop = model.eog_tokens | {settings.end_of_turn}
    order = sorted(wanted, key=lambda q: -len(q.ids))  # like lengths together
    prompts = [q.ids for q in order]
    answers = model.generate_many(prompts, settings.serve, settings.seed, max_tokens=settings.max_tokens, stop=stop)
    last = began
    for number, answer in enumerate(answers, 1):
        now = time.perf_counter()
        tokens += answer.tokens
        found = {"text": answer.text.strip(), "tokens": answer.tokens, "stopped": answer.stopped}
        # What passed since the answer before it: so the seconds of all add up to the time they took.
        _keep(out, question_key(order[answer.number], settings), found | {"seconds": now - last})
        last = now
        progress.update(number, len(order), "answers", tokens_per_s=tokens / max(now - began, 1e-9))


def _keep(out: IO[str], name: str, found: dict[str, Any]) -> None:
    out.write(json.dumps({"key": name} | found, ensure_ascii=False) + "\n")
    out.flush()
