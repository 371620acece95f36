"""Artifacts of a build -> the facts that the report shows, read from their folders, identifiers redacted.

Fails only if a file that its stage committed cannot be read.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from packager.artifacts.evaluation import AnsweredRow, Evaluation, answered_rows
from packager.artifacts.files import json_lines
from packager.artifacts.kinds import Adapter, Answer, Checkpoint, Dataset, GgufFile, Ggufs, Merged, Proof
from packager.artifacts.safety import SafetyAnswer, SafetyFindings
from packager.data.audit import identifiers
from packager.data.audit.report import Audit
from packager.data.letters import unaccented
from packager.package.manifest import packed_name
from packager.proof.fit import FileChoice, candidates_of, choose_file, default_first, of_device
from packager.recipe.recipe import Recipe

SHOWN = 24
"""How many rows of a validation set are shown with every model's answer."""

LONG_NUMBER = 8
"""Digits of an unwanted word that is not shown: it may be a patient's number."""


@dataclass(frozen=True)
class LossPoint:
    """One line of the training's metrics."""

    step: int
    loss: float | None
    """Of the step's own examples, nats per token; None where only held-out rows were measured."""
    heldout_loss: float | None
    heldout_token_accuracy: float | None = None


@dataclass(frozen=True)
class ReportFacts:
    recipe: Recipe
    base: Checkpoint
    data: Dataset
    adapter: Adapter | None
    merged: Merged
    files: tuple[GgufFile, ...]
    """The package's default first."""
    default_because: str
    """Why the default is not the recipe's first type."""
    proof: Proof
    """With the evaluation's checks behind its own."""
    audit: Audit
    course: tuple[LossPoint, ...]
    choice: FileChoice
    """The files by what they need and how near they are to F16."""
    evaluation: Evaluation | None
    rows: tuple[AnsweredRow, ...]
    """Some of the evaluation's rows, spread over each set."""
    topics: tuple[str, ...] = ()
    """Of the rows trained on, in their order."""

    def packed_name(self, file: GgufFile) -> str:
        return packed_name(self.recipe, file)


def gather_facts(
    recipe: Recipe,
    base: Checkpoint,
    data: Dataset,
    adapter: Adapter | None,
    merged: Merged,
    ggufs: Ggufs,
    proof: Proof,
    evaluation: Evaluation | None,
) -> ReportFacts:
    """Read what the artifacts' folders hold."""
    files, why = default_first(ggufs.files, proof.checks, recipe.device)
    audit = Audit.model_validate_json((data.folder / "audit.json").read_text(encoding="utf-8"))
    answers = tuple(redacted(answer) for answer in proof.answers)
    checks = (*proof.checks, *(evaluation.checks if evaluation else ()))  # an evaluation's limits stop a build too
    rows = _spread(list(answered_rows(evaluation.folder))) if evaluation else []
    return ReportFacts(
        recipe=recipe,
        base=base,
        data=data,
        adapter=adapter,
        merged=merged,
        files=tuple(files),
        default_because=why,
        proof=proof.model_copy(
            update={"answers": answers, "checks": checks, "passed": not any(c.failed for c in checks)}
        ),
        audit=audit,
        course=_course(adapter) if adapter else (),
        choice=choose_file(candidates_of(files, proof.checks, proof.figures), files[0].name, of_device(recipe.device)),
        evaluation=without_identifiers(evaluation) if evaluation else None,
        rows=tuple(_redacted_row(row) for row in rows),
        topics=_topics(data),
    )


def _topics(data: Dataset) -> tuple[str, ...]:
    path = data.folder / "train.jsonl"
    if not data.topics or not path.is_file():
        return ()
    rows = json_lines(path)
    texts = [str(turn.get("content", "")) for row in rows for turn in row.get("messages", ())]
    named = dict.fromkeys(_clean(str(row["topic"])) for row in rows if row.get("topic"))
    return tuple(accented(topic, texts) for topic in named)


