"""`audit --write` and `new --feedback`: nothing that is read is replaced, nothing is written half or left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from packager.__main__ import main
from packager.recipe import loading

MAIL = "ana.souza@exemplo.org"


def packager(*words: Any) -> Result:
    done = CliRunner().invoke(main, list(map(str, words)))
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def refused(*words: Any) -> str:
    done = packager(*words)
    assert done.exit_code == 2, done.output
    return done.output


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "rows.jsonl"
    listed = [
        {"pergunta": f"O que é {w}?", "resposta": f"A equipe explica o que é {w}.", "tema": f"{w} {MAIL}",
         "fonte": f"Caderno {w} {MAIL}"}
        for w in ("febre", "tosse", "asma", "gripe", "dengue", "zika", "raiva", "gota")
    ]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in listed), encoding="utf-8")
    text = (
        "name: r\nbase: {model: m}\n"
        "data: {source: rows.jsonl, fields: {question: pergunta, answer: resposta, topic: tema, source: fonte}}\n"
        "knowledge: {rows: true}\n"
    )
    (tmp_path / "r.yaml").write_text(text, encoding="utf-8")
    return path


def test_an_audit_replaces_nothing_that_it_reads(rows: Path, tmp_path: Path) -> None:
    before = rows.read_bytes()
    (tmp_path / "link.jsonl").symlink_to(rows)
    for words in (
        [rows, "--write", rows], [rows, "--html", rows], ["r.yaml", "--write", rows], ["r.yaml", "--html", "r.yaml"],
        [rows, "--write", "link.jsonl"], [tmp_path, "--write", rows],
    ):  # fmt: skip
        assert "would replace what is read" in refused("audit", *words)
    assert "JSON Lines" in refused("audit", rows, "--write", "out.csv")
    assert "the same file" in refused("audit", rows, "--write", "o.jsonl", "--html", "o.jsonl")
    assert rows.read_bytes() == before
    assert packager("audit", rows, "--write", "out.ndjson").exit_code == 0


def test_written_rows_have_their_source_and_no_identifiers(rows: Path) -> None:
    done = packager("audit", "r.yaml", "--write", "out.jsonl")
    assert done.exit_code == 0, done.output
    text = Path("out.jsonl").read_text(encoding="utf-8")
    first = json.loads(text.splitlines()[0])
    assert MAIL not in text
    assert (first["topic"], first["source"]) == ("febre [E-MAIL]", "Caderno febre [E-MAIL]")
    found = json.loads(packager("audit", "r.yaml", "--json").stdout)
    assert [(one["kind"], one["count"]) for one in found["identifiers"]] == [("E-MAIL", 8)]


def test_flags_that_cannot_apply_are_refused(rows: Path) -> None:
    assert "--sheet: a recipe says itself" in refused("audit", "r.yaml", "--sheet", "x")
    assert "--question, --encoding: a recipe" in refused("audit", "r.yaml", "--question", "a", "--encoding", "cp1252")
    assert "--sheet is for a spreadsheet" in refused("audit", rows, "--sheet", "x")
    assert "--sheet is for a spreadsheet" in refused("new", "aa", "--data", rows, "--sheet", "x")
    assert "--encoding is for a text file" in refused("audit", "a.xlsx", "--encoding", "cp1252")


def test_new_refuses_a_system_message_that_is_none(rows: Path) -> None:
    assert "--system is empty" in refused("new", "aa", "--data", rows, "--system", "  ")
    assert "taken for the question or the answer" in refused("new", "aa", "--data", rows, "--system", "resposta")
    assert not Path("aa.yaml").exists()


def test_new_writes_a_recipe_that_can_be_read_whatever_a_column_is_called(rows: Path) -> None:
    listed = [json.loads(line) | {"a\u0007b\u0085c": "x"} for line in rows.read_text(encoding="utf-8").splitlines()]
    rows.write_text("".join(json.dumps({k: v for k, v in row.items() if k != "tema"}) + "\n" for row in listed))
    done = packager("new", "aa", "--data", rows)
    assert done.exit_code == 0, done.output
    assert loading.load("aa").name == "aa"
    assert not list(Path().glob("*.partial"))


def note(**more: Any) -> str:
    return json.dumps({"format": 1, "question": "Qual?", "answer": "Esta."} | more) + "\n"


def test_feedback_is_read_and_written_whole(rows: Path) -> None:
    export = Path("export.jsonl")
    export.write_text("\ufeff" + note(answer=None, comment="\ud83d metade"), encoding="utf-8")
    assert packager("new", "notas", "--feedback", export).exit_code == 0
    (row,) = [json.loads(line) for line in Path("notas.jsonl").read_text(encoding="utf-8").splitlines()]
    assert (row["question"], row["said"], row["comment"]) == ("Qual?", "", "? metade")
    assert "is there already" in refused("new", "notas", "--feedback", export)
    for name in ("a/b", "", "x" * 300):
        assert "is no name for a recipe" in refused("new", name, "--feedback", export)
    assert "--base, --question goes with --data" in refused(
        "new", "outro", "--feedback", export, "--base", "m", "--question", "q"
    )
    export.write_text("[" * 100_000, encoding="utf-8")
    assert "is no note" in refused("new", "outro", "--feedback", export)
    assert not Path("outro.jsonl").exists()
