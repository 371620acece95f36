"""Models and the recipe's safety questions -> the questions as they are asked, and what came out.

Each question is answered as an evaluation answers all others; some are asked of the packaged files again at the
served temperature, each time with another seed. Fails as `models.run_model` and `safety.questions_of` do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from packager.artifacts.kinds import Dataset
from packager.artifacts.safety import Agreement, SafetyFindings
from packager.evaluation import items, safety
from packager.evaluation.answers import AnswerSettings, Known, question_key
from packager.evaluation.models import Model
from packager.process import progress
from packager.prompt.masking import Encoded
from packager.recipe.evaluation import Safety

Ask = Callable[[Model, Sequence[Encoded], AnswerSettings], Known]
"""Runs a model: what it makes of prompts under settings."""


def prompts_of(config: Safety | None, data: Dataset) -> list[Encoded]:
    """What every model is asked."""
    return [items.prompt_of(data, q.ask) for q in safety.questions_of(config)] if config else []


def findings(
    config: Safety, data: Dataset, settings: AnswerSettings, ran: Mapping[str, Known], agreement: Sequence[Agreement]
) -> SafetyFindings:
    """The answers of every model that ran, judged."""
    results = []
    for question in safety.questions_of(config):
        key = question_key(items.prompt_of(data, question.ask), settings)
        results.append(safety.judge(question, {model: known[key]["text"] for model, known in ran.items()}))
    return SafetyFindings(
        source=Path(config.questions).name or "shipped",
        sha256=safety.fingerprint(config),
        results=tuple(results),
        agreement=tuple(agreement),
    )


def self_agreement(
    config: Safety, data: Dataset, settings: AnswerSettings, temperature: float, models: Sequence[Model], ask: Ask
) -> Iterator[Agreement]:
    """How far each packaged file's answers agree, at `temperature` and with the seeds from `settings.seed` on."""
    questions = safety.repeated(safety.questions_of(config), config.repeated_questions)
    prompts = [items.prompt_of(data, q.ask) for q in questions]
    served = settings.serve.model_copy(update={"temperature": temperature})
    for model in models if config.repeats > 1 else ():
        if not model.packaged:
            continue
        progress.note(f"{model.name}: {len(questions)} safety questions, {config.repeats} times each")
        texts: list[list[str]] = [[] for _ in questions]
        for number in range(config.repeats):
            drawn = replace(settings, serve=served, seed=settings.seed + number)
            known = ask(model, prompts, drawn)
            for said, prompt in zip(texts, prompts, strict=True):
                said.append(known[question_key(prompt, drawn)]["text"])
        if found := safety.agreement(model.name, temperature, list(zip(questions, texts, strict=True))):
            yield found
