"""A packaged file + questions with approved passages -> how its answers keep to them, and what the passages gain.

Each question is asked twice, in a child process: as the clinic asks in the mode `assisted`, and alone. Fails as the
child does; a file that does not load was already refused by the smoke test.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from packager.artifacts.knowledge import Assisted
from packager.evaluation import bootstrap, overlap
from packager.knowledge.grounding import ground
from packager.knowledge.lessons import Case
from packager.llamacpp.model import GgufModel
from packager.process import child, progress
from packager.recipe.sections import Serve

SEED = 42
RESAMPLES = 1000
LOAD_SECONDS = 300.0
SLOWEST = 1.0
"""Tokens a second below which an answer counts as hanging."""


def assisted(
    path: Path, file_type: str, cases: Sequence[Case], system: str | None, serve: Serve, programs: Path
) -> Assisted:
    """The file's answers to `cases`; `programs` keeps the compiled grounding."""
    limit = LOAD_SECONDS + 2 * len(cases) * serve.max_answer_tokens / SLOWEST
    answers = child.call(answer_all, path, list(cases), system, serve, timeout=limit).value
    return measured(file_type, cases, answers, programs)


def answer_all(path: Path, cases: Sequence[Case], system: str | None, serve: Serve) -> list[tuple[str, str]]:
    """For each case the answer from its passages and the one without any."""
    answers = []
    with GgufModel.open(path, context=serve.context, threads=child.physical_cores()) as model:
        for number, case in enumerate(cases, 1):
            answers.append((_said(model, case.prompt, system, serve), _said(model, case.question, system, serve)))
            progress.update(number, len(cases), "questions with passages and without")
    return answers


def answer_one(path: Path, case: Case, system: str | None, serve: Serve) -> str:
    """The answer to one case from its passages, with the clinic's seed."""
    with GgufModel.open(path, context=serve.context, threads=child.physical_cores()) as model:
        return _said(model, case.prompt, system, serve)


def _said(model: GgufModel, asked: str, system: str | None, serve: Serve) -> str:
    messages = [{"role": "system", "content": system}] if system else []
    ids = model.prompt_ids([*messages, {"role": "user", "content": asked}])
    return "".join(text for _, text in model.stream(ids, serve, SEED, max_tokens=serve.max_answer_tokens)).strip()


def measured(file_type: str, cases: Sequence[Case], answers: Sequence[tuple[str, str]], programs: Path) -> Assisted:
    """What the answers show."""
    held = [ground(programs, said, case.passages) for case, (said, _) in zip(cases, answers, strict=True)]
    f1 = [
        tuple(overlap.token_f1(said, case.answer)["token_f1.f1"] for said in pair)
        for case, pair in zip(cases, answers, strict=True)
    ]
    gain = bootstrap.mean("token_f1.f1", [a - b for a, b in f1], "share", "higher", RESAMPLES, SEED)
    return Assisted(
        type=file_type,
        asked=len(cases),
        grounded=sum(not one.struck for one in held) / len(held),
        sentences_struck=sum(len(one.struck) for one in held),
        f1_with=sum(a for a, _ in f1) / len(f1),
        f1_without=sum(b for _, b in f1) / len(f1),
        gain=gain.value,
        gain_low=-1.0 if gain.low is None else gain.low,  # so few questions tell nothing: it may be any difference
        gain_high=1.0 if gain.high is None else gain.high,
    )
