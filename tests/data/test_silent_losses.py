"""What would be lost, misread or taken for data without a word: it is refused, named bad, or listed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sheets import write_xlsx

from packager.__main__ import main
from packager.data.audit.files import describe
from packager.data.rows.encoding import read_text
from packager.data.rows.header import columns_of
from packager.data.rows.table import check_rows, read_rows
from packager.errors import InputError
from packager.recipe.sections import Data, Fields

PT = Fields(question="pergunta", answer="resposta")
HEAD = "pergunta;resposta"
ROWS = [(f"O que é {a}?", f"A equipe explica o que é {a}.") for a in ("febre", "tosse", "asma", "gripe", "dengue")]
LINES = [f"{q};{a}" for q, a in ROWS]


def audit(*words: Any) -> Result:
    done = CliRunner().invoke(main, ["audit", *map(str, words)])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def csv(folder: Path, *lines: str, name: str = "a.csv", encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes("".join(f"{line}\n" for line in lines).encode(encoding))
    return path


def jsonl(folder: Path, *listed: dict[str, Any], name: str = "a.jsonl") -> Path:
    return csv(folder, *(json.dumps(one, ensure_ascii=False) for one in listed), name=name)


def bad(path: Path, **data: Any) -> list[tuple[int, str]]:
    return [(one.line, one.reason) for one in read_rows(Data(source=str(path), **data)).bad]


def test_a_column_without_a_name_is_not_lost(tmp_path: Path) -> None:
    """Merged over two columns, or a header of two rows: the text below the second would vanish."""
    merged = tmp_path / "m.xlsx"
    write_xlsx(merged, {"s": [("Pergunta", "Resposta", None), *((q, "1", a) for q, a in ROWS)]})
    done = audit(merged)
    assert done.exit_code == 2
    assert "column C has no name in the header, and 5 cells below it hold something" in done.output
    done = audit(csv(tmp_path, f"{HEAD};", *(f"{line};não use aspirina" for line in LINES)))
    assert "column C has no name" in done.output
    assert done.exit_code == 2
    done = audit(csv(tmp_path, f";;{HEAD}", *(f"{i};x;{line}" for i, line in enumerate(LINES))))
    assert "column B has no name" in done.output
    assert audit(csv(tmp_path, f"{HEAD};;", *(f"{line};;" for line in LINES))).exit_code == 0


def test_row_numbers_without_a_name_are_listed_and_no_more(tmp_path: Path) -> None:
    numbered = csv(tmp_path, f";{HEAD}", *(f"{i};{line}" for i, line in enumerate(LINES)))
    done = audit(numbered)
    assert done.exit_code == 0
    assert "not read: column A (numbers without a name)" in done.output
    assert [row.question for row in read_rows(Data(source=str(numbered), fields=PT)).rows] == [q for q, _ in ROWS]
    gaps = csv(tmp_path, f";{HEAD}", *(f"{7 * i};{line}" for i, line in enumerate(LINES)), f";{HEAD}", "3;uma só")
    assert [why for _, why in bad(gaps, fields=PT)] == ["repeats the header", "2 cells, but the header has 3"]
    assert audit(csv(tmp_path, f";{HEAD}", *(f"nota {i};{line}" for i, line in enumerate(LINES)))).exit_code == 2


def test_a_header_cell_that_is_a_number_is_a_name(tmp_path: Path) -> None:
    path = tmp_path / "n.xlsx"
    write_xlsx(path, {"s": [("Pergunta", "Resposta", 2023), *((q, a, 5) for q, a in ROWS)]})
    assert "not read: column 2023" in audit(path).output
    assert columns_of("f", ["a", *[""] * 25, "b"], [["x"] * 26 + [""]][:0]) == ["a", *[""] * 25, "b"]
    with pytest.raises(InputError, match="column AA has no name"):
        columns_of("f", ["a"] + [f"c{i}" for i in range(25)] + [""], [["x"] * 27])


def test_a_first_row_that_is_a_row_is_no_header(tmp_path: Path) -> None:
    path = csv(tmp_path, "A usuária pergunta: posso tomar dipirona?;Resposta: sim, como a equipe indicar.", *LINES)
    done = audit(path)
    assert done.exit_code == 2
    assert "the first row reads like a row of the data" in done.output


@pytest.mark.parametrize("begin", ["{", "[{"])
def test_json_that_is_named_csv(tmp_path: Path, begin: str) -> None:
    done = audit(csv(tmp_path, begin + '"question": "a", "answer": "b"'))
    assert done.exit_code == 2
    assert "it is JSON, not CSV" in done.output
    assert ".jsonl" in done.output


@pytest.mark.parametrize("stated", ["cp1252", "latin-1", "mac_roman", "ascii"])
@pytest.mark.parametrize("written", ["utf-8", "utf-8-sig"])
def test_utf8_is_not_read_as_letters_of_eight_bits(tmp_path: Path, stated: str, written: str) -> None:
    path = csv(tmp_path, HEAD, *LINES, encoding=written)
    with pytest.raises(InputError, match=f"is UTF-8, not {stated}") as caught:
        read_text(path, stated)
    assert "data.encoding: utf-8" in caught.value.fix
    plain = csv(tmp_path, "question;answer", "what?;that.")
    assert read_text(plain, stated) == "question;answer\nwhat?;that.\n"
    if stated != "ascii":
        assert "O que é febre" in read_text(csv(tmp_path, HEAD, *LINES, encoding=stated), stated)


def test_files_of_several_encodings_are_named(tmp_path: Path) -> None:
    csv(tmp_path, HEAD, *LINES, name="a.csv")
    csv(tmp_path, HEAD, *LINES, name="b.csv", encoding="cp1252")
    done = audit(tmp_path)
    assert done.exit_code == 2
    assert "a.csv is utf-8, b.csv is cp1252" in done.output
    csv(tmp_path, HEAD, "quem?;a equipe.", name="a.csv")  # ASCII alone is in both
    assert "they are read as cp1252" in audit(tmp_path).output


@pytest.mark.parametrize("name", ["rot13", "hex", "base64", "undefined", "zip", "a\0b", "nenhum"])
def test_what_is_no_encoding_of_text(tmp_path: Path, name: str) -> None:
    path = csv(tmp_path, HEAD, *LINES)
    with pytest.raises(InputError, match="is not an encoding of text"):
        read_text(path, name)


def test_byte_order_marks_whatever_the_encoding_is_called(tmp_path: Path) -> None:
    for written, stated in (("utf-8-sig", "utf_8"), ("utf-8-sig", "U8"), ("utf-16", "utf-16-le")):
        assert read_text(csv(tmp_path, HEAD, encoding=written), stated) == f"{HEAD}\n", stated


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"PK\x03\x04\0\0", "it is a spreadsheet"),
        (b"PAR1\0\0", "it is a Parquet file"),
        (b"pergunta;resposta\na;b\nc\0;d\n", "holds a NUL character on line 3"),
    ],
)
def test_what_is_no_text_is_said(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    done = audit(path)
    assert done.exit_code == 2
    assert words in done.output


def test_a_header_that_stands_there_again_is_no_row(tmp_path: Path) -> None:
    path = csv(tmp_path, HEAD, *LINES, "\ufeff" + HEAD, *LINES)
    assert bad(path, fields=PT) == [(7, "repeats the header")]
    sheet = tmp_path / "s.xlsx"
    write_xlsx(sheet, {"s": [("pergunta", "resposta"), ROWS[0], ("pergunta", None), ROWS[1]]})
    assert bad(sheet, fields=PT) == [(3, "repeats the header")]


def test_a_stray_quote_that_swallows_rows(tmp_path: Path) -> None:
    fused = csv(tmp_path, HEAD, LINES[0], '"' + LINES[1], *LINES[2:], 'Fim?;"a"')
    (found,) = bad(fused, fields=PT)
    assert found[0] == 3
    fused = csv(tmp_path, HEAD, LINES[0], '"' + LINES[1], *LINES[2:], '";A equipe.')
    (found,) = bad(fused, fields=PT)
    assert found[0] == 3
    assert "lines 3 to 7 are one row" in found[1]
    for listed in ('Quais?;"febre;tosse\ndor;calor"', 'Quais?;"SAMU;192\nBombeiros;193"'):
        assert not bad(csv(tmp_path, HEAD, listed), fields=PT)
    prose = 'O que é?,"Sim, é isso.\nTome 1,5 ml, depois 2,5 ml.\nEntão, pare.\nTome 1,5 ml\nou 2,5 ml"'
    assert not bad(csv(tmp_path, "pergunta,resposta", prose), fields=PT)


@pytest.mark.parametrize("name", ["image", "images", "tools", "tool_calls", "system"])
def test_what_a_pair_would_lose(tmp_path: Path, name: str) -> None:
    row = {"question": "Qual?", "answer": "Esta."}
    for nothing in (None, "", [], "null", "[]", {"bytes": None, "path": None}):
        assert not bad(jsonl(tmp_path, row | {name: nothing}))
    ((_, why),) = bad(jsonl(tmp_path, row | {name: "algo"}))
    assert f"'{name}'" in why
    assert not bad(jsonl(tmp_path, row | {name: "algo"}), fields=Fields(topic=name)), "it is read as the topic"


def test_what_a_pair_does_not_read_is_listed(tmp_path: Path) -> None:
    path = jsonl(tmp_path, {"question": "Qual?", "answer": "Esta.", "history": "algo"})
    assert not bad(path)
    assert any("not read: column history" in line for line in describe(str(path)).taken)


def test_a_parquet_file_loses_no_images(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path = tmp_path / "a.parquet"
    table = {"question": ["A?", "B?"], "answer": ["a.", "b."], "image": ["x.png", None], "other": ["1", "2"]}
    parquet.write_table(pyarrow.table(table), path)
    assert bad(path) == [(1, "has 'image', which would not be trained: take it out, or leave the row out")]


def test_alpaca_with_two_columns_for_one_thing(tmp_path: Path) -> None:
    given = {"instruction": "Resuma.", "input": "", "context": "O texto.", "output": "Feito."}
    path = jsonl(tmp_path, given, given | {"input": "Outro texto."}, given | {"response": "Não."})
    table = read_rows(Data(source=str(path), format="alpaca"))
    assert [row.question for row in table.rows] == ["Resuma.\nO texto."]
    assert [one.line for one in table.bad] == [2, 3]
    assert "'input' and 'context'" in table.bad[0].reason
    assert "'output' and 'response'" in table.bad[1].reason


def test_columns_that_begin_late_are_listed(tmp_path: Path) -> None:
    row = {"question": "Qual?", "answer": "Esta."}
    path = jsonl(tmp_path, *[row] * 60, row | {"aviso": "não use"})
    assert any("not read: column aviso" in line for line in describe(str(path)).taken)


def test_links_and_locks_in_a_folder(tmp_path: Path) -> None:
    folder, other = tmp_path / "d", tmp_path / "o"
    folder.mkdir()
    other.mkdir()
    csv(folder, HEAD, *LINES)
    csv(other, HEAD, *LINES, name="b.csv")
    (folder / "more").symlink_to(other, target_is_directory=True)
    (folder / "dead.csv").symlink_to(tmp_path / "nothing.csv")
    (folder / "~$perguntas.xlsx").write_bytes(b"lock")
    done = audit(folder)
    assert done.exit_code == 0, done.output
    assert "or a link to a folder or to nothing: dead.csv, more." in done.output
    assert "~$" not in done.output


def test_a_column_is_not_two_things(tmp_path: Path) -> None:
    path = csv(tmp_path, f"{HEAD};tema", *(f"{line};x" for line in LINES))
    done = audit(path, "--topic", "pergunta")
    assert done.exit_code == 2
    assert "topic and question are the same column" in done.output
    talk = jsonl(tmp_path, {"messages": [], "answer": "x"})
    assert "topic and answer are the same column" in audit(talk, "--topic", "answer").output


def test_names_of_fields_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"question": "a?", "answer": "b.", "x\\ud800": 1}\n{"question": "a?", "answer": "b."}\n')
    assert bad(path) == [(1, "the name of a field holds characters that are no text")]
    assert audit(path).exit_code == 0


def test_objects_over_several_lines_and_lists_of_texts(tmp_path: Path) -> None:
    row = {"question": "Qual?", "answer": "Esta.", "tags": ["a", "b"]}
    pretty = tmp_path / "p.jsonl"
    pretty.write_text(json.dumps(row, indent=2) + "\n" + json.dumps(row, indent=2) + "\n", encoding="utf-8")
    assert "one object must stand on one line" in audit(pretty).output
    one = tmp_path / "one.json"
    one.write_text(json.dumps(row), encoding="utf-8")
    assert [r.question for r in read_rows(Data(source=str(one))).rows] == ["Qual?"]
    one.write_text(json.dumps({"tags": ["a"], "rows": [row, row]}), encoding="utf-8")
    assert len(read_rows(Data(source=str(one))).rows) == 2


def test_a_template_and_a_source_that_are_wrong_are_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        check_rows(Data(source=str(tmp_path / "no.csv"), template="no.jinja"))
    assert "no.csv" in caught.value.message
    assert "no.jinja" in caught.value.message
    (tmp_path / "t.jinja").write_bytes("{{ 'é' }}".encode("cp1252"))
    with pytest.raises(InputError, match=r"t\.jinja is not UTF-8"):
        check_rows(Data(source=str(csv(tmp_path, HEAD, *LINES)), fields=PT, template=str(tmp_path / "t.jinja")))
