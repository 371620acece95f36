"""Rows with a source, or a folder of documents -> `Passage`s: what may be shown word for word, and where it stands.

Fails with `InputError` where a row has no question, answer or source, a document cannot be read, or nothing is left.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packager.artifacts.files import json_lines
from packager.data.audit import identifiers
from packager.data.language import language_of
from packager.data.letters import unaccented
from packager.errors import InputError, all_at_once
from packager.knowledge.documents import SUFFIXES, Section, read_document

WORDS = 120
"""The most words of a passage that is cut from a document: what a phone shows at a glance, and less than a third of
the 512 tokens that e5 reads at once."""
TELLING = 8
"""Words from which on a text's language is told."""
_INSTRUCTION = re.compile(
    r"\b(?:ignor|desconsider|esquec)\w*\s+(?:\w+\s+){0,3}(?:instruc|orientacoes anteriores|previous|above)"
    r"|\b(?:ignore|disregard|forget)\s+(?:\w+\s+){0,3}(?:instructions|prompt)"
    r"|\bsystem prompt\b|<\|[\w ]+\|>|\[/?INST\]",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"(?<=[.!?;:])\s+(?=\S)")


@dataclass(frozen=True)
class Passage:
    """A piece of approved text."""

    id: str
    """The same for the same material: `row-12`, `guia.md-3`."""
    question: str
    """The question it answers, or the headings that it stands under; may be empty."""
    text: str
    """Shown word for word."""
    source: str
    """The document, as a reader would look for it."""
    row: int | None = None
    """The line in the file of rows, counted from 1."""
    heading: str = ""
    page: int | None = None
    """Of a PDF, counted from 1."""
    date: str = ""
    """As the material or the document gives it."""
    topic: str = ""


def from_rows(
    rows: Sequence[Mapping[str, object]], *, question: str = "question", answer: str = "answer", source: str = "source"
) -> list[Passage]:
    """A passage a row; every row must have the three columns. A `topic` and a `date` are taken where there are any."""
    problems, passages = [], []
    for number, row in enumerate(rows, start=1):
        absent = [name for name in (question, answer, source) if not str(row.get(name) or "").strip()]
        if absent:
            problems.append(f"row {number}: no {' and no '.join(absent)}")
            continue
        passages.append(
            Passage(
                id=f"row-{number}",
                question=_one_line(str(row[question])),
                text=_one_line(str(row[answer])),
                source=_one_line(str(row[source])),
                row=number,
                date=str(row.get("date") or ""),
                topic=str(row.get("topic") or ""),
            )
        )
    if problems:
        raise all_at_once(problems[:20], f"{len(problems)} rows cannot be approved material: each needs its source.")
    if not passages:
        raise InputError("The approved material has no rows.", "give a file with question, answer and source")
    return passages


def from_conversations(path: Path) -> list[Passage]:
    """A passage a conversation of `train.jsonl` or `heldout.jsonl`; each must have its source."""
    rows, passages = json_lines(path), []
    if absent := [row["row"] for row in rows if not row.get("source")]:
        raise InputError(
            f"{len(absent)} rows cannot be approved material, because they have no source:"
            f" rows {', '.join(map(str, absent[:20]))}.",
            "name its column in data.fields.source and fill it in, or set knowledge.rows: false",
        )
    for row in rows:
        said = {
            role: _one_line(" ".join(m["content"] for m in row["messages"] if m["role"] == role))
            for role in ("user", "assistant")
        }
        passages.append(
            Passage(
                id=f"row-{row['row']}",
                question=said["user"],
                text=said["assistant"],
                source=_one_line(row["source"]),
                row=row["row"],
                topic=row["topic"] or "",
            )
        )
    return passages


def refuse_identifiers(passages: Sequence[Passage], *, allowed: bool) -> int:
    """How many patient identifiers are in the passages; raises `InputError` that names the passages, if not allowed."""
    found = {p.id: kinds for p in passages if (kinds := identifiers.redact(f"{p.question}\n{p.text}\n{p.source}")[1])}
    if found and not allowed:
        raise all_at_once(
            [f"{name}: {', '.join(dict.fromkeys(kinds))}" for name, kinds in list(found.items())[:20]],
            f"{len(found)} approved passages hold what look like patient identifiers; take them out:",
        )
    return sum(len(kinds) for kinds in found.values())


def refuse_instructions(passages: Sequence[Passage]) -> None:
    """Raises `InputError` for passages that speak to a model instead of to people: a document may have been altered."""
    found = [p.id for p in passages if _INSTRUCTION.search(unaccented(f"{p.question} {p.text}"))]
    if found:
        raise all_at_once(
            found[:20], f"{len(found)} approved passages hold what looks like an instruction to a model; take it out:"
        )


def in_another_language(passages: Sequence[Passage], language: str) -> list[str]:
    """The names of passages of some length that are not in the recipe's language."""
    wanted = language.partition("-")[0]
    long = [p for p in passages if len(p.text.split()) >= TELLING]
    return [p.id for p in long if language_of(p.text) not in (wanted, "unknown")]


def from_folder(folder: Path, *, words: int = WORDS) -> list[Passage]:
    """The documents below `folder` (docs/knowledge.md says which), in the order of their names, cut into passages."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    if other := [path.name for path in files if path.suffix.lower() not in SUFFIXES]:
        raise InputError(
            f"{folder} has files that are not read: {', '.join(other[:5])}.",
            f"keep only {', '.join(sorted(SUFFIXES))} there, or convert them",
        )
    passages: list[Passage] = []
    for path in files:
        name = path.relative_to(folder).as_posix()
        document = read_document(path)
        pieces = [(section, piece) for section in document.sections for piece in cut(section.text, words)]
        if not pieces:
            raise InputError(f"{name} has no text.", "a scanned PDF needs its text recognised first; or take it out")
        passages += [
            _passage(name, document.title, document.date, number, section, piece)
            for number, (section, piece) in enumerate(pieces, start=1)
        ]
    if not passages:
        raise InputError(f"{folder} has no documents.", f"put {', '.join(sorted(SUFFIXES))} files there")
    return passages


def cut(text: str, words: int = WORDS) -> list[str]:
    """Pieces of at most `words` words that end where a paragraph or a sentence ends; a longer sentence stays whole."""
    pieces: list[list[str]] = []
    length = words + 1
    for sentence in _sentences(text):
        count = len(sentence.split())
        if length + count > words:
            pieces.append([])
            length = 0
        pieces[-1].append(sentence)
        length += count
    return [" ".join(piece) for piece in pieces]


def _sentences(text: str) -> Iterable[str]:
    for paragraph in re.split(r"\n\s*\n", text):
        yield from (part for part in _SENTENCE.split(_one_line(paragraph)) if part)


def _passage(name: str, title: str, date: str, number: int, section: Section, piece: str) -> Passage:
    return Passage(
        id=f"{name}-{number}",
        question=section.heading,
        text=piece,
        source=title or name,
        heading=section.heading,
        page=section.page,
        date=date,
    )


def _one_line(text: str) -> str:
    return " ".join(text.split())
