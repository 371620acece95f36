"""UnusableRow input gets one clear message with its fix and exit code 2, before any stage."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from packager.__main__ import main
from packager.artifacts.kinds import Checkpoint
from packager.cli import summary
from packager.llamacpp.vendored import VENDOR

pytestmark = pytest.mark.skipif(not VENDOR.joinpath("llama.cpp").is_dir(), reason="vendor is not fetched: make setup")
ROW = json.dumps({"question": "O que é a APS?", "answer": "O primeiro contato."}) + "\n"


def build(folder: Path, base: str, data: str, extra: str = "") -> Result:
    recipe = folder / "r.yaml"
    recipe.write_text(f"name: r\nbase: {{model: '{base}'}}\ndata: {{source: '{data}'}}\n{extra}", encoding="utf-8")
    return CliRunner().invoke(main, ["build", str(recipe), "--build-dir", str(folder / "build")])


def refused(folder: Path, result: Result, *words: str, code: int = 2) -> None:
    assert result.exit_code == code, result.output
    for word in words:
        assert word in result.output
    assert "Traceback" not in result.output
    assert not list((folder / "build").glob("*/*.partial"))


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text(ROW * 3, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", ["empty"]),
        (ROW + "{not json\n", ["rows.jsonl:2", "JSON"]),
        ('{"pergunta": "a", "resposta": "b"}\n', ["question", "pergunta"]),
        (ROW + '{"question": "E agora?", "answer": "  "}\n', ["rows.jsonl:2", "empty"]),
    ],
)
def test_bad_data_files(tmp_path: Path, tiny_base: Checkpoint, content: str, words: list[str]) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(content, encoding="utf-8")
    refused(tmp_path, build(tmp_path, str(tiny_base.folder), str(path)), *words)


def test_a_missing_data_file_and_an_unknown_type_are_said_together(tmp_path: Path, tiny_base: Checkpoint) -> None:
    result = build(tmp_path, str(tiny_base.folder), "nowhere.jsonl", "quantize: {types: [Q4_K_X]}\n")
    refused(tmp_path, result, "nowhere.jsonl", "Q4_K_X", "Q4_K_M")


def test_a_base_that_is_not_there(tmp_path: Path, rows: Path) -> None:
    refused(tmp_path, build(tmp_path, str(tmp_path / "no-model"), str(rows)), "no-model", "hf:org/name")


def test_a_base_that_is_no_gguf(tmp_path: Path, rows: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"not a gguf")
    refused(tmp_path, build(tmp_path, str(tmp_path / "x.gguf"), str(rows)), "x.gguf", "not a readable GGUF")


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"architectures": ["WeirdForCausalLM"]}, ["WeirdForCausalLM", "converter does not know"]),
        ({"architectures": ["LlamaForCausalLM"], "model_type": "odd", "auto_map": {"a": "b"}}, ["own model code"]),
        (
            {"architectures": ["LlamaForCausalLM"], "quantization_config": {"quant_method": "bitsandbytes"}},
            ["already quantized (bitsandbytes)"],
        ),
    ],
)
def test_a_base_that_the_line_cannot_build(
    tmp_path: Path, rows: Path, config: dict[str, object], words: list[str]
) -> None:
    base = tmp_path / "base"
    base.mkdir()
    (base / "config.json").write_text(json.dumps(config))
    refused(tmp_path, build(tmp_path, str(base), str(rows)), *words)


def test_an_unknown_field_and_a_wrong_type(tmp_path: Path, rows: Path) -> None:
    result = build(tmp_path, "b", str(rows), "train: {epoks: 2, learning_rate: fast}\n")
    refused(tmp_path, result, "train.epoks: unknown field (did you mean 'epochs'?)", "train.learning_rate", "'fast'")


def test_one_text_holds_several_overrides_with_spaces_in_them(tmp_path: Path, rows: Path) -> None:
    from packager.cli.options import load

    recipe = tmp_path / "r.yaml"
    recipe.write_text(f"name: r\nbase: {{model: b}}\ndata: {{source: '{rows}'}}\n")
    sets = ("data.system=Responda em português train.epochs=2 quantize.types=[Q8_0, Q4_K_M]",)
    loaded = load(str(recipe), None, None, sets)
    assert loaded.data.system == "Responda em português"
    assert loaded.train.epochs == 2
    assert loaded.quantize.types == ("Q8_0", "Q4_K_M")


def test_a_base_given_beside_its_licence_keeps_it() -> None:
    from packager.cli.options import load

    sets = ("base.licence=mit evaluate.sets.Pub2-a.source=x.jsonl",)
    loaded = load("smollm2_aps", "/models/x", None, sets)
    assert (loaded.base.model, loaded.base.licence, loaded.base.sha256) == ("/models/x", "mit", None)
    assert list(loaded.evaluate.sets) == ["Pub2-a"]


def test_a_type_that_needs_an_imatrix_and_a_wrong_checksum(tmp_path: Path, rows: Path, tiny_base: Checkpoint) -> None:
    result = build(tmp_path, str(tiny_base.folder), str(rows), "quantize: {types: [IQ2_XS], imatrix: false}\n")
    refused(tmp_path, result, "IQ2_XS needs an importance matrix")
    (tmp_path / "x.gguf").write_bytes(b"GGUF")
    recipe = tmp_path / "r.yaml"
    recipe.write_text(
        f"name: r\nbase: {{model: '{tmp_path}/x.gguf', sha256: '{'0' * 64}'}}\ndata: {{source: '{rows}'}}\n"
    )
    result = CliRunner().invoke(main, ["check", str(recipe)])
    refused(tmp_path, result, "the recipe pins 0000")


def test_recipes_lists_every_recipe_as_json() -> None:
    listed = json.loads(CliRunner().invoke(main, ["recipes", "--json"]).output)
    assert {"smollm2_aps", "phi3_aps"} <= {r["name"] for r in listed}


def test_a_damaged_base_and_bad_rows_are_said_together(tmp_path: Path, tiny_base: Checkpoint) -> None:
    base = tmp_path / "model"
    shutil.copytree(tiny_base.folder, base)
    (base / "config.json").write_text("{oops")
    rows = tmp_path / "rows.jsonl"
    rows.write_text(ROW + "{not json\n", encoding="utf-8")
    refused(tmp_path, build(tmp_path, str(base), str(rows)), "2 problems", "config.json of model", "rows.jsonl:2")


def test_a_base_without_a_chat_template(tmp_path: Path, rows: Path, spm_base: Checkpoint) -> None:
    base = tmp_path / "model"
    shutil.copytree(spm_base.folder, base)
    (base / "chat_template.jinja").unlink()
    refused(tmp_path, build(tmp_path, str(base), str(rows)), "model has no chat template", "data.template")


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"max_position_embeddings": 64}, "the base was made for 64 tokens"),
        ({"sliding_window": 63}, "it looks back 63 tokens only"),
        (
            {"rope_scaling": {"rope_type": "dynamic", "factor": 2.0, "original_max_position_embeddings": 64}},
            "beyond them its rotary embedding stretches",
        ),
    ],
)
def test_a_context_beyond_what_all_compute_alike(
    tmp_path: Path, rows: Path, spm_base: Checkpoint, settings: dict[str, object], why: str
) -> None:
    base = tmp_path / "model"
    shutil.copytree(spm_base.folder, base)
    config = json.loads((base / "config.json").read_text("utf-8"))
    config.pop("rope_parameters", None)
    (base / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 8192} | settings))
    sets = "serve: {context: 128, max_answer_tokens: 32}\n"
    result = build(tmp_path, str(base), str(rows), sets)
    refused(tmp_path, result, "serve.context is 128, which is too much", "data.max_tokens is", why, "at most 64")


def test_a_template_without_fixed_frames_is_known_before_the_first_stage(
    tmp_path: Path, rows: Path, spm_base: Checkpoint
) -> None:
    base = tmp_path / "model"
    shutil.copytree(spm_base.folder, base)
    shown_by_length = "{% for m in messages %}{{ m['content'] | length }}<|im_end|>{% endfor %}"
    (base / "chat_template.jinja").write_text(shown_by_length, encoding="utf-8")
    refused(tmp_path, build(tmp_path, str(base), str(rows)), "template")


def test_the_next_command_names_the_recipe_as_it_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what was overridden, so that it finds the same package."""
    from packager.recipe.loading import ROOT

    monkeypatch.setattr("sys.argv", ["/opt/x/packager"])
    monkeypatch.chdir(ROOT)
    assert summary.command("chat", "mine/r.yaml", {}) == "make chat recipe=mine/r.yaml"
    assert summary.command("build", "r", {"base": None, "set": "a.b=1 c.d=2"}) == "make recipe=r 'set=a.b=1 c.d=2'"
    elsewhere = tmp_path / "build"
    assert summary.command("chat", "r", {"base": "m"}, elsewhere) == (
        f"/opt/x/packager chat r --base m --build-dir {elsewhere}"
    )
    assert summary.command("chat", "my r.yaml", {"set": "a=1"}) == "/opt/x/packager chat 'my r.yaml' --set a=1"
    monkeypatch.chdir(tmp_path)
    assert summary.command("chat", "r.yaml", {}) == "/opt/x/packager chat r.yaml"


