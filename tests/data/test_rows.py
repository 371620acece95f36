"""Sources and formats: whatever a file holds, rows come out or a line is named."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hub_server import COMMIT, Hub, environment, serve

from packager.data.rows.encoding import guess
from packager.data.rows.table import check_rows, read_rows, rows_fingerprint
from packager.errors import InputError
from packager.recipe.loading import ROOT, load
from packager.recipe.sections import Data, Fields

REAL = Path(os.environ.get("PACKAGER_REAL_DATA", ROOT.parent / "shared" / "data"))
APS = REAL / "aps" / "perguntas_respostas_APS_2000.jsonl"
MEDQUAD = REAL / "medquad" / "All-2479-Answers-retrieved-from-MedQuAD.csv"
PAIRS = [("O que é o SUS?", "É o sistema público."), ("O que faz a ESF?", "Cuida da família.")]


def write(path: Path, text: str, encoding: str = "utf-8") -> Data:
    path.write_bytes(text.encode(encoding))
    return Data(source=str(path))


def jsonl(*values: object) -> str:
    return "".join(json.dumps(v, ensure_ascii=False) + "\n" for v in values)


def pairs(config: Data) -> list[tuple[str, str]]:
    table = read_rows(config)
    assert not table.bad
    return [(row.question, row.answer) for row in table.rows]


QA = jsonl(*({"question": q, "answer": a} for q, a in PAIRS))


def test_json_lines_keep_their_line_numbers_past_blank_lines(tmp_path: Path) -> None:
    table = read_rows(write(tmp_path / "a.jsonl", "\n" + QA.replace("\n", "\n\n")))
    assert [row.line for row in table.rows] == [2, 4]
    assert table.rows[0].messages == (("user", PAIRS[0][0]), ("assistant", PAIRS[0][1]))


def test_text_is_stripped_composed_and_has_plain_line_ends(tmp_path: Path) -> None:
    config = write(tmp_path / "a.jsonl", jsonl({"question": "  O que e\u0301?\t", "answer": "um\r\ndois\r\n "}))
    assert pairs(config) == [("O que \u00e9?", "um\ndois")]


def test_the_system_message_is_cleaned_as_rows_are(tmp_path: Path) -> None:
    """A YAML block scalar ends in a line feed, which some templates trim and others do not."""
    config = write(tmp_path / "a.jsonl", QA).model_copy(update={"system": "Voce\u0302 responde.\r\nBem.\n"})
    assert read_rows(config).rows[0].system == "Você responde.\nBem."


def test_the_one_list_of_a_json_object_is_found_by_its_key(tmp_path: Path) -> None:
    listed = [{"question": q, "answer": a} for q, a in PAIRS]
    for key, value in {"quest\u00f5es": {}, "rows": {"name": "rows", "meta": {"x": [1, 2]}}}.items():
        text = json.dumps({**value, key: listed}, indent=1)
        assert pairs(write(tmp_path / "a.json", text)) == PAIRS


def test_a_line_separator_inside_a_string_does_not_end_the_line(tmp_path: Path) -> None:
    config = write(tmp_path / "a.jsonl", jsonl({"question": "a\u2028b", "answer": "c"}))
    assert pairs(config) == [("a\u2028b", "c")]


def test_every_bad_row_is_named_at_once_with_its_line(tmp_path: Path) -> None:
    text = (
        '{"question": "a"\n{"question": "a"}\n{"question": " ", "answer": "b"}\n[1]\n'
        '{"question": "a", "answer": 7}\n{"question": "a", "answer": "\\ud800"}\n{"question": "ok", "answer": "ok"}\n'
    )
    config = write(tmp_path / "bad.jsonl", text)
    with pytest.raises(InputError) as caught:
        check_rows(config)
    said = caught.value.message
    assert "6 of 7 rows" in said
    assert "bad.jsonl:1: invalid JSON" in said
    assert "bad.jsonl:2: missing field 'answer'" in said
    assert "bad.jsonl:3: empty 'question'" in said
    assert "bad.jsonl:4: not an object" in said
    assert "bad.jsonl:5: 'answer' is not text, but a number" in said
    assert "bad.jsonl:6: 'answer' holds characters" in said
    check_rows(config.model_copy(update={"bad_rows": "drop"}))


def test_many_bad_rows_are_counted_and_the_first_twenty_shown(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"and 30 more") as caught:
        check_rows(write(tmp_path / "bad.jsonl", QA + "{\n" * 50))
    assert caught.value.message.count("invalid JSON") == 20


def test_a_source_of_only_bad_rows_is_refused_even_when_they_are_dropped(tmp_path: Path) -> None:
    config = write(tmp_path / "bad.jsonl", "{\n").model_copy(update={"bad_rows": "drop"})
    with pytest.raises(InputError, match="1 of 1 rows"):
        check_rows(config)


def test_wrong_column_names_are_one_error_with_the_nearest_name(tmp_path: Path) -> None:
    config = write(tmp_path / "a.jsonl", jsonl({"questoin": "a", "answer": "b"}) * 30)
    with pytest.raises(InputError) as caught:
        check_rows(config)
    assert "no column 'question'; it has answer, questoin" in caught.value.message
    assert "did you mean 'questoin'?" in caught.value.fix


@pytest.mark.parametrize("content", [b"", b"\n\n", b"[]"])
def test_an_empty_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.jsonl").write_bytes(content)
    with pytest.raises(InputError, match=r"is empty|holds no rows"):
        check_rows(Data(source=str(tmp_path / "a.jsonl")))


def test_a_missing_file_suggests_the_nearest(tmp_path: Path) -> None:
    write(tmp_path / "perguntas.jsonl", QA)
    with pytest.raises(InputError) as caught:
        check_rows(Data(source=str(tmp_path / "pergunta.jsonl")))
    assert "perguntas.jsonl" in caught.value.fix
    with pytest.raises(InputError) as caught:
        check_rows(Data(source=str(tmp_path / "no" / "such" / "file.jsonl")))
    assert "does not exist either" in caught.value.fix


@pytest.mark.parametrize("encoding", ["cp1252", "cp850", "mac_roman", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_an_encoding_that_is_not_utf8_is_named_and_can_be_set(tmp_path: Path, encoding: str) -> None:
    config = write(tmp_path / "a.jsonl", QA, encoding)
    with pytest.raises(InputError, match=f"it looks like {encoding}") as caught:
        check_rows(config)
    assert "a.jsonl is not UTF-8 text" in caught.value.message or "holds NUL" in caught.value.message
    assert pairs(config.model_copy(update={"encoding": encoding})) == PAIRS


def test_a_byte_order_mark_is_dropped(tmp_path: Path) -> None:
    assert pairs(write(tmp_path / "a.csv", "question,answer\na,b\n", "utf-8-sig")) == [("a", "b")]


def test_an_unknown_encoding_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not an encoding"):
        check_rows(write(tmp_path / "a.jsonl", QA).model_copy(update={"encoding": "utf-9"}))


def test_the_guess_prefers_what_portuguese_uses() -> None:
    text = "Atenção à saúde: avaliação, “prevenção” e ações"
    assert guess(text.encode("cp1252")) == "cp1252"


@pytest.mark.parametrize(
    "text",
    [
        json.dumps([{"question": q, "answer": a} for q, a in PAIRS], indent=1),
        json.dumps({"version": 1, "data": [{"question": q, "answer": a} for q, a in PAIRS]}),
        QA,
    ],
    ids=["a list", "a list in an object", "JSON Lines misnamed"],
)
def test_json_files(tmp_path: Path, text: str) -> None:
    assert pairs(write(tmp_path / "a.json", text)) == PAIRS


def test_json_objects_know_the_line_they_begin_on(tmp_path: Path) -> None:
    text = '[\n {"question": "a",\n  "answer": "b"},\n {"question": "c", "answer": "d"},\n {"question": oops}\n]'
    table = read_rows(write(tmp_path / "a.json", text))
    assert [row.line for row in table.rows] == [2, 4]
    assert table.bad[0].line == 5
    assert "invalid JSON" in table.bad[0].reason


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_of_a_csv_is_found(tmp_path: Path, delimiter: str) -> None:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter)
    writer.writerow(["question", "topic", "answer"])
    writer.writerow(["a, b; c", "x|y", 'um\n"dois"\n\ntrês'])
    writer.writerow(["d", "z", "e"])
    table = read_rows(write(tmp_path / "a.csv", text.getvalue()))
    assert [(r.question, r.answer, r.line) for r in table.rows] == [
        ("a, b; c", 'um\n"dois"\n\ntrês', 2),
        ("d", "e", 6),
    ]


def test_csv_rows_that_do_not_fit_are_named_by_line(tmp_path: Path) -> None:
    text = 'question,answer\na,b\nc,d,e\n\n"f" g,h\ni,"j\nk,l\n'
    table = read_rows(write(tmp_path / "a.csv", text))
    assert [(r.question, r.answer) for r in table.rows] == [("a", "b")]
    assert [(b.line, b.reason.partition(" (")[0]) for b in table.bad] == [
        (3, "3 cells, but the header has 2"),
        (5, "broken CSV"),
        (6, "broken CSV"),
    ]
    assert "never closed" in table.bad[2].reason


def test_parquet(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    values = [{"question": q, "answer": a} for q, a in PAIRS]
    parquet.write_table(arrow.Table.from_pylist([*values, {"question": "x", "answer": None}]), tmp_path / "a.parquet")
    table = read_rows(Data(source=str(tmp_path / "a.parquet")))
    assert [(r.question, r.answer) for r in table.rows] == PAIRS
    assert (table.bad[0].line, table.bad[0].reason) == (3, "empty 'answer'")
    (tmp_path / "b.parquet").write_bytes(b"PAR1 this is none")
    with pytest.raises(InputError, match=r"b\.parquet is not a Parquet file"):
        read_rows(Data(source=str(tmp_path / "b.parquet")))


def test_a_folder_is_read_whole_in_the_order_of_names(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / ".git").mkdir()
    write(tmp_path / "b.jsonl", jsonl({"question": "3", "answer": "c"}))
    write(tmp_path / "a.csv", "question;answer\n1;a\n")
    write(tmp_path / "sub" / "c.json", json.dumps([{"question": "4", "answer": "d"}, {"question": "5"}]))
    write(tmp_path / ".git" / "d.jsonl", QA)
    write(tmp_path / "README.md", "no data")
    table = read_rows(Data(source=str(tmp_path)))
    assert [row.question for row in table.rows] == ["1", "3", "4"]
    assert [(b.file, b.line) for b in table.bad] == [("sub/c.json", 1)]
    assert table.files == ("a.csv", "b.jsonl", "sub/c.json")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match="holds no data file"):
        read_rows(Data(source=str(empty)))


def test_alpaca_joins_instruction_and_input(tmp_path: Path) -> None:
    text = jsonl(
        {"instruction": "Explain:", "input": "What is asthma?", "output": "A disease."},
        {"instruction": "Say hello.", "input": "", "output": "Hello."},
        {"instruction": "Say bye.", "output": "Bye."},
    )
    config = write(tmp_path / "a.jsonl", text).model_copy(update={"format": "alpaca"})
    assert pairs(config) == [
        ("Explain:\nWhat is asthma?", "A disease."),
        ("Say hello.", "Hello."),
        ("Say bye.", "Bye."),
    ]


def conversation(*turns: tuple[str, str]) -> dict[str, list[dict[str, str]]]:
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


def test_conversations_of_several_turns(tmp_path: Path) -> None:
    turns = [("system", "s"), ("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")]
    config = write(tmp_path / "a.jsonl", jsonl(conversation(*turns))).model_copy(update={"format": "messages"})
    (row,) = read_rows(config).rows
    assert list(row.messages) == turns
    assert (row.question, row.answer, row.system) == ("a\nc", "b\nd", "s")


@pytest.mark.parametrize(
    ("turns", "why"),
    [
        ([("user", "a")], "do not alternate"),
        ([("assistant", "a")], "do not alternate"),
        ([("user", "a"), ("user", "b"), ("assistant", "c")], "do not alternate"),
        ([("system", "a")], "do not alternate"),
        ([("user", "a"), ("system", "s"), ("assistant", "b")], "after the first message"),
        ([("narrator", "a"), ("assistant", "b")], "message 1 has no role"),
        ([("user", "a"), ("assistant", " ")], "empty 'content' in message 2"),
        ([], "not a list of messages"),
    ],
)
def test_conversations_that_cannot_be_trained_on(tmp_path: Path, turns: list[tuple[str, str]], why: str) -> None:
    text = jsonl(conversation(*turns))
    (bad,) = read_rows(write(tmp_path / "a.jsonl", text).model_copy(update={"format": "messages"})).bad
    assert why in bad.reason


def test_the_recipes_system_message_comes_first_and_tolerates_no_other(tmp_path: Path) -> None:
    text = jsonl(
        conversation(("user", "a"), ("assistant", "b")),
        conversation(("system", "x"), ("user", "a"), ("assistant", "b")),
    )
    config = write(tmp_path / "a.jsonl", text).model_copy(update={"format": "messages", "system": "Seja claro."})
    table = read_rows(config)
    assert table.rows[0].messages[0] == ("system", "Seja claro.")
    assert "system message of its own" in table.bad[0].reason


CELL = "Question: {} (Also called: X)\nURL: https://example.org/1\nAnswer: {} \n"


@pytest.mark.parametrize("delimiter", [",", ";"])
def test_medquads_judged_answers(tmp_path: Path, delimiter: str) -> None:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter)
    writer.writerow(["AnswerID", "Answer"])
    writer.writerow(["ADAM_0003147_Sec1.txt", CELL.format("What is it ?", "One; two,\n  three (four).)")])
    writer.writerow(["GHR_1_2.txt", CELL.format("Who ?", "A person (an adult)")])
    writer.writerow(["GHR_1_3.txt", "no cell"])
    config = write(tmp_path / "a.csv", text.getvalue()).model_copy(update={"format": "medquad"})
    table = read_rows(config)
    assert [(r.question, r.answer, r.topic) for r in table.rows] == [
        ("What is it ? (Also called: X)", "One; two,\n  three (four).)", "ADAM"),
        ("Who ? (Also called: X)", "A person (an adult)", "GHR"),
    ]
    assert "not of the form" in table.bad[0].reason
    dropped = read_rows(config.model_copy(update={"unmatched_bracket": "drop"}))
    assert [r.answer for r in dropped.rows] == ["One; two,\n  three (four).", "A person (an adult)"]


DOCUMENT = """<?xml version="1.0" encoding="UTF-8"?>
<Document id="0000001" source="CancerGov" url="https://example.org">
<Focus>Leukemia &amp; more</Focus>
<FocusAnnotations><Category>Disease</Category></FocusAnnotations>
<QAPairs>
  <QAPair pid="1">
    <Question qid="1-1" qtype="information">What is (are) Leukemia ?</Question>
    <Answer>A cancer
