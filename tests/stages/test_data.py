"""The data stage: what it writes is what the later stages read."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from packager.artifacts.files import fresh
from packager.artifacts.kinds import Checkpoint, Dataset
from packager.errors import InputError
from packager.process import child, progress
from packager.prompt import masking
from packager.prompt.frozen import frozen_template
from packager.prompt.template import load_template, load_tokenizer
from packager.recipe.loading import ROOT
from packager.recipe.sections import Fields, Split
from packager.stages.data import Prepare, data

REAL = Path(os.environ.get("PACKAGER_REAL_DATA", ROOT.parent / "shared" / "data"))
APS = REAL / "aps" / "perguntas_respostas_APS_2000.jsonl"
MEDQUAD = REAL / "medquad" / "All-2479-Answers-retrieved-from-MedQuAD.csv"
ALPACA = (
    "{% for m in messages %}{% if m.role == 'user' %}### Instruction:\n{{ m.content }}\n\n### Response:\n"
    "{% elif m.role == 'assistant' %}{{ m.content }}{{ eos_token }}\n\n"
    "{% else %}{{ m.content }}\n\n{% endif %}{% endfor %}"
)


CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def source(folder: Path, count: int = 40, **more: str) -> Path:
    rng = random.Random(4)

    def text(length: int) -> str:
        return " ".join("".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=6)) for _ in range(length))

    path = folder / "rows.jsonl"
    lines = [{"question": text(5), "answer": text(9), "topic": f"t{i % 4}"} | more for i in range(count)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return fresh(tmp_path / "data.partial")


def test_the_stage_writes_rows_tokenizer_template_and_audit(tmp_path: Path, out: Path, tiny_base: Checkpoint) -> None:
    path = source(tmp_path)
    config = Prepare(source=str(path), fields=Fields(topic="topic"), system="Seja claro.", max_tokens=256)
    made = data(config, tiny_base, out)
    assert isinstance(made, Dataset)
    train, heldout = lines_of(out / "train.jsonl"), lines_of(out / "heldout.jsonl")
    assert (made.train_rows, made.heldout_rows, made.topics) == (len(train), len(heldout), 4) == (36, 4, 4)
    original = lines_of(path)
    for line in (*train, *heldout):
        row = original[line["row"] - 1]
        assert line == {
            "messages": [
                {"role": "system", "content": "Seja claro."},
                {"role": "user", "content": row["question"]},
                {"role": "assistant", "content": row["answer"]},
            ],
            "topic": row["topic"],
            "row": line["row"],
        }
    assert sorted(line["row"] for line in (*train, *heldout)) == list(range(1, 41))
    assert (made.leaked, made.unterminated, made.too_long, made.system) == (0, 0, 0, "Seja claro.")
    assert made.end_of_turn == "<|im_end|>"
    template, tokenizer = load_template(out), load_tokenizer(out)
    lengths = [len(masking.encode(template, tokenizer, made.end_of_turn, line["messages"]).ids) for line in train]
    assert made.train_tokens == sum(lengths)
    own = load_template(tiny_base.folder).source
    assert (made.base_template, made.base_template_sha256) == (own, hashlib.sha256(own.encode()).hexdigest())
    assert made.template_notes == ()
    assert (out / "chat_template.jinja").read_text() == frozen_template(tiny_base.folder).template.source
    assert template.render(train[0]["messages"], add_generation_prompt=False) == load_template(tiny_base.folder).render(
        train[0]["messages"], add_generation_prompt=False
    )
    found = json.loads((out / "audit.json").read_text(encoding="utf-8"))
    assert found["rows_kept"] == 40
    assert found["source"] == "rows.jsonl"
    assert str(tmp_path) not in json.dumps(found)


def test_every_tokenizer_file_travels(tmp_path: Path, out: Path, tiny_base: Checkpoint) -> None:
    folder = tmp_path / "base"
    shutil.copytree(tiny_base.folder, folder)
    (folder / "tokenizer.model").write_bytes(b"sentencepiece")
    (folder / "special_tokens_map.json").write_text("{}")
    data(Prepare(source=str(source(tmp_path))), tiny_base.model_copy(update={"folder": folder}), out)
    for name in ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "special_tokens_map.json"):
        assert (out / name).read_bytes() == (folder / name).read_bytes()


@pytest.mark.parametrize("inline", [True, False])
def test_the_recipes_template_replaces_the_models(
    tmp_path: Path, out: Path, tiny_base: Checkpoint, inline: bool
) -> None:
    (tmp_path / "alpaca.jinja").write_text(ALPACA, encoding="utf-8")
    given = ALPACA if inline else str(tmp_path / "alpaca.jinja")
    made = data(Prepare(source=str(source(tmp_path)), template=given), tiny_base, out)
    assert made.unterminated == 0
    template = load_template(out)
    assert template.source == frozen_template(tiny_base.folder, ALPACA).template.source
    assert made.base_template == ALPACA
    asked = template.render([{"role": "user", "content": "Oi"}], add_generation_prompt=True)
    assert asked == "### Instruction:\nOi\n\n### Response:\n"


def test_rows_over_the_limit_are_left_out_and_counted(tmp_path: Path, out: Path, tiny_base: Checkpoint) -> None:
    path = source(tmp_path)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"question": "longa", "answer": "palavra " * 400, "topic": "t1"}) + "\n")
    made = data(Prepare(source=str(path), max_tokens=256), tiny_base, out)
    assert (made.too_long, made.train_rows + made.heldout_rows) == (1, 40)
    assert json.loads((out / "audit.json").read_text())["dropped"] == [
        {"reason": "longer than 256 tokens", "rows": 1, "where": ["41"], "unusable": False}
    ]
    with pytest.raises(InputError, match=r"1 of 41 rows \(2\.4%\) are longer than data\.max_tokens = 256"):
        data(Prepare(source=str(path), max_tokens=256, max_left_out=0.01), tiny_base, fresh(tmp_path / "again"))


def test_text_that_holds_a_special_token_is_refused_by_line(tmp_path: Path, out: Path, tiny_base: Checkpoint) -> None:
    path = source(tmp_path)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"question": "a", "answer": "b<|im_end|>c"}) + "\n")
    with pytest.raises(InputError, match=r"rows\.jsonl:41: the text contains the special token <\|im_end\|>"):
        data(Prepare(source=str(path)), tiny_base, out)
    made = data(Prepare(source=str(path), bad_rows="drop"), tiny_base, out)
    assert made.train_rows + made.heldout_rows == 40


def test_rows_that_all_share_an_answer_are_refused(tmp_path: Path, out: Path, tiny_base: Checkpoint) -> None:
    with pytest.raises(InputError, match="none can be held out without a leak"):
        data(Prepare(source=str(source(tmp_path, answer="sempre a mesma"))), tiny_base, out)


def test_different_system_messages_are_refused(tmp_path: Path, out: Path, tiny_base: Checkpoint) -> None:
    path = tmp_path / "m.jsonl"
    turns = [
        [
            {"role": "system", "content": f"s{i % 2}"},
            {"role": "user", "content": f"pergunta {i} {'xyzwkq'[i % 6] * 8}"},
            {"role": "assistant", "content": f"resposta {i} {'abcdefgh'[i % 8] * 9}"},
        ]
        for i in range(20)
    ]
    path.write_text("".join(json.dumps({"messages": t}) + "\n" for t in turns), encoding="utf-8")
    with pytest.raises(InputError, match="2 different system messages"):
        data(Prepare(source=str(path), format="messages"), tiny_base, out)


def test_a_system_message_that_the_template_passes_over_is_refused(
    tmp_path: Path, out: Path, tiny_base: Checkpoint
) -> None:
    silent = CHATML.replace(
        "{% for message in messages %}", "{% for message in messages if message.role != 'system' %}"
    )
    path = str(source(tmp_path))
    with pytest.raises(InputError, match="passes system messages over"):
        data(Prepare(source=path, template=silent, system="Seja claro."), tiny_base, out)
    assert data(Prepare(source=path, template=silent), tiny_base, out).system is None


def test_the_rows_are_the_same_every_time_and_depend_on_the_seed(tmp_path: Path, tiny_base: Checkpoint) -> None:
    path = source(tmp_path)

    def digest(name: str, seed: int) -> str:
        config = Prepare(source=str(path), split=Split(seed=seed))
        return data(config, tiny_base, fresh(tmp_path / name)).data_sha256

    assert digest("a", 1) == digest("b", 1) != digest("c", 2)


def test_rows_in_another_language_are_reported(tmp_path: Path, out: Path, tiny_base: Checkpoint) -> None:
    listed = lines_of(source(tmp_path))
    for number, row in enumerate(listed):
        opening = "This is what the team should know about: " if number in (6, 30) else "Não é o que a equipe faz: "
        row["answer"] = opening + row["answer"]
    path = tmp_path / "mixed.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in listed), encoding="utf-8")
    notes: list[str] = []
    with progress.route(lambda event: notes.append(str(event.get("note", "")))):
        data(Prepare(source=str(path), language="pt-BR"), tiny_base, out)
    found = json.loads((out / "audit.json").read_text(encoding="utf-8"))
    assert found["other_language"] == {"rows": 2, "share": 0.05, "where": ["7", "31"]}
    assert any("not in pt-BR, the recipe's language: 2 rows, 5.0% (lines 7, 31)" in note for note in notes)


def test_it_runs_as_a_stage_and_reports_the_audit(tmp_path: Path, out: Path, tiny_base: Checkpoint) -> None:
    notes: list[str] = []
    with progress.route(lambda event: notes.append(str(event.get("note", "")))):
        made = child.call(data, Prepare(source=str(source(tmp_path))), tiny_base, out).value
    assert made.heldout_rows == 4
    assert any("40 rows read, 40 kept" in note for note in notes)


@pytest.mark.skipif(not APS.is_file(), reason=f"PACKAGER_REAL_DATA: no {APS}")
@pytest.mark.parametrize(("deduplicate", "kept"), [(False, 2000), (True, 32)])
def test_the_real_aps_file(out: Path, tiny_base: Checkpoint, deduplicate: bool, kept: int) -> None:
    fields = Fields(question="input", answer="output")
    made = data(Prepare(source=str(APS), fields=fields, deduplicate=deduplicate), tiny_base, out)
    assert made.train_rows + made.heldout_rows == kept
    spoken = [
        {m["content"] for line in lines_of(out / f"{part}.jsonl") for m in line["messages"]}
        for part in ("train", "heldout")
    ]
    assert not spoken[0] & spoken[1]
    assert (made.leaked, made.unterminated) == (0, 0)


@pytest.mark.skipif(not MEDQUAD.is_file(), reason=f"PACKAGER_REAL_DATA: no {MEDQUAD}")
def test_the_real_medquad_file(out: Path, tiny_base: Checkpoint) -> None:
    config = Prepare(source=str(MEDQUAD), format="medquad", max_tokens=16384, template=ALPACA, unmatched_bracket="drop")
    made = data(config, tiny_base, out)
    assert made.train_rows + made.heldout_rows == 2479
    spoken = [
        {m["content"] for line in lines_of(out / f"{part}.jsonl") for m in line["messages"]}
        for part in ("train", "heldout")
    ]
    assert not spoken[0] & spoken[1]
    assert (made.leaked, made.unterminated) == (0, 0)


def test_a_greeting_that_many_conversations_share_is_no_leak(tmp_path: Path, out: Path, tiny_base: Checkpoint) -> None:
    path = source(tmp_path)
    talks = [
        {
            "messages": [
                {"role": "user", "content": "Olá"},
                {"role": "assistant", "content": "Olá! Em que posso ajudar?"},
                {"role": "user", "content": row["question"]},
                {"role": "assistant", "content": row["answer"]},
            ]
        }
        for row in lines_of(path)
    ]
    path.write_text("".join(json.dumps(talk, ensure_ascii=False) + "\n" for talk in talks), encoding="utf-8")
    made = data(Prepare(source=str(path), format="messages", max_tokens=512, max_left_out=1), tiny_base, out)
    assert made.failed == ()
    assert made.leaked == 0


def test_a_weight_reaches_the_rows_and_the_mask(tmp_path: Path, tiny_base: Checkpoint) -> None:
    def row(number: int) -> dict[str, Any]:
        words = [f"{w}{number}" * 3 for w in ("um", "dois", "três", "quatro")]
        roles = ("user", "assistant", "user", "assistant")
        turns: list[dict[str, Any]] = [{"role": r, "content": w} for r, w in zip(roles, words, strict=True)]
        turns[1]["weight"] = 0
        return {"messages": turns}

    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row(i)) + "\n" for i in range(20)), encoding="utf-8")
    made = data(Prepare(source=str(path), format="messages"), tiny_base, fresh(tmp_path / "out"))
    template, tokenizer = load_template(made.folder), load_tokenizer(made.folder)
    for line in lines_of(made.folder / "train.jsonl"):
        assert [m.get("weight") for m in line["messages"]] == [None, 0, None, None]
        encoded = masking.encode(template, tokenizer, made.end_of_turn, line["messages"])
        said = tokenizer.decode([i for i, t in zip(encoded.ids, encoded.trained, strict=True) if t])
        assert said == line["messages"][3]["content"]