def test_audit_writes_rows_without_identifiers_for_a_recipe_too(tmp_path: Path) -> None:
    listed = [{"question": f"Pergunta {i} sobre {w}?", "answer": f"A equipe cuida de {w}."} for i, w in enumerate("ab")]
    listed[1]["answer"] += " Fale com joana@exemplo.com."
    path, out = tmp_path / "rows.csv", tmp_path / "out.jsonl"
    body = "".join(f"{row['question']};{row['answer']}\n" for row in listed)
    path.write_bytes(f"question;answer\nSó a pergunta;\n{body}".encode("cp1252"))
    recipe = tmp_path / "r.yaml"
    recipe.write_text(f"name: r\nbase: {{model: b}}\ndata: {{source: '{path}', encoding: cp1252}}\n")
    for words in ([str(recipe)], [str(path), "--encoding", "cp1252"]):
        result = CliRunner().invoke(main, ["audit", *words, "--write", str(out)])
        assert result.exit_code == 0, result.output
        written = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
        assert written == [listed[0], listed[1] | {"answer": "A equipe cuida de b. Fale com [E-MAIL]."}]
        assert "empty 'answer' (line 2)" in result.output
        assert "A build stops at the 1 row that cannot be used" in result.output
    result = CliRunner().invoke(main, ["audit", str(path)])
    assert result.exit_code == 0, result.output
    assert "the file is not UTF-8; it is read as cp1252 (encoding)" in result.output


def test_an_unknown_stage(tmp_path: Path, rows: Path, tiny_base: Checkpoint) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text(f"name: r\nbase: {{model: '{tiny_base.folder}'}}\ndata: {{source: '{rows}'}}\n")
    result = CliRunner().invoke(main, ["build", str(recipe), "--until", "trainn", "--build-dir", str(tmp_path)])
    assert result.exit_code == 2
    assert "no stage 'trainn'" in result.output


def test_a_context_longer_than_the_base_s(tmp_path: Path, spm_base: Checkpoint, rows: Path) -> None:
    result = build(tmp_path, str(spm_base.folder), str(rows), "serve: {context: 8192}\n")
    refused(tmp_path, result, "serve.context is 8192", "made for 4096 tokens")