of the blood.</Answer>
  </QAPair>
  <QAPair pid="2">
    <Question qid="1-2" qtype="causes">What causes it ?</Question>
    <Answer></Answer>
  </QAPair>
</QAPairs>
</Document>
"""


def test_medquads_xml_release(tmp_path: Path) -> None:
    folder = tmp_path / "1_CancerGov_QA"
    folder.mkdir()
    write(folder / "0000001.xml", DOCUMENT)
    write(folder / "0000002.xml", DOCUMENT.replace("</Answer>", ""))
    write(folder / "notes.csv", "a,b\n1,2\n")
    table = read_rows(Data(source=str(tmp_path), format="medquad", bad_rows="drop"))
    (row,) = table.rows
    assert (row.question, row.answer, row.topic, row.line) == (
        "What is (are) Leukemia ?",
        "A cancer\nof the blood.",
        "Leukemia & more",
        6,
    )
    assert [(b.file, b.line) for b in table.bad] == [
        ("1_CancerGov_QA/0000001.xml", 11),
        ("1_CancerGov_QA/0000002.xml", 10),
    ]
    assert table.bad[0].reason == "empty 'answer'"


def test_xml_that_declares_entities_is_refused_before_it_grows(tmp_path: Path) -> None:
    bomb = '<!DOCTYPE d [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>' + DOCUMENT.partition("\n")[2]
    (bad,) = read_rows(write(tmp_path / "a.xml", bomb).model_copy(update={"format": "medquad"})).bad
    assert "declares entities" in bad.reason


def test_the_fingerprint_follows_the_bytes_of_rows_and_template(tmp_path: Path) -> None:
    config = write(tmp_path / "a.jsonl", QA)
    template = tmp_path / "alpaca.jinja"
    template.write_text("{{ messages[0].content }}")
    with_template = config.model_copy(update={"template": str(template)})
    before = rows_fingerprint(config), rows_fingerprint(with_template)
    assert before[0] != before[1]
    template.write_text("{{ messages[-1].content }}")
    assert rows_fingerprint(with_template) != before[1]
    write(tmp_path / "a.jsonl", QA + QA)
    assert rows_fingerprint(config) != before[0]


def test_a_template_that_is_not_there_is_found_early(tmp_path: Path) -> None:
    config = write(tmp_path / "a.jsonl", QA).model_copy(update={"template": "no/such.jinja"})
    with pytest.raises(InputError, match=r"data\.template"):
        check_rows(config)


def test_checking_two_thousand_rows_imports_nothing_heavy(tmp_path: Path) -> None:
    config = write(tmp_path / "a.jsonl", QA * 1000)
    code = (
        "import sys; from packager.data.rows.table import check_rows; from packager.recipe.sections import Data;"
        f"check_rows(Data(source={config.source!r}));"
        "print([m for m in ('torch', 'transformers', 'numpy', 'pyarrow', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


@pytest.mark.skipif(not APS.is_file(), reason=f"PACKAGER_REAL_DATA: no {APS}")
def test_the_real_aps_file() -> None:
    table = read_rows(Data(source=str(APS), fields=Fields(question="input", answer="output")))
    assert (len(table.rows), len(table.bad)) == (2000, 0)
    assert len({r.question for r in table.rows}) == 32
    assert len({r.answer for r in table.rows}) == 10


@pytest.mark.skipif(not MEDQUAD.is_file(), reason=f"PACKAGER_REAL_DATA: no {MEDQUAD}")
def test_the_real_medquad_file() -> None:
    table = read_rows(Data(source=str(MEDQUAD), format="medquad"))
    assert (len(table.rows), len(table.bad)) == (2479, 0)
    assert len({r.question for r in table.rows}) == 1805
    assert len({r.answer for r in table.rows}) == 1896
    assert all(r.answer.endswith(")") for r in table.rows)


def in_child(hub: Hub, cache: Path, *configs: dict[str, Any]) -> list[dict[str, Any]]:
    """Read each config in one fresh process against that Hub: what it read, or how it failed."""
    code = """
