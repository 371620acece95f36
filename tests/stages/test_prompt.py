"""Prompts are proven before anything is trained, on a vocabulary without weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from packager.__main__ import main
from packager.artifacts.files import fresh, sha256_of
from packager.artifacts.kinds import Checkpoint, Dataset, Prompt
from packager.errors import InputError
from packager.llamacpp import gguf_file
from packager.stages.prompt import prompt, proven_prompt


@pytest.fixture
def altered(spm_base: Checkpoint, tmp_path: Path) -> Checkpoint:
    """A base of its own, to be altered."""
    shutil.copytree(spm_base.folder, tmp_path / "base")
    return spm_base.model_copy(update={"folder": tmp_path / "base"})


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | changes), encoding="utf-8")


def ask_for_bos(folder: Path) -> None:
    edit(folder / "tokenizer_config.json", add_bos_token=True)


def test_all_holds_and_the_file_has_no_weights(spm_prompt: Prompt) -> None:
    assert [check.id for check in spm_prompt.checks] == [
        "convert.special_tokens",
        "convert.end_of_turn",
        "convert.tokens",
        "modelfile.prompt_parity",
        "modelfile.one_bos",
        "modelfile.generations",
    ]
    assert not spm_prompt.failed
    (path,) = spm_prompt.folder.iterdir()
    assert gguf_file.inspect(path).n_tensors == 0


def test_the_file_is_the_same_each_time_and_nothing_in_it_is_of_this_machine(
    spm_prompt: Prompt, spm_base: Checkpoint, spm_data: Dataset, tmp_path: Path
) -> None:
    again = prompt(None, spm_base, spm_data, None, fresh(tmp_path / "again"))
    first, second = (one.folder / "vocabulary.gguf" for one in (spm_prompt, again))
    assert sha256_of(first) == sha256_of(second)
    assert spm_base.folder.name.encode() not in first.read_bytes()


def test_a_tokenizer_that_splits_otherwise(
    vendored: Path, altered: Checkpoint, spm_data: Dataset, tmp_path: Path
) -> None:
    """Training's has fewer merges than the base whose vocabulary is served."""
    data = tmp_path / "data"
    shutil.copytree(spm_data.folder, data)
    tokenizer = json.loads((data / "tokenizer.json").read_text("utf-8"))
    tokenizer["model"]["merges"] = tokenizer["model"]["merges"][:20]
    (data / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    made = prompt(None, altered, spm_data.model_copy(update={"folder": data}), None, fresh(tmp_path / "out"))
    failed = {check.id: check.says for check in made.failed}
    assert "First: trained as" in failed["convert.tokens"]


def test_a_bos_that_training_does_not_print(
    vendored: Path, altered: Checkpoint, spm_data: Dataset, tmp_path: Path
) -> None:
    ask_for_bos(altered.folder)
    made = prompt(None, altered, spm_data, None, fresh(tmp_path / "out"))
    assert {check.id for check in made.failed} == {"modelfile.prompt_parity"}
    assert "begin the template with {{ bos_token }}" in made.failed[0].says


def test_a_stop_inside_an_answer(spm_prompt: Prompt, spm_data: Dataset, tmp_path: Path) -> None:
    shutil.copytree(spm_data.folder, tmp_path / "data")
    turns = [{"role": "user", "content": "E?"}, {"role": "assistant", "content": "a <|im_end|> b"}]
    (tmp_path / "data" / "train.jsonl").write_text(json.dumps({"messages": turns}) + "\n", encoding="utf-8")
    spoiled = spm_data.model_copy(update={"folder": tmp_path / "data"})
    with pytest.raises(InputError, match=r"train\.jsonl, line 1: .*<\|im_end\|>"):
        proven_prompt(spm_prompt.folder / "vocabulary.gguf", spoiled)


def test_check_names_prompts_that_would_not_be_those_of_training(
    vendored: Path, altered: Checkpoint, tmp_path: Path
) -> None:
    ask_for_bos(altered.folder)
    rows = (json.dumps({"question": f"O que é {word}?", "answer": f"É {word}, cuidado."}) for word in "abcd")
    (tmp_path / "rows.jsonl").write_text("\n".join(rows), encoding="utf-8")
    recipe = tmp_path / "r.yaml"
    recipe.write_text(
        f"name: r\nbase: {{model: '{altered.folder}'}}\ndata: {{source: '{tmp_path}/rows.jsonl'}}\n"
        "serve: {context: 256, max_answer_tokens: 64}\n"
    )
    result = CliRunner().invoke(main, ["check", str(recipe), "--build-dir", str(tmp_path / "build")])
    assert result.exit_code == 2, result.output
    assert "modelfile.prompt_parity" in result.output
    assert "begin the template with {{ bos_token }}" in result.output
