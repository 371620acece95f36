"""Rows of the data stage and a folder of documents -> the approved material: passages, their index, what it finds.

Fails with `InputError` on rows without a source, documents that cannot be read and patient identifiers,
`MissingResource` without the embedding model or gcc.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from packager.artifacts.checks import verdict
from packager.artifacts.files import cache_folder, write_atomically
from packager.artifacts.kinds import Dataset
from packager.artifacts.knowledge import Knowledge
from packager.data.conversations import CHOOSING, HELDOUT, TRAIN
from packager.knowledge import audit, engine, index, measure, passages, search, shown, threshold
from packager.knowledge.embedding_model import MODEL
from packager.knowledge.passages import Passage
from packager.process import progress
from packager.recipe import knowledge as sections
from packager.recipe.loading import located
from packager.recipe.recipe import Recipe


class Material(sections.Knowledge):
    """The recipe's section, and what `data` does with patient identifiers."""

    identifiers: str = "stop"
    language: str = "pt-BR"


def material_of(recipe: Recipe) -> Material:
    """What the recipe says of its approved material; it must have that section."""
    assert recipe.knowledge is not None
    return Material(**recipe.knowledge.model_dump(), identifiers=recipe.data.identifiers, language=recipe.language)


def knowledge(config: Material, data: Dataset, out: Path) -> Knowledge:
    """Write the approved material of a recipe into `out` and ask it questions."""
    heldout, pieces = _pieces(config, data)
    found = passages.refuse_identifiers(pieces, allowed=config.identifiers == "allow")
    passages.refuse_instructions(pieces)
    damaged = audit.damaged(pieces)
    foreign = passages.in_another_language(pieces, config.language)
    programs = cache_folder("knowledge")
    progress.note(f"{len(pieces)} passages are indexed")
    index.write(pieces, out, programs)
    if config.threshold is None:
        scores = threshold.choose(out, programs)
    else:
        scores = index.Threshold(*[round(config.threshold * 1e6)] * 2)
        index.set_threshold(out, scores)
    shutil.copyfile(engine.model_file(), out / MODEL)
    write_atomically(out / engine.LICENCE, engine.licence())
    with search.opened(out, programs) as opened:
        asked = measure.read_questions(located(config.questions)) if config.questions else measure.typed(heldout)
        worded = shown.worded(asked)
        found_of = opened.ask_all([one.question for one in worded])
        measured, counted = measure.measure(opened, worded, found_of), shown.shown(worded, found_of)
        searched = measure.searches(opened, asked)
    return Knowledge(
        folder=out,
        duplicates=tuple(audit.duplicates(pieces)),
        contradictions=tuple(audit.contradicting(pieces)),
        checks=(
            verdict("knowledge.identifiers", found, 0, "identifiers", found == 0 or config.identifiers == "allow",
                    f"{found} patient identifiers are in the {len(pieces)} approved passages."),
            verdict("knowledge.damaged", len(damaged), 0, "passages", not damaged,
                    f"{len(damaged)} approved passages have damaged text"
                    f"{': ' + ', '.join(damaged[:5]) if damaged else ''}."),
            verdict("knowledge.language", len(foreign), 0, "passages", not foreign,
                    f"{len(foreign)} approved passages are not in {config.language}"
                    f"{': ' + ', '.join(foreign[:5]) if foreign else ''}."),
        ),
        passages=len(pieces),
        sources=tuple(dict.fromkeys(p.source for p in pieces)),
        near=scores.near / 1e6,
        sure=scores.sure / 1e6,
        by_people=config.questions is not None,
        searches=searched,
        files=(index.PASSAGES, index.INDEX, MODEL, engine.LICENCE),
        wordless=len(asked) - len(worded),
        **vars(counted),
        **vars(measured),
    )  # fmt: skip


def _pieces(config: Material, data: Dataset) -> tuple[list[Passage], list[Passage]]:
    """The passages of held-out rows, or all where no rows are taken; and all passages."""
    train = passages.from_conversations(data.folder / TRAIN) if config.rows else []
    names = [n for n in (HELDOUT, CHOOSING) if (data.folder / n).is_file()] if config.rows else []
    heldout = [piece for name in names for piece in passages.from_conversations(data.folder / name)]
    documents = passages.from_folder(located(config.folder)) if config.folder else []
    everything = [*sorted([*train, *heldout], key=lambda p: (p.row or 0, p.question)), *documents]
    return heldout or documents, everything


def fingerprint(recipe: Recipe) -> list[object]:
    """The search's own source, the embedding model, and the files that the section names."""
    config = material_of(recipe)
    return [engine.fingerprint(), measure.files_fingerprint(config.folder, config.questions)]
