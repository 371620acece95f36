"""Approved material and trained rows -> the rows that are also trained with passages, and what the proof asks of them.

Only where the recipe wants the mode `assisted`; neither file is packaged. Fails with `InputError` where too many of the
rows are longer than data.max_tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from packager.artifacts.files import cache_folder, json_lines
from packager.artifacts.kinds import Dataset
from packager.artifacts.knowledge import Knowledge, Lessons
from packager.data.conversations import HELDOUT, TRAIN
from packager.knowledge import lessons as made
from packager.knowledge import measure, search
from packager.knowledge.passages import Passage
from packager.prompt.masking import encode
from packager.prompt.template import Message, load_template, load_tokenizer
from packager.recipe.loading import located
from packager.recipe.recipe import Recipe
from packager.recipe.sections import Section


class Teaching(Section):
    """What the recipe says of rows with passages."""

    passages: int
    train_share: float
    asked: int
    questions: str | None
    language: str
    max_tokens: int
    max_left_out: float


def wanted(recipe: Recipe) -> bool:
    """Whether the recipe wants the mode `assisted`."""
    return recipe.knowledge is not None and recipe.knowledge.mode == "assisted"


def teaching_of(recipe: Recipe) -> Teaching:
    """The parts of the recipe that decide the rows with passages; it must have approved material."""
    assert recipe.knowledge is not None
    section, data = recipe.knowledge, recipe.data
    return Teaching(
        passages=section.passages,
        train_share=section.train_share,
        asked=section.asked,
        questions=section.questions,
        language=recipe.language,
        max_tokens=data.max_tokens,
        max_left_out=data.max_left_out,
    )


def lessons(config: Teaching, data: Dataset, knowledge: Knowledge, out: Path) -> Lessons:
    """Write `lessons.jsonl` and `cases.jsonl` into `out`."""
    programs = cache_folder("knowledge")
    template, tokenizer = load_template(data.folder), load_tokenizer(data.folder)
    form = made.Form(programs, config.language, config.passages)

    def length(messages: Sequence[Message]) -> int:
        return len(encode(template, tokenizer, data.end_of_turn, messages).ids)

    with search.opened(knowledge.folder, programs) as opened:
        rows = made.lessons(opened, json_lines(data.folder / TRAIN), config.train_share, form)
        cases = made.cases(opened, _asked(config, data, opened.passages), config.asked, form)
    left_out = made.write_lessons(rows, length, config.max_tokens, config.max_left_out, out)
    made.write_cases(cases, out)
    return Lessons(folder=out, rows=len(rows) - left_out, left_out=left_out, cases=len(cases))


def _asked(config: Teaching, data: Dataset, passages: Sequence[Passage]) -> list[measure.Asked]:
    """The recipe's questions; or those of held-out rows, or of documents where there are no rows, as people type."""
    if config.questions:
        return measure.read_questions(located(config.questions))
    heldout = {row["row"] for row in json_lines(data.folder / HELDOUT)}
    return measure.typed([p for p in passages if p.row in heldout] or [p for p in passages if p.row is None])