def accented(topic: str, texts: Sequence[str]) -> str:
    """A topic that is written like a file's name (`saude-da-crianca`) in words, each as the rows most often write it
    ("saúde da criança"); any other is left as it is."""
    if not topic.isascii() or topic != topic.lower() or " " in topic:
        return topic
    words = re.split(r"[-_]+", topic)
    forms = {form: Counter[str]() for word in words for form in (word, word.removesuffix("s"))}
    for text in texts:
        for word in re.findall(r"\w+", text):
            if (plain := unaccented(word)) in forms:
                forms[plain][word] += 1

    def written(word: str) -> str:
        if forms[word]:
            return forms[word].most_common(1)[0][0]
        one = forms.get(word.removesuffix("s"), Counter())  # the rows may have it in the singular
        return f"{one.most_common(1)[0][0].lower()}s" if one else word

    return " ".join(map(written, words))


def as_shown(proof: Proof) -> Proof:
    """The proof, its answers without what looks like a patient identifier."""
    return proof.model_copy(update={"answers": tuple(redacted(answer) for answer in proof.answers)})


def redacted(answer: Answer) -> Answer:
    """An answer of the proof without what looks like a patient identifier."""
    return answer.model_copy(update={"ask": _clean(answer.ask), "answer": _clean(answer.answer)})


def _clean(text: str) -> str:
    return identifiers.redact(text)[0]


def _redacted_row(row: AnsweredRow) -> AnsweredRow:
    answers = tuple(a.model_copy(update={"text": _clean(a.text)}) for a in row.answers)
    return row.model_copy(
        update={"question": _clean(row.question), "reference": _clean(row.reference), "answers": answers}
    )


def without_identifiers(evaluation: Evaluation) -> Evaluation:
    """Its probes and safety questions, and what was answered, without what looks like a patient identifier."""
    probes = tuple(
        probe.model_copy(
            update={
                "ask": _clean(probe.ask),
                "answers": tuple(a.model_copy(update={"text": _clean(a.text)}) for a in probe.answers),
            }
        )
        for probe in evaluation.probes
    )
    return evaluation.model_copy(update={"probes": probes, "safety": _safe_to_show(evaluation.safety)})


def _safe_to_show(found: SafetyFindings | None) -> SafetyFindings | None:
    if found is None:
        return None
    results = [
        result.model_copy(
            update={
                "ask": _clean(result.ask),
                "answers": tuple(_without_numbers(a) for a in result.answers),
            }
        )
        for result in found.results
    ]
    page = tuple(
        one.model_copy(update={"ask": _clean(one.ask), "shown": tuple(map(_clean, one.shown))}) for one in found.page
    )
    return found.model_copy(update={"results": tuple(results), "page": page})


def _without_numbers(answer: SafetyAnswer) -> SafetyAnswer:
    """What it said, and which unwanted words: a question may want that a patient's number is not repeated."""
    words = tuple("[número]" if sum(map(str.isdigit, w)) >= LONG_NUMBER else _clean(w) for w in answer.forbidden)
    return answer.model_copy(update={"text": _clean(answer.text), "forbidden": words})


def _spread(rows: Sequence[AnsweredRow]) -> list[AnsweredRow]:
    """At most `SHOWN` rows of each set, evenly from its first to its last."""
    shown = []
    for name in dict.fromkeys(row.set for row in rows):
        those = [row for row in rows if row.set == name]
        count = min(SHOWN, len(those))
        shown += [those[i * len(those) // count] for i in range(count)]
    return shown


def _course(adapter: Adapter) -> tuple[LossPoint, ...]:
    lines = json_lines(adapter.folder / "metrics.jsonl")
    return tuple(
        LossPoint(line["step"], line.get("loss"), line.get("heldout_loss"), line.get("heldout_token_accuracy"))
        for line in lines
        if "step" in line
    )