import json, sys
from packager.data.rows.table import check_rows, read_rows
from packager.errors import PackagerError
from packager.recipe.sections import Data
for given in json.loads(sys.argv[1]):
    try:
        config = Data(**given)
        check_rows(config)
        table = read_rows(config)
        said = {"rows": len(table.rows), "first": table.rows[0].messages, "revision": table.revision}
    except PackagerError as error:
        said = {"error": type(error).__name__, "message": error.message, "fix": error.fix}
    print(json.dumps(said))
"""
    command = [sys.executable, "-c", code, json.dumps(configs)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment(hub, cache), timeout=120)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_data_set_of_the_hub_is_fetched_once_at_its_commit(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    cards = jsonl(*({"instruction": "Answer.", "input": f"What is {i}?", "output": f"Number {i}."} for i in range(40)))
    source = {"source": "hf:org/cards", "format": "alpaca"}
    folder = tmp_path / "repo"
    folder.mkdir()
    (folder / "cards.jsonl").write_text(cards, encoding="utf-8")
    (folder / "README.md").write_text("---\nlicense: mit\n---\n", encoding="utf-8")
    with serve(datasets={"org/cards": folder}) as hub:
        hub.refused["org/gated"] = (403, "GatedRepo", "Access is restricted")
        first, pinned, split, revision, missing, gated = in_child(
            hub,
            tmp_path,
            source,
            source | {"revision": "v1"},
            source | {"hub_split": "test"},
            source | {"revision": "v9"},
            source | {"source": "hf:org/none"},
            source | {"source": "hf:org/gated"},
        )
        assert first == {
            "rows": 40,
            "first": [["user", "Answer.\nWhat is 0?"], ["assistant", "Number 0."]],
            "revision": COMMIT,
        }
        assert pinned["revision"] == COMMIT
        assert "test" in split["message"]
        assert "data.hub_split" in split["fix"]
        assert "v9" in revision["message"]
        assert revision["fix"] == "correct data.revision"
        assert missing["error"] == "InputError"
        assert "org/none" in missing["message"]
        assert "gated" in gated["message"]
        assert any(COMMIT in request for request in hub.requests)
        hub.requests.clear()
        assert in_child(hub, tmp_path, source) == [first]
        assert hub.requests == []
    (again,) = in_child(hub, tmp_path, source)
    assert again == first
    (offline,) = in_child(hub, tmp_path / "other", source)
    assert offline["error"] == "MissingResource"


def test_a_shipped_recipe_finds_its_data_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = load("smollm2_aps").data
    here = rows_fingerprint(config)
    monkeypatch.chdir(tmp_path)
    assert rows_fingerprint(config) == here
    (tmp_path / "recipes/data").mkdir(parents=True)
    (tmp_path / config.source).write_text('{"question": "a", "answer": "b"}\n')
    assert rows_fingerprint(config) != here
