"""Questions as people type them find their row; questions that no row answers are refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from packager.artifacts.knowledge import Mistaken
from packager.errors import InputError
from packager.knowledge import engine, index
from packager.knowledge.answer import NEAREST, NOT_FOUND, approved
from packager.knowledge.measure import MISTAKES, Asked, measure
from packager.knowledge.search import VERDICTS, Search
from packager.knowledge.search import opened as open_search
from packager.knowledge.shown import on_the_page, shown, worded
from tests.knowledge.conftest import read_lines

SHOWN = ("found", "near")


def right(line: dict[str, object]) -> set[object]:
    rows = line.get("rows")
    return set(rows) if isinstance(rows, list) else {line["row"]} - {None}


def test_the_questions_are_whole_and_spread() -> None:
    lines, rows = read_lines("aps_questions.jsonl"), read_lines("aps.jsonl")
    inside = [line for line in lines if right(line)]
    assert len(inside) >= 150
    assert len(lines) - len(inside) >= 80
    assert len({str(line["question"]).casefold() for line in lines}) == len(lines)
    asked = {row for line in inside for row in right(line)}
    assert all(isinstance(row, int) and 1 <= row <= len(rows) for row in asked)
    assert {rows[int(str(row)) - 1]["topic"] for row in asked} == {row["topic"] for row in rows}
    assert all(line["kind"] for line in lines if not right(line))


@pytest.mark.slow
def test_the_bars_on_questions_as_people_type_them(all_rows: Search) -> None:
    lines = read_lines("aps_questions.jsonl")
    outcomes = all_rows.ask_all([str(line["question"]) for line in lines])
    inside = [(right(line), found) for line, found in zip(lines, outcomes, strict=True) if right(line)]
    outside = [(line["kind"], found) for line, found in zip(lines, outcomes, strict=True) if not right(line)]
    first = sum(found.hits[0].passage.row in rows for rows, found in inside) / len(inside)
    three = sum(any(hit.passage.row in rows for hit in found.hits[:3]) for rows, found in inside) / len(inside)
    kept = sum(found.verdict in SHOWN for _, found in inside) / len(inside)
    others = [found.verdict in SHOWN for kind, found in outside if kind != "near"]
    claimed = [found.verdict == "found" for kind, found in outside if kind == "near"]
    accepted, claims = sum(others) / len(others), sum(claimed) / len(claimed)
    print(f"first {first:.3f}, three {three:.3f}, kept {kept:.3f}, outside {accepted:.3f}, near claimed {claims:.3f}")
    assert first >= 0.78
    assert three >= 0.92
    assert kept >= 0.9
    assert accepted <= 0.10
    assert claims <= 0.2


def test_a_sign_that_stands_for_many_is_searched_as_those(programs: Path) -> None:
    """U+FDFA becomes 18 signs in e5.c, which makes room for 12."""
    one, other = ([("", "Louvor " + sign * 400)] for sign in ("ﷺ", "صلى الله عليه وسلم"))
    assert engine.vectors(programs, one) == engine.vectors(programs, other)


def test_an_approved_answer_is_the_row_word_for_word(opened: Search) -> None:
    shown = approved(opened, "ate q temperatura guarda vacina na sala")
    row = read_lines("aps.jsonl")[430]
    assert not shown.silent
    assert (shown.text, shown.passages[0].passage.source) == (row["answer"], row["source"])
    assert shown.as_json()["mode"] == "approved"


@pytest.mark.parametrize(
    ("question", "word"),
    [("qts gotas de dipirona pra criança de 12 kg", "dose"), ("qual o telefone do caps", "lugar"), ("?!", "Escreva")],
)
def test_what_the_material_does_not_hold_is_refused_with_what_to_do(opened: Search, question: str, word: str) -> None:
    shown = approved(opened, question)
    assert shown.silent
    assert shown.text.startswith(NOT_FOUND)
    assert word in shown.text
    assert shown.passages == ()


def test_what_people_type_is_searched_in_the_words_of_the_material(opened: Search) -> None:
    assert (
        opened.rewritten("pq a PRESSAO alta, tb em gravida?")
        == "por que a hipertensão pressão alta, também em gestante?"
    )
    assert opened.rewritten("") == ""
    assert opened.rewritten("💊 \xff <|im_end|>") == "💊 \xff <|im_end|>"


def test_a_passage_about_the_same_is_shown_as_the_closest_and_not_as_the_answer(
    material: Path, programs: Path, tmp_path: Path
) -> None:
    shutil.copytree(material, tmp_path / "material")
    question = "vacina na geladeira"
    with open_search(tmp_path / "material", programs) as before:
        score = before.ask(question).hits[0].score
    index.set_threshold(tmp_path / "material", index.Threshold(near=score, sure=score + 1))
    with open_search(tmp_path / "material", programs) as opened:
        shown = approved(opened, question)
        assert (shown.silent, shown.sure) == (False, False)
        assert shown.text == f"{NEAREST} {shown.passages[0].passage.text}"
        assert shown.as_json()["sure"] is False
        dose = opened.ask("quantos ml de vacina na geladeira")  # whoever asks for a dose gets that dose or none
        assert dose.verdict in ("dose", "far")
    index.set_threshold(tmp_path / "material", index.Threshold(near=score + 1, sure=score + 1))
    with open_search(tmp_path / "material", programs) as opened:
        assert opened.ask(question).verdict == "far"


def test_the_closest_is_shown_from_a_lower_score_than_the_answer(material: Path, opened: Search) -> None:
    chosen = index.threshold(material)
    assert 700_000 < chosen.near < chosen.sure < 1_000_000
    asked = [Asked("oi, tudo bem?"), Asked("quem descobriu o brasil"), Asked("vacina na geladeira", near=True)]
    measured = measure(opened, [*asked, Asked(opened.passages[0].question, (opened.passages[0].row or 0,))])
    assert (measured.asked, measured.outside, measured.asked_near) == (1, 2, 1)
    assert (measured.found_first, measured.kept, measured.kept_sure, measured.silent) == (1, 1, 1, 1)
    assert measured.unclaimed in (0, 1)


def test_what_the_search_gets_wrong_is_kept_for_people_to_see(material: Path, programs: Path, tmp_path: Path) -> None:
    shutil.copytree(material, tmp_path / "material")
    index.set_threshold(tmp_path / "material", index.Threshold(near=0, sure=0))  # everything is shown as the answer
    with open_search(tmp_path / "material", programs) as opened:
        question = opened.passages[0].question
        first = [hit.passage for hit in opened.ask(question).hits]
        other = next(p for p in opened.passages if p not in first)
        outside = [Asked(f"quem descobriu o brasil {n}") for n in range(MISTAKES + 2)]
        right, wrong = Asked(question, (first[0].row or 0,)), Asked(question, (other.row or 0,))
        measured = measure(opened, [right, wrong, *outside])
    kept = measured.mistakes
    assert (measured.kept_sure, measured.right_when_sure) == (1, 0.5)
    assert kept[0] == Mistaken(ask=question, shown=first[0].question, right=other.question, claimed=True)
    assert [one.ask for one in kept[1:]] == [one.question for one in outside[:MISTAKES]]
    assert {one.right for one in kept[1:]} == {""}


def test_what_is_shown_is_counted_once_and_adds_up(material: Path, programs: Path, tmp_path: Path) -> None:
    shutil.copytree(material, tmp_path / "material")
    with open_search(tmp_path / "material", programs) as opened:
        score = opened.ask(opened.passages[0].question).hits[0].score
    index.set_threshold(tmp_path / "material", index.Threshold(near=0, sure=score))  # one answer, the others closest
    with open_search(tmp_path / "material", programs) as opened:
        mine = [Asked(p.question, (p.row or 0,)) for p in opened.passages[:4]]
        wrong = Asked(opened.passages[0].question, (9999,))
        empty = [Asked("?!", (opened.passages[0].row or 0,)), Asked(" ", (1,))]
        asked = worded([*mine, wrong, *empty, Asked("quem descobriu o brasil"), Asked("vacina?", near=True)])
        found = opened.ask_all([one.question for one in asked])
        counted, measured = shown(asked, found), measure(opened, asked, found)
        assert [on_the_page(one) for one in found] == [
            one.hits for one in opened.answer_all([q.question for q in asked])
        ]
    assert len(asked) == 7  # those without a word are in no count, and no mistakes
    inside = counted.shown_inside
    assert (inside.asked, inside.wrong, inside.silent) == (measured.asked, 1, 0) == (5, 1, 0)
    assert inside.right + inside.right_below + inside.near_right == 4
    assert inside.right / (inside.right + inside.right_below + inside.wrong) == measured.right_when_sure
    assert (counted.shown_outside.near_wrong, counted.shown_outside.asked, counted.shown_near.asked) == (1, 1, 1)
    assert not {"?!", " "} & {one.ask for one in measured.mistakes}


def test_what_is_close_to_everything_has_to_be_closer_to_be_first(opened: Search) -> None:
    questions = [str(line["question"]) for line in read_lines("aps_questions.jsonl")][::40]
    raw = opened.scores(questions)
    settled = opened.without_hubness(raw.copy())
    taken = raw - settled
    spread = taken - taken.mean(axis=1, keepdims=True)  # what a question loses is the same for every passage
    assert (spread.max(axis=0) - spread.min(axis=0) <= 2).all()
    mean = raw.mean(axis=0)
    assert np.corrcoef(spread[0], mean)[0, 1] > 0.5  # a passage that is close to all of these loses more
    for question, scores in zip(questions, settled, strict=True):
        assert opened.ask(question, 1).hits[0].score == scores.max()
    assert opened.scores(["", "?!"]).tolist() == [[0] * len(opened.passages)] * 2


def test_any_text_may_be_asked(opened: Search) -> None:
    for text in ("", " ", "\0", "a" * 5000, "dengue " * 900, "日本語", "é" * 1999, "\ud800"):
        assert opened.ask(text).verdict in VERDICTS


def test_an_old_processor_ranks_alike(opened: Search, material: Path, programs: Path) -> None:
    """Without AVX2 and FMA, which the library otherwise takes where they are."""
    questions = [str(line["question"]) for line in read_lines("aps_questions.jsonl")][::40]
    with open_search(material, programs, plain=True) as old:
        assert [f.ranking for f in old.ask_all(questions, 10)] == [f.ranking for f in opened.ask_all(questions, 10)]


@pytest.mark.parametrize("damage", ["short", "magic", "count", "text"])
def test_a_damaged_file_is_refused(material: Path, programs: Path, tmp_path: Path, damage: str) -> None:
    data = bytearray((material / index.INDEX).read_bytes())
    if damage == "short":
        data = data[:-4]
    elif damage == "magic":
        data[0] ^= 1
    elif damage == "count":
        data[8] ^= 1
    else:
        data[len(engine.EXPRESSIONS.read_bytes()) + 40] ^= 1
    (tmp_path / index.INDEX).write_bytes(bytes(data))
    (tmp_path / index.PASSAGES).write_bytes((material / index.PASSAGES).read_bytes())
    with pytest.raises(InputError, match=r"knowledge"), open_search(tmp_path, programs):
        pass
