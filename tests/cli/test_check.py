"""`check` refuses all that the data stage would and says what the run will be; `audit` and `preview` count alike."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from packager.__main__ import main
from packager.artifacts.kinds import Checkpoint
from packager.errors import MissingResource
from packager.llamacpp.vendored import VENDOR
from packager.pipeline import estimate
from packager.pipeline.room import Need, check_room, need
from packager.process import cgroup, machine
from packager.process.machine import Gpu
from packager.recipe import loading

pytestmark = pytest.mark.skipif(not VENDOR.joinpath("llama.cpp").is_dir(), reason="vendor is not fetched: make setup")
WORDS = ("vacina", "dengue", "diabetes", "tabaco", "parto", "febre", "asma", "tosse")


def rows(**more: Any) -> list[dict[str, Any]]:
    return [
        {"question": f"O que é {a} com {b}?", "answer": f"A equipe explica {a} e também {b} na consulta."} | more
        for a in WORDS
        for b in WORDS
        if a != b
    ]


def recipe(folder: Path, base: Path, listed: list[dict[str, Any]], extra: str = "", **data: Any) -> str:
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in listed), encoding="utf-8")
    section = {"source": str(folder / "rows.jsonl")} | data
    path = folder / "r.yaml"
    path.write_text(f"name: r\nbase: {{model: '{base}'}}\ndata: {json.dumps(section)}\n{extra}", encoding="utf-8")
    return str(path)


def packager(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


def test_a_run_is_told_before_it_begins(tmp_path: Path, spm_base: Checkpoint) -> None:
    given = recipe(tmp_path, spm_base.folder, rows(), "train: {epochs: 2, batch: {examples_per_step: 8}}\n")
    told = packager("check", given, "--build-dir", str(tmp_path / "build"))
    assert told.exit_code == 0, told.output
    found = re.search(r"(\d+) rows to train on, (\d+) held out; the longest has (\d+) tokens\n", told.output)
    assert found
    assert int(found[1]) + int(found[2]) == 56
    assert f"{2 * -(-int(found[1]) // 8)} steps over " in told.output
    assert told.stderr == "", "no progress where nobody looks"
    for words in (
        "GB of disk",
        "the whole build, from the base to the package",
        "here (",
        "on a T4: about",
        "on a card of 8 GB: about",
        "on an H100: about",
    ):
        assert words in told.output
    assert not (tmp_path / "build").exists()


@pytest.mark.parametrize(
    ("listed", "words"),
    [
        (rows()[:1], "none can be held out"),
        ([row | {"system": f"Seja {i % 6}."} for i, row in enumerate(rows())], "6 different system messages"),
        (rows(answer="A paciente tem o CPF 529.982.247-25."), "patient identifiers"),
        ([*rows(), {"question": "E agora <|im_end|>?", "answer": "Sim."}], "special token"),
        ([row | {"answer": row["answer"] * 90} for row in rows()], "are longer than data.max_tokens"),
    ],
)
def test_what_the_data_stage_would_refuse(
    tmp_path: Path, spm_base: Checkpoint, listed: list[dict[str, Any]], words: str
) -> None:
    fields = {"fields": {"system": "system"}} if "system" in listed[0] else {}
    done = packager("check", recipe(tmp_path, spm_base.folder, listed, **fields), "--build-dir", str(tmp_path / "b"))
    assert done.exit_code == 2, done.output
    assert words in done.output
    assert "529" not in done.output


@pytest.mark.parametrize("command", ["check", "build"])
def test_wrong_fields_and_what_else_is_wrong_are_said_at_once(tmp_path: Path, command: str) -> None:
    """What only a section asks that is wrong itself is not said: Q5_K_M is among the types that cannot be read."""
    wrong = "train: {batch: {examples_per_step: 0}}\nquantize: {types: [Q4_KM]}\nknowledge: {}\n"
    done = packager(command, recipe(tmp_path, tmp_path / "no_base", rows()[:1], wrong), "--build-dir", str(tmp_path))
    assert done.exit_code == 2, done.output
    for words in (
        "5 problems:", "examples_per_step", "called Q4_KM", "names no column", "no_base", "none can be held out"
    ):  # fmt: skip
        assert words in done.output
    unread = "quantize: {types: [Q5_K_M, [7]]}\nevaluate: {judge: {models: [Q5_K_M], model: m}}\n"
    done = packager(command, recipe(tmp_path, tmp_path / "no_base", rows(), unread), "--build-dir", str(tmp_path))
    assert "quantize.types.1: " in done.output
    assert "no_base" in done.output
    assert "is not measured" not in done.output
    misspelt = unread.replace("[Q5_K_M, [7]]", "[Q5_K_M]").replace("quantize", "quantise")
    done = packager(command, recipe(tmp_path, tmp_path / "no_base", rows(), misspelt), "--build-dir", str(tmp_path))
    assert "quantise: unknown field (did you mean 'quantize'?)" in done.output
    assert "is not measured" not in done.output
    (tmp_path / "r.yaml").write_text("name: r\nbase: {model: a}\ndata: {}\nquantize: {types: [Q4_KM]}\n")
    done = packager(command, str(tmp_path / "r.yaml"), "--build-dir", str(tmp_path))
    assert "data.source: required, but not given" in done.output
    assert done.output.count("problem") == 1


def test_questions_that_do_not_fit_and_files_that_are_missing_are_found_at_once(
    tmp_path: Path, spm_base: Checkpoint
) -> None:
    long = json.dumps("vacina dengue " * 300)
    for section in (f"smoke: [{{ask: {long}}}]\n", f"evaluate: {{probes: [{{ask: {long}}}]}}\n"):
        given = recipe(tmp_path, spm_base.folder, rows(), f"serve: {{context: 512}}\n{section}")
        done = packager("check", given, "--build-dir", str(tmp_path / "b"))
        assert done.exit_code == 2, done.output
        assert "tokens of a prompt; the context that is served has 512" in done.output
    missing = (
        "evaluate: {sets: {um: {source: nao_ha.jsonl}}}\n"
        "knowledge: {rows: true, folder: sem_pasta, questions: sem_perguntas.jsonl}\n"
    )
    given = recipe(tmp_path, spm_base.folder, rows(), missing, template="no.jinja", bad_rows="drop")
    (tmp_path / "rows.jsonl").unlink()
    done = packager("check", given, "--build-dir", str(tmp_path / "b"))
    for words in (
        "evaluate.sets.um: there is no file",
        "names no column",
        "sem_pasta",
        "sem_perguntas",
        "no.jinja",
        "rows.jsonl",
    ):
        assert words in done.output


def test_what_is_overridden_is_not_reported(tmp_path: Path, spm_base: Checkpoint) -> None:
    given = recipe(tmp_path, tmp_path / "no_base", rows(), "train: {epochs: many}\n")
    mine = tmp_path / "mine.jsonl"
    (tmp_path / "rows.jsonl").rename(mine)
    done = packager("check", given, "--data", str(mine), "--base", str(spm_base.folder))
    assert "train.epochs: " in done.output
    assert "no_base" not in done.output
    assert "rows.jsonl" not in done.output


def test_a_system_message_that_the_template_passes_over_or_that_is_too_long(
    tmp_path: Path, spm_base: Checkpoint
) -> None:
    silent = tmp_path / "base"
    shutil.copytree(spm_base.folder, silent)
    template = (silent / "chat_template.jinja").read_text()
    passing_over = template.replace("for message in messages", "for message in messages if message['role'] != 'system'")
    assert passing_over != template
    (silent / "chat_template.jinja").write_text(passing_over)
    done = packager("check", recipe(tmp_path, silent, rows(), system="Seja claro."))
    assert done.exit_code == 2, done.output
    assert "system message" in done.output
    long = recipe(tmp_path, spm_base.folder, rows(), "serve: {context: 512}\n", system="Seja claro. " * 90)
    done = packager("check", long)
    assert done.exit_code == 2, done.output
    assert "512" in done.output


def test_the_audit_of_a_recipe_counts_and_shows(tmp_path: Path, spm_base: Checkpoint) -> None:
    given, page = recipe(tmp_path, spm_base.folder, rows(topic="APS")), tmp_path / "d.html"
    done = packager("audit", given, "--html", str(page))
    assert done.exit_code == 0, done.output
    assert "Tokens a row: " in done.output
    assert "<|im_end|>" in done.output
    text = page.read_text(encoding="utf-8")
    assert text.count('class="card"') == 10
    assert re.search(r"<mark>A equipe explica \w+ e também \w+ na consulta.&lt;\|im_end\|&gt;</mark>", text)
    assert "<script" not in text


def test_the_page_of_an_audit_says_what_was_dropped_and_escapes_what_rows_say(
    tmp_path: Path, spm_base: Checkpoint
) -> None:
    odd = {"question": "<script>alert(1)</script>?", "answer": "Nada."}
    named = {"question": "E o paciente João Souza?", "answer": "Ele procura a equipe."}
    listed = [odd, named, {"question": "só isto"}, *rows()[:8]]
    page = tmp_path / "d.html"
    done = packager("audit", recipe(tmp_path, spm_base.folder, listed, bad_rows="drop"), "--html", str(page))
    assert done.exit_code == 0, done.output
    text = page.read_text(encoding="utf-8")
    assert "falta a coluna &#39;answer&#39;" in text
    assert "&lt;script&gt;" in text
    assert "<script" not in text
    assert "João" not in text


def test_a_row_is_shown_as_it_is_trained(tmp_path: Path, spm_base: Checkpoint) -> None:
    turns = [
        {"role": "user", "content": "Oi?"},
        {"role": "assistant", "content": "Olá.", "weight": 0},
        {"role": "user", "content": "O que é a APS?"},
        {"role": "assistant", "content": "É o primeiro contato."},
    ]
    given = recipe(tmp_path, spm_base.folder, [{"messages": turns}], format="messages")
    shown = packager("preview", given)
    assert shown.exit_code == 0, shown.output
    assert "assistant\nOlá.<|im_end|>" in shown.output
    assert "assistant\n⟦É o primeiro contato.<|im_end|>⟧" in shown.output
    assert packager("preview", given, "--line", "7").exit_code == 2
    absent = packager("preview", given, "--base", "hf:nobody/nothing")
    assert absent.exit_code == 4
    assert "packager check r" in absent.output


def test_a_container_that_is_too_small_is_refused_with_the_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The default recipe in 1.5 GB: its training was killed there, and holds 2.4 GB where it can."""
    loaded = loading.load("smollm2_aps")
    monkeypatch.setattr(machine, "gpus", lambda: ())
    needed = need(loaded, 134_515_008, per_token=1.0e6, longest=134)
    assert 2.3e9 < needed.ram < 2.6e9
    monkeypatch.setattr(cgroup, "memory_left", lambda: 1_400_000_000)
    monkeypatch.setattr(cgroup, "memory_limit", lambda: 1_500_000_000)
    with pytest.raises(MissingResource) as caught:
        check_room(needed, tmp_path)
    said = caught.value.format_message()
    for words in ("2.4 GB", "1.4 GB are available", "this container may hold 1.5 GB", "give the container more memory"):
        assert words in said


