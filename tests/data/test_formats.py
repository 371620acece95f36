"""What people commonly have: each format becomes the same conversations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sheets import write_ods, write_xlsx

from packager.data.audit.files import audit_file, describe, samples, write_rows
from packager.data.rows.table import Table, read_rows
from packager.errors import InputError
from packager.recipe.sections import Data, Fields

PAIRS = [("O que é o SUS?", "É o sistema público."), ("O que faz a ESF?", "Cuida da família.")]


def jsonl(path: Path, *values: object) -> str:
    path.write_text("".join(json.dumps(v, ensure_ascii=False) + "\n" for v in values), encoding="utf-8")
    return str(path)


def found(source: str) -> Table:
    table = read_rows(describe(source).data)
    assert not table.bad
    return table


def pairs(source: str) -> list[tuple[str, str]]:
    return [(row.question, row.answer) for row in found(source).rows]


def test_names_are_found_whatever_their_case_and_accents(tmp_path: Path) -> None:
    for names in (("Pergunta", "Resposta"), ("DÚVIDA", "Orientação"), ("Questão", "resposta"), ("Prompt", "Response")):
        assert pairs(jsonl(tmp_path / "a.jsonl", *(dict(zip(names, pair, strict=True)) for pair in PAIRS))) == PAIRS
    config = Data(source=jsonl(tmp_path / "b.jsonl", {"QUESTION": "a", "Ánswer": "b"}))
    assert [(r.question, r.answer) for r in read_rows(config).rows] == [("a", "b")]


@pytest.mark.parametrize("column", ["conversations", "conversation", "messages", "Mensagens", "dialog", "chat"])
@pytest.mark.parametrize(
    ("role", "text", "user", "assistant"),
    [("from", "value", "human", "gpt"), ("from", "value", "user", "assistant"), ("role", "content", "human", "gpt"),
     ("role", "value", "Usuário", "Assistente"), ("from", "content", "prompter", "bot"),
     ("From", "Value", "human", "gpt"), ("papel", "conteúdo", "usuário", "assistente")],
)  # fmt: skip
def test_sharegpt_and_its_variants(
    tmp_path: Path, column: str, role: str, text: str, user: str, assistant: str
) -> None:
    rows = [
        {
            "id": str(i),
            column: [{role: "system", text: "Seja claro."}, {role: user, text: q}, {role: assistant, text: a}],
        }
        for i, (q, a) in enumerate(PAIRS)
    ]
    assert pairs(jsonl(tmp_path / "a.jsonl", *rows)) == PAIRS
    (tmp_path / "a.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")
    assert pairs(str(tmp_path / "a.json")) == PAIRS
    assert found(str(tmp_path / "a.json")).rows[0].system == "Seja claro."


def test_a_file_that_is_one_conversation_is_one_row(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(
        json.dumps({"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}), "utf-8"
    )
    assert pairs(str(tmp_path / "a.json")) == [("a", "b")]


def test_turns_as_pairs_are_two_turns_each(tmp_path: Path) -> None:
    source = jsonl(
        tmp_path / "a.jsonl", {"conversation": [{"human": "a", "assistant": "b"}, {"human": "c", "gpt": "d"}]}
    )
    assert [role for role, _ in found(source).rows[0].messages] == ["user", "assistant"] * 2


def test_openai_parts_are_joined_and_a_developer_is_the_system(tmp_path: Path) -> None:
    parts = [{"type": "text", "text": "O que é"}, {"type": "text", "text": " isto?"}, {"type": "text", "text": "Diga."}]
    source = jsonl(tmp_path / "a.jsonl", {"messages": [
        {"role": "developer", "content": "Seja claro."}, {"role": "user", "content": parts},
        {"role": "assistant", "content": [{"type": "output_text", "text": "É isto."}], "tool_calls": [], "id": "7"},
    ]})  # fmt: skip
    (row,) = found(source).rows
    assert (row.system, row.question, row.answer) == ("Seja claro.", "O que é isto?\nDiga.", "É isto.")


def test_an_answer_of_weight_0_is_marked_and_written_with_it(tmp_path: Path) -> None:
    turns = [("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")]
    messages: list[dict[str, Any]] = [{"role": role, "content": text} for role, text in turns]
    messages[1]["weight"], messages[3]["weight"] = 0, 1
    config = describe(jsonl(tmp_path / "a.jsonl", {"messages": messages})).data.model_copy(update={"system": "s"})
    (row,) = read_rows(config).rows
    assert row.untrained == (2,)
    assert [m.get("weight") for m in row.as_messages()] == [None, None, 0, None, None]


def test_prompt_and_completion_may_be_messages(tmp_path: Path) -> None:
    assert pairs(jsonl(tmp_path / "a.jsonl", *({"prompt": q, "completion": a} for q, a in PAIRS))) == PAIRS
    listed = [{"prompt": [{"role": "system", "content": "s"}, {"role": "user", "content": q}],
               "completion": [{"role": "assistant", "content": a}]} for q, a in PAIRS]  # fmt: skip
    assert pairs(jsonl(tmp_path / "b.jsonl", *listed)) == PAIRS


def test_alpaca_in_portuguese_and_with_a_system_column(tmp_path: Path) -> None:
    source = jsonl(
        tmp_path / "a.jsonl", {"instrução": "Diga.", "entrada": "Oi", "saída": "Olá.", "system": "Seja claro."}
    )
    (row,) = found(source).rows
    assert (row.system, row.question, row.answer) == ("Seja claro.", "Diga.\nOi", "Olá.")
    (bad,) = read_rows(Data(source=source, format="alpaca")).bad
    assert "data.fields.system: system" in bad.reason


@pytest.mark.parametrize("suffix", ["xlsx", "ods"])
def test_spreadsheets(tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("python_calamine", reason="python-calamine is not installed: pip install -e .")
    writer = write_xlsx if suffix == "xlsx" else write_ods
    header, *rest = [["Pergunta", "Resposta"], *(list(pair) for pair in PAIRS)]
    one = writer(tmp_path / f"a.{suffix}", {"Perguntas": [header, *rest], "Vazia": []})
    assert pairs(str(one)) == PAIRS
    assert [row.line for row in found(str(one)).rows] == [2, 3]
    two = writer(tmp_path / f"b.{suffix}", {"Um": [header, *rest], "Dois": [header, rest[0]]})
    with pytest.raises(InputError, match=r"several sheets: 'Um' \(3 rows\), 'Dois' \(2 rows\)"):
        read_rows(Data(source=str(two)))
    assert len(read_rows(describe(str(two), sheet="Dois").data).rows) == 1
    with pytest.raises(InputError, match="no sheet 'Tres'"):
        read_rows(Data(source=str(two), sheet="Tres"))


def test_excels_sep_line_and_windows_1252(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    text = "sep=;\r\nPergunta;Resposta\r\n" + "".join(f"{q};{a}\r\n" for q, a in PAIRS)
    for encoding in ("utf-8-sig", "cp1252"):
        path.write_bytes(text.encode(encoding))
        assert pairs(str(path)) == PAIRS
    assert describe(str(path)).data.encoding == "cp1252"
    assert [row.line for row in found(str(path)).rows] == [3, 4]


def test_blank_rows_above_a_header_are_passed_over_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(";\n\n;\nPergunta;Resposta\n" + "".join(f"{q};{a}\n" for q, a in PAIRS), encoding="utf-8")
    assert pairs(str(path)) == PAIRS
    assert [row.line for row in found(str(path)).rows] == [5, 6]


def test_columns_that_the_recipe_names_are_no_title(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("frase;fala\npergunta;resposta\noi;olá\n", encoding="utf-8")
    fields = {"question": "frase", "answer": "fala"}
    assert len(read_rows(Data(source=str(path), fields=Fields(**fields))).rows) == 2
    with pytest.raises(InputError, match=r"in row 2 \(pergunta, resposta\)"):
        describe(str(path))


@pytest.mark.parametrize("name", ["fonte", "Fonte", "REFERÊNCIA", "source", "Referências", "documento"])
def test_a_column_of_sources_is_said_to_be_one(tmp_path: Path, name: str) -> None:
    listed = [{"pergunta": q, "resposta": a, name: "Caderno 26", "id": "7"} for q, a in PAIRS]
    source = jsonl(tmp_path / "a.jsonl", *listed)
    taken = describe(source).taken
    assert f"column '{name}' says where an answer comes from: it is not trained" in taken[1]
    assert f"data.fields.source: {name} and knowledge: {{rows: true}}" in taken[1]
    assert taken[2] == "not read: column id"
    assert all(row.source is None for row in found(source).rows)
    config = Data(source=source, fields=Fields(question="pergunta", answer="resposta", source=name))
    assert [row.source for row in read_rows(config).rows] == ["Caderno 26", "Caderno 26"]


def test_a_saved_data_set_and_its_splits(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    rows = datasets.Dataset.from_list([{"pergunta": q, "resposta": a} for q, a in PAIRS])
    rows.save_to_disk(str(tmp_path / "um"))
    assert pairs(str(tmp_path / "um")) == PAIRS
    datasets.DatasetDict({"train": rows, "test": rows.select([0])}).save_to_disk(str(tmp_path / "dois"))
    table = found(str(tmp_path / "dois"))
    assert len(table.rows) == 2
    assert table.other_splits == ("test/data-00000-of-00001.arrow",)
    test = read_rows(describe(str(tmp_path / "dois")).data.model_copy(update={"hub_split": "test"}))
    assert len(test.rows) == 1


def test_a_folder_of_mixed_files_is_read_each_by_its_columns(tmp_path: Path) -> None:
    folder = tmp_path / "dados"
    folder.mkdir()
    jsonl(folder / "a.jsonl", {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]})
    (folder / "b.csv").write_text("Pergunta;Resposta\nc;d\ne;f\ng;\n", encoding="utf-8")
    (folder / "leia-me.txt").write_text("oi", encoding="utf-8")
    config = describe(str(folder)).data
    assert config.format == "mixed"
    table = read_rows(config)
    assert [(r.question, r.answer) for r in table.rows] == [("a", "b"), ("c", "d"), ("e", "f")]
    prepared = audit_file(str(folder))
    assert [(s.file, s.rows, s.bad) for s in prepared.audit.files] == [("a.jsonl", 1, 0), ("b.csv", 2, 1)]
    assert any("leia-me.txt" in note for note in prepared.audit.notes)


def test_rows_with_a_weight_are_written_back_as_messages(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "weight": 0},
             {"role": "user", "content": "c"}, {"role": "assistant", "content": "d"}]  # fmt: skip
    source = jsonl(tmp_path / "a.jsonl", {"messages": turns})
    write_rows(audit_file(source), tmp_path / "out.jsonl")
    assert json.loads((tmp_path / "out.jsonl").read_text("utf-8"))["messages"] == turns


def test_what_clean_mends_is_shown_before_and_after(tmp_path: Path) -> None:
    pytest.importorskip("ftfy", reason="ftfy is not installed: pip install -e .")
    damaged = "Ã‰ o sistema pÃºblico."
    source = jsonl(tmp_path / "a.jsonl", {"question": "O que é?", "answer": damaged},
                   {"question": "Quem?", "answer": "<p>A equipe &amp; a fam&iacute;lia.</p><br/>"})  # fmt: skip
    plain = audit_file(source).audit
    assert {d.kind: (d.rows, d.mended) for d in plain.damage} == {"mojibake": (1, 0), "html": (1, 0)}
    described = describe(source)
    clean = described.data.model_copy(update={"clean": ("mojibake", "html")})
    prepared = audit_file(source, described=type(described)(clean, (), ()))
    assert [row.answer for row in prepared.train] + [row.answer for row in prepared.heldout] != []
    assert {row.answer for row in read_rows(clean).rows} == {"É o sistema público.", "A equipe & a família."}
    assert {d.kind: (d.rows, d.mended) for d in prepared.audit.damage} == {"mojibake": (0, 1), "html": (0, 1)}
    shown = "\n".join(samples(prepared))
    assert f"before: {damaged}" in shown
    assert "after:  É o sistema público." in shown


def test_a_recipe_with_another_format_is_told_the_right_one(tmp_path: Path) -> None:
    turns = [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]
    with pytest.raises(InputError) as caught:
        read_rows(Data(source=jsonl(tmp_path / "a.jsonl", {"conversations": turns})))
    assert "data: {format: sharegpt}" in caught.value.fix
    with pytest.raises(InputError) as caught:
        read_rows(Data(source=jsonl(tmp_path / "b.jsonl", {"Pergunta": "a", "Resposta": "b"})))
    assert "fields: {question: Pergunta, answer: Resposta}" in caught.value.fix
