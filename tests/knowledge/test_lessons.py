"""Rows with passages: the right one among near ones, the right one missing, nothing held out, the served form."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from packager.errors import InputError
from packager.knowledge.answer import NOT_FOUND
from packager.knowledge.lessons import CASES, LESSONS, Form, cases, lessons, read_cases, write_cases, write_lessons
from packager.knowledge.measure import Asked
from packager.knowledge.search import Search


def rows_of(opened: Search) -> list[dict[str, object]]:
    """As the data stage writes them, every third passage held out."""
    return [
        {
            "messages": [
                {"role": "system", "content": "Com clareza."},
                {"role": "user", "content": passage.question},
                {"role": "assistant", "content": passage.text},
            ],
            "topic": passage.topic,
            "row": passage.row,
        }
        for place, passage in enumerate(opened.passages)
        if place % 3
    ]


def said(row: dict[str, object]) -> list[str]:
    messages = row["messages"]
    assert isinstance(messages, list)
    return [message["content"] for message in messages]


def test_rows_with_passages(opened: Search, programs: Path) -> None:
    rows = rows_of(opened)
    texts = {passage.row: passage.text for passage in opened.passages}
    heldout = {p.text for place, p in enumerate(opened.passages) if not place % 3}
    made = lessons(opened, rows, 0.5, Form(programs, "pt-BR", 3))
    assert len(made) == len(rows) // 2
    missing = [row for row in made if said(row)[2] == NOT_FOUND]
    assert len(missing) == len(made) // 5
    places = set()
    for row in made:
        system, prompt, answer = said(row)
        assert system == "Com clareza."
        assert prompt.startswith("Material aprovado:\n1. ")
        assert "\n\nPergunta: " in prompt
        assert not any(text in prompt for text in heldout)
        own = texts[row["row"]]  # type: ignore[index]
        assert (own in prompt) == (row not in missing)
        if row not in missing:
            assert answer == own
            places.add(next(line[0] for line in prompt.splitlines() if line[3:] == own))
    assert places == {"1", "2", "3"}  # the place tells nothing
    assert lessons(opened, rows, 0.5, Form(programs, "pt-BR", 3)) == made  # no chance in it
    assert lessons(opened, rows, 0.0, Form(programs, "pt-BR", 3)) == []


def test_rows_that_are_too_long_are_counted_and_many_stop_the_build(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"messages": [{"role": "user", "content": "a" * n}]} for n in (1, 2, 3, 90)]
    assert write_lessons(rows, lambda m: len(m[0]["content"]), 50, 0.3, tmp_path) == 1
    assert len((tmp_path / LESSONS).read_text().splitlines()) == 3
    with pytest.raises(InputError, match=r"1 of 4 rows with passages"):
        write_lessons(rows, lambda m: len(m[0]["content"]), 50, 0.1, tmp_path)


def test_cases_are_what_the_clinic_would_ask(opened: Search, programs: Path, tmp_path: Path) -> None:
    one, other = opened.passages[3], opened.passages[9]
    asked = [Asked(one.question, (one.row or 0,)), Asked("quem ganhou o jogo"), Asked(other.question, (), other.id)]
    found = cases(opened, asked, 24, Form(programs, "pt-BR", 2))
    assert [case.answer for case in found] == [one.text, other.text]
    shown = [hit.passage.text for hit in opened.answer(one.question).hits][:2]
    assert found[0].passages == tuple(shown)
    assert all(text in found[0].prompt for text in shown)
    write_cases(found, tmp_path)
    assert read_cases(tmp_path) == found
    assert len(json.loads((tmp_path / CASES).read_text().splitlines()[0])) == 4
