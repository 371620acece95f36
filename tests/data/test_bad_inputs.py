"""Inputs that people really have and that cannot be used: what was found, where, what to do; never a traceback."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sheets import write_ods, write_xlsx

from packager.__main__ import main

Q, A = "O que é a vacina?", "É um cuidado que a equipe da unidade explica."
TITLE = "Perguntas frequentes – UBS Centro"
LONG = "9" * 4400
Make = Callable[[Path], Any]


def lines(*rows: str) -> bytes:
    return "".join(f"{row}\n" for row in rows).encode()


def qa(**more: Any) -> str:
    return json.dumps({"question": Q, "answer": A} | more, ensure_ascii=False)


def chat(*turns: dict[str, Any], **more: Any) -> bytes:
    return lines(json.dumps({"messages": list(turns)} | more, ensure_ascii=False))


def user(**more: Any) -> dict[str, Any]:
    return {"role": "user", "content": Q} | more


def said(**more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": A} | more


def parquet(path: Path, **columns: Any) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet as file

    file.write_table(pyarrow.table(columns), path)


def late(kind: str) -> Any:
    pyarrow = pytest.importorskip("pyarrow")
    moment = pyarrow.array([300_000_000_000_000_000], pyarrow.int64())  # after the year 9999
    return moment.cast(pyarrow.timestamp("us", tz="Nowhere/Land" if kind == "zone" else None))


def xlsx(path: Path, **sheets: Any) -> None:
    pytest.importorskip("python_calamine", reason="python-calamine is not installed: pip install -e .")
    write_xlsx(path, sheets)


def ods(path: Path, **sheets: Any) -> None:
    pytest.importorskip("python_calamine", reason="python-calamine is not installed: pip install -e .")
    write_ods(path, sheets)


def folder(path: Path, **files: bytes) -> None:
    for name, content in files.items():
        inside = path / name.replace("__", "/").replace("_dot_", ".")
        inside.parent.mkdir(parents=True, exist_ok=True)
        inside.write_bytes(content)


# name, content or what makes it, words that must be said
CASES: list[tuple[str, bytes | Make, tuple[str, ...]]] = [
    ("a.jsonl", b"", ("is empty", "export it again")),
    ("a.jsonl", b"\n\n", ("no row that can be read",)),
    ("a.json", b"[]", ("no row that can be read",)),
    ("a.jsonl", b"oops\n", ("no row that can be read: line 1, invalid JSON", "look into it")),
    ("a.docx", b"PK", ("is of no known type", ".xlsx")),
    ("a.pdf", b"%PDF", ("is of no known type",)),
    ("a.jsonl", lines(qa(), "{oops"), ("invalid JSON", "line 2")),
    ("a.jsonl", lines(qa(), qa(id=0).replace("0}", LONG + "}")), ("integer of thousands of digits", "line 2")),
    ("a.json", f"[{qa()},\n{qa(id=0).replace('0}', LONG + '}')}]".encode(), ("thousands of digits", "line 2")),
    ("a.json", f'{{"v": {LONG}, "rows": [{qa()}]}}'.encode(), ("'v' holds an integer", "line 1")),
    ("a.jsonl", lines(qa(), qa(x=0).replace("0}", "[" * 9000 + "]" * 9000 + "}")), ("nested too deeply", "line 2")),
    ("a.json", f"[{qa()},\n{'[' * 9000}{']' * 9000}]".encode(), ("nested too deeply", "line 2")),
    ("a.json", b"[" * 100_000, ("no row that can be read: line 1",)),
    ("a.json", b'{"a":' * 50_000, ("no row that can be read",)),
    ("a.jsonl", lines(qa(), '{"question": "a", "answer": "b", "answer": "c"}'), ("'answer' stands twice", "line 2")),
    ("a.jsonl", lines(qa(), '{"question": "a", "answer": "b", "x": {"y": 1, "y": 2}}'), ("'y' stands twice",)),
    ("a.jsonl", lines(qa(), "[1, 2]"), ("not an object", "line 2")),
    ("a.jsonl", lines(qa(), "null"), ("not an object", "line 2")),
    ("a.jsonl", lines(qa(), qa(answer=7)), ("'answer' is not text, but a number", "line 2")),
    ("a.jsonl", lines(qa(), qa(answer=None)), ("empty 'answer'", "line 2")),
    ("a.jsonl", lines(qa(), qa(answer="nan")), ("empty cell", "line 2")),
    ("a.jsonl", lines(qa(), qa(answer="#REF!")), ("empty cell", "line 2")),
    ("a.jsonl", lines(qa(), qa(question="None")), ("empty 'question'", "line 2")),
    *[("a.jsonl", lines(qa(), qa(answer=nothing)), ("empty 'answer'", "n/d", "line 2"))
      for nothing in ("?", "...", "N/D", "s/n", "Sem resposta", "[]", "a preencher")],
    ("a.jsonl", lines('{"text": "<|user|>a<|assistant|>b"}'), ("one column: text", "into two columns")),
    ("a.jsonl", lines('[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]'),
     ("one turn of a conversation, or a bare list", '{"messages": [...]}')),
    ("a.jsonl", lines(qa(), '{"question": "a", "answer": "\\ud800"}'), ("no text", "line 2")),
    ("a.jsonl", lines(qa(), '{"question": "a", "answer": "b\\u0000"}'), ("no text", "line 2")),
    ("a.json", f"[{qa()}\n{qa()}]".encode(), ("expected ','", "nothing after it was read")),
    ("a.json", f"[{qa()},\n".encode(), ("nothing after it was read",)),
    ("a.jsonl", lines('{"id": "1", "texto": "x"}'), ("id, texto", "--question COLUMN --answer COLUMN")),
    ("a.jsonl", lines('{"prompt": "a", "chosen": "b", "rejected": "c"}'), ("--answer COLUMN",)),
    ("a.csv", b"", ("is empty",)),
    ("a.csv", b"pergunta,resposta,resposta\na,b,c\n", ("'resposta' twice", "a name of its own")),
    ("a.csv", f"{Q},{A}\n{Q},{A}\n".encode(), ("the first row reads like a row", "pergunta and resposta")),
    ("a.csv", b"pergunta,resposta\na,b\nc\n", ("1 cell, but the header has 2", "line 3")),
    ("a.csv", b'pergunta,resposta\na,b\nc,"d\ne,f\n', ("never closed", "line 3")),
    ("a.csv", b'pergunta,resposta\na,b\n"c"d,e\n', ("a closing quote is followed by text", "line 3")),
    ("a.csv", b"pergunta,resposta\na,b\nc,\n", ("empty 'resposta'", "line 3")),
    ("a.csv", b"pergunta;resposta\na;b\nc;#N/D\n", ("empty cell", "line 3")),
    ("a.csv", b"sep=;\npergunta;resposta\na;b\nc;NaN\n", ("empty cell", "line 4")),
    ("a.csv", b"id,texto\n1,a\n", ("id, texto", "--question COLUMN")),
    ("a.jsonl", chat(user(), said()) + chat(user(), said(), said()), ("do not alternate", "line 2")),
    ("a.jsonl", chat(user(), said()) + chat(user()), ("do not alternate", "line 2")),
    ("a.jsonl", chat(user(), said()) + chat(), ("not a list of messages", "line 2")),
    ("a.jsonl", chat(user(), said()) + chat(user(), {"role": "tool", "content": "x"}), ("tool's turn", "line 2")),
    ("a.jsonl", chat(user(), said()) + chat(user(), said(tool_calls=[{"id": "1"}])), ("'tool_calls'", "line 2")),
    ("a.jsonl", chat(user(), said()) + chat(user(), said(reasoning_content="x")), ("reasoning_content", "take it out")),
    ("a.jsonl", chat(user(), said()) + chat(user(), said(), tools=[{"x": 1}]), ("'tools'", "line 2")),
    ("a.jsonl", chat(user(), said()) + chat(user(), said(), images=["a.png"]), ("'images'", "line 2")),
    ("a.jsonl", chat(user(), said()) + chat(user(), said(weight=0.5)), ("a weight other than 0 and 1", "line 2")),
    ("a.jsonl", chat(user(), said()) + chat(user(), said(weight=0)), ("the last answer has weight 0", "line 2")),
    ("a.jsonl", chat(user(), said()) + chat(user(), said(), history=[["a", "b"]]), ("'history'", "line 2")),
    ("a.jsonl", chat(user(), said()) + chat({"role": "juiz", "content": "x"}), ("has no role", "line 2")),
    ("a.jsonl", chat(user(), said()) + chat(user(content=[{"type": "image_url"}]), said()), ("not text", "line 2")),
    ("a.jsonl", chat(user(), said()) + chat(user(content={"a": 1}), said()), ("neither text nor", "line 2")),
    ("a.jsonl", lines('{"conversations": [{"from": "gpt", "value": "oi"}]}'), ("do not alternate", "line 1")),
    ("a.jsonl", lines('{"conversations": "oi"}'), ("not a list of messages", "line 1")),
    ("a.parquet", b"PAR1 no", ("not a Parquet file that can be read", "export it again")),
    ("a.parquet", lambda p: parquet(p, question=[Q, None], answer=[A, A]), ("empty 'question'", "line 2")),
    ("a.parquet", lambda p: parquet(p, question=[Q], answer=late("year")), ("'answer' holds a value", "line 1")),
    ("a.parquet", lambda p: parquet(p, question=[Q], answer=late("zone")), ("'answer' holds a value", "line 1")),
    ("a.parquet", lambda p: parquet(p, id=[1], texto=[A]), ("id, texto", "--question COLUMN")),
    ("a.parquet", lambda p: parquet(p, question=[b"a"], answer=[A]), ("is not text, but bytes", "line 1")),
    ("a.arrow", b"ARROW", ("not an Arrow file that can be read", "export it again")),
    ("a.xlsx", b"PK\x03\x04 no", ("not a spreadsheet that can be read", "save it again")),
    ("a.ods", b"no", ("not a spreadsheet that can be read", "save it again")),
    ("a.xlsx", lambda p: xlsx(p, um=[["x"], ["y"]], dois=[["pergunta", "resposta"], ["a", "b"], ["c", "d"]]),
     ("'um' (2 rows), 'dois' (3 rows)", "Only 'dois' has columns of question and answer", "--sheet dois")),
    ("a.xlsx", lambda p: xlsx(p, **{"UBS: 2": [["x"]], "Plan 1": [["y"]]}), ("'UBS: 2' (1 row)", "--sheet NAME")),
    ("a.xlsx", lambda p: xlsx(p, um=[[TITLE], [None], ["pergunta", "resposta", "tema"], ["a", "b", "c"]]),
     ("row 1 reads like a title", "in row 3 (pergunta, resposta, tema)", "delete rows 1 to 2")),
    ("a.xlsx", lambda p: xlsx(p, um=[[TITLE], ["Código", "Texto livre"], [1, A]]),
     ("in row 2 (Código, Texto livre)", "delete row 1,")),
    ("a.xlsx", lambda p: xlsx(p, um=[["UBS", "2025"], ["Responsável", "Ana"], ["Pergunta", "Resposta"], [Q, A]]),
     ("in row 3 (Pergunta, Resposta)", "delete rows 1 to 2")),
    ("a.xlsx", lambda p: xlsx(p, um=[[TITLE], [Q, A]]), ("row 2 has 2", "give every column a name", "delete a title")),
    ("a.ods", lambda p: ods(p, um=[[TITLE], [""], ["pergunta", "resposta"], [Q, A]]), ("in row 3 (pergunta",)),
    ("a.csv", f"{TITLE};;\n;;\npergunta;resposta;tema\n{Q};{A};x\n".encode(), ("in row 3 (pergunta", "rows 1 to 2")),
    ("a.csv", f"{TITLE}\n\npergunta;resposta\n{Q};{A}\n".encode(), ("in row 3 (pergunta, resposta)",)),
    ("a.csv", f"{TITLE},Unnamed: 1\npergunta,resposta\n{Q},{A}\n".encode(), ("in row 2 (pergunta", "delete row 1,")),
    ("a.csv", b"sep=;\npergunta,resposta\na,b\n",
     ("first line is 'sep=;'", "separated by ','", "make the first line 'sep=,'", "delete that line")),
    ("a.csv", b'"sep=,"\r\npergunta\tresposta\r\na\tb\r\n', ("'sep=,'", "separated by tabs", "sep=<tab>")),
    ("a.xlsx", lambda p: xlsx(p, um=[]), ("no row that can be read",)),
    ("a.xlsx", lambda p: xlsx(p, um=[["pergunta", "resposta", "resposta"], ["a", "b", "c"]]), ("'resposta' twice",)),
    ("a.xlsx", lambda p: xlsx(p, um=[[Q, A], [Q, A]]), ("the first row reads like a row",)),
    ("a.xlsx", lambda p: xlsx(p, um=[["pergunta", "resposta"], ["a", "b"], ["c", 7]]), ("a number", "line 3")),
    ("a.xlsx", lambda p: xlsx(p, um=[["pergunta", "resposta"], ["a", "b"], ["c", "#REF!"]]), ("empty", "line 3")),
    ("a.ods", lambda p: ods(p, um=[["pergunta", "resposta"], ["a", "b"], ["c", "nan"]]), ("empty cell", "line 3")),
    ("a.xml", b"<a><b></a>", ("broken XML",)),
    ("pasta", lambda p: p.mkdir(), ("holds no data file",)),
    ("pasta", lambda p: folder(p, a_dot_csv=b"pergunta,resposta\na,b\n", b_dot_csv=b"id,texto\n1,a\n"), ("b.csv",)),
    ("pasta", lambda p: folder(p, train_dot_csv=b"q,a\n1,2\n", test_dot_csv=b"q,a\n1,2\n", x_dot_csv=b"q,a\n1,2\n"),
     ("x.csv belongs to none", "move it out")),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "words"), CASES, ids=[f"{i}-{c[0]}" for i, c in enumerate(CASES)])
def test_a_bad_input_is_said_in_words(tmp_path: Path, name: str, content: bytes | Make, words: tuple[str, ...]) -> None:
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        content(path)
    result = CliRunner().invoke(main, ["audit", str(path)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    for word in words:
        assert word in result.output, result.output
    assert "Traceback" not in result.output
    if "kept." in result.output:  # some rows are bad: which, and what to do about them
        assert re.search(r"left out: .* \(line \d", result.output)
        assert "correct them, or leave them out with data.bad_rows: drop" in result.output
    else:  # refused as a whole: what to do about it
        assert result.exit_code == 2
        assert "\n  -> " in result.output


def test_there_are_sixty_of_them() -> None:
    assert len(CASES) >= 60


@pytest.mark.parametrize("text", ["", "x" * 300, "a b#c: ção.jsonl", "\n", "~nobody/a.jsonl", "a\x00b"])
def test_a_path_that_is_none_is_said_in_a_sentence(text: str) -> None:
    result = CliRunner().invoke(main, ["audit", text])
    assert result.exit_code == 2, result.output
    assert "\n  -> " in result.output
    assert "check data.source" not in result.output, "there is no recipe here"
    assert isinstance(result.exception, SystemExit)


def test_dates_that_python_cannot_hold_are_not_read_where_nobody_asked(tmp_path: Path) -> None:
    parquet(tmp_path / "a.parquet", question=[Q], answer=[A], created=late("zone"), day=[datetime.date(2020, 1, 1)])
    result = CliRunner().invoke(main, ["audit", str(tmp_path / "a.parquet")])
    assert result.exit_code == 0, result.output
    assert "1 row read, 1 kept" in result.output
    assert "not read: column created, day" in result.output
