"""What models made of the rows -> outcomes, measures and their differences, probes, and the judge's opinion."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from packager.artifacts.evaluation import HELDOUT, AnsweredRow, Difference, Judgement, LeftOut, ProbeResult, SetResult
from packager.artifacts.kinds import Dataset
from packager.errors import Interrupted, PackagerError
from packager.evaluation import bertscore, items, judge, measures, probes
from packager.evaluation.answers import AnswerSettings, Known, question_key
from packager.evaluation.items import ValidationRow
from packager.evaluation.judge import JudgeQuestion
from packager.evaluation.measures import Outcome, Resampled
from packager.recipe.evaluation import Evaluate

Sets = Mapping[str, Sequence[ValidationRow]]
"""Set -> its rows."""
Outcomes = Mapping[str, Mapping[str, Sequence[Outcome]]]
"""Model -> set -> what it made of each row."""
JudgedRows = Mapping[int, Mapping[str, Mapping[str, int]]]
"""Row -> model -> the judge's scores by criterion."""


def outcomes_of(
    wanted: Evaluate, settings: AnswerSettings, sets: Sets, ran: Mapping[str, Known], left: list[LeftOut]
) -> dict[str, dict[str, list[Outcome]]]:
    """Model -> set -> what it made of each row, scored."""
    scored: dict[str, dict[str, list[Outcome]]] = {model: {} for model in ran}
    for model, known in ran.items():
        for name, rows in sets.items():
            scored[model][name] = outcomes = []
            for item in rows:
                measured = known.get(question_key(item.encoded, settings)) if item.encoded.ids else None
                answer = known.get(question_key(item.prompt, settings))
                scores = measures.scores(wanted.metrics, answer["text"], item.reference) if answer else {}
                outcomes.append(Outcome(measured, answer, scores))
    return bertscore.added(wanted, scored, sets, left)


def measured(sets: Sets, outcomes: Outcomes, how: Resampled) -> tuple[list[SetResult], list[Difference]]:
    """The measures of every model on every set, and how far the models are apart."""
    results: list[SetResult] = []
    gaps: list[Difference] = []
    for name, rows in sets.items():
        by_model = {model: by_set[name] for model, by_set in outcomes.items()}
        of_set = {model: measures.result(model, name, rows, made, how) for model, made in by_model.items()}
        results += of_set.values()
        gaps += measures.differences(name, rows, of_set, by_model, how)
    return results, gaps


def answered_rows(sets: Sets, outcomes: Outcomes, judged: JudgedRows) -> Iterator[AnsweredRow]:
    """Every row with what each model made of it; the judge has seen the held-out ones."""
    for name, rows in sets.items():
        for i, item in enumerate(rows):
            of_row = {model: by_set[name][i] for model, by_set in outcomes.items()}
            yield measures.answered(item, of_row, judged.get(i, {}) if name == HELDOUT else {})


def probe_results(
    wanted: Evaluate, settings: AnswerSettings, data: Dataset, ran: Mapping[str, Known]
) -> Iterator[ProbeResult]:
    """The answers of every model to the probes."""
    for probe in wanted.probes:
        name = question_key(items.prompt_of(data, probe.ask), settings)
        yield probes.judge(probe, {model: known[name]["text"] for model, known in ran.items()})


def judged_rows(
    evaluate: Evaluate,
    language: str,
    rows: Sequence[ValidationRow],
    outcomes: Outcomes,
    cache: Path,
    left: list[LeftOut],
) -> tuple[Judgement | None, JudgedRows]:
    """What the judge said, and its scores by row and model."""
    wanted = evaluate.judge
    if wanted is None:
        return None, {}
    answers = {
        model: [o.answer["text"] for o in by_set[HELDOUT] if o.answer]
        for model, by_set in outcomes.items()
        if model in wanted.models
    }
    groups = tuple(item.group for item in rows)
    how = JudgeQuestion(wanted, wanted.language or language, evaluate.resamples, evaluate.seed, groups)
    try:
        return judge.judge(how, [(i.question, i.reference) for i in rows], answers, cache / "judge.jsonl")
    except Interrupted:
        raise
    except PackagerError as error:
        left.append(LeftOut(what="judge", why=error.message, fix=error.fix, failed=True))
        return None, {}


def without_folders(one: LeftOut) -> LeftOut:
    """As it is recorded: what comes into a package names no folder of this machine."""
    path = re.compile(r"(?<![\w:/.])(?:~|\.\.?)?/(?:[^\s'\",;/]+/)*([^\s'\",;/]+)")
    return one.model_copy(update={name: path.sub(r"\1", getattr(one, name)) for name in ("what", "why", "fix")})