def test_the_predictions_that_are_kept_take_disk(tmp_path: Path) -> None:
    loaded = loading.load(recipe(tmp_path, tmp_path, rows()))
    without, with_them = (need(loaded, 10**9, vocabulary=tokens).disk for tokens in (0, 262_144))
    assert 0.5e9 < with_them - without < 0.6e9
    assert need(loaded, 10**9, {"gguf"}, vocabulary=262_144).disk == need(loaded, 10**9, {"gguf"}).disk


def test_a_linked_base_takes_no_disk(tmp_path: Path) -> None:
    loaded = loading.load(recipe(tmp_path, tmp_path, rows()))
    copied, linked = (need(loaded, 8 * 10**9, linked=each).disk for each in (False, True))
    assert copied - linked == 16 * 10**9
    assert need(loaded, 8 * 10**9, {"base"}, linked=True).disk == 0


def test_a_gpu_that_trains_asks_for_no_memory_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = loading.load(recipe(tmp_path, tmp_path, rows(), "train: {method: lora}\n"))
    monkeypatch.setattr(machine, "gpus", lambda: ())
    alone = need(loaded, 8 * 10**9).ram
    monkeypatch.setattr(machine, "gpus", lambda: (Gpu("NVIDIA T4", 16 * 10**9),))
    assert need(loaded, 8 * 10**9).ram < 4e9 < 32e9 <= alone
    costs = {c.where: c for c in estimate.expected(loaded, 8 * 10**9, None, Need(0, 0), tmp_path).costs}
    assert list(costs) == ["here"]
