"""A base that is at odds with itself is refused in check, with everything that is wrong in one error."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from packager.artifacts.kinds import Checkpoint
from packager.checkpoint import weights
from packager.checkpoint.inspection import template_problem
from packager.checkpoint.locate import inspect_base, locate_base
from packager.checkpoint.token_files import instead_of_a_file, pieces_of
from packager.errors import InputError
from packager.recipe.sections import Base

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:9e556afd\nsize 499723\n"
PAGE = "<!DOCTYPE html>\n<html><body>Please log in</body></html>"


@pytest.fixture
def folder(tmp_path: Path, spm_base: Checkpoint) -> Path:
    """A copy of a folder that can be built from: a Llama whose head is its embedding."""
    shutil.copytree(spm_base.folder, tmp_path / "model")
    return tmp_path / "model"


def edit(path: Path, **settings: Any) -> None:
    """Set fields of a JSON file; take out those that are given as `...`."""
    fields = {**json.loads(path.read_text("utf-8")), **settings}
    path.write_text(json.dumps({k: v for k, v in fields.items() if v is not ...}), encoding="utf-8")


def rewrite(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the tensors of model.safetensors."""
    import torch  # noqa: F401  (safetensors' own reader of bfloat16)
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file({name: t.contiguous() for name, t in tensors.items()}, folder / "model.safetensors", {"format": "pt"})


def refused(folder: Path) -> str:
    with pytest.raises(InputError) as caught:
        locate_base(Base(model=str(folder)))
    message = caught.value.format_message()
    assert "->" in message
    return message


def test_all_that_is_wrong_is_in_one_error(folder: Path) -> None:
    edit(folder / "config.json", num_hidden_layers=3, rope_scaling={"type": "proportional"}, rope_parameters=...)
    edit(folder / "generation_config.json", eos_token_id=[2, 99999])
    (folder / "tokenizer.model").write_text(POINTER)
    message = refused(folder)
    for words in ("4 problems", "Git LFS pointer", "layer 2 is missing", "'proportional'", "eos_token_id is 99999"):
        assert words in message


# --- head and embedding

HEAD = "lm_head.weight"
TABLE = "model.embed_tokens.weight"


def test_a_head_of_its_own_beside_a_tie_is_refused_and_an_equal_copy_is_not(folder: Path) -> None:
    rewrite(folder, lambda t: t.update({HEAD: t[TABLE].clone()}))
    assert inspect_base(Base(model=str(folder)))[1] == []

    def last_number(t: dict[str, Any]) -> None:
        t[HEAD][-1, -1] += 1

    rewrite(folder, last_number)
    assert "a lm_head.weight that differs from it" in refused(folder)
    edit(folder / "config.json", tie_word_embeddings=False)
    assert inspect_base(Base(model=str(folder)))[1] == []


def test_a_head_that_would_be_drawn_at_random_is_refused(folder: Path) -> None:
    for tied in (False, ...):  # a Llama that does not say is not tied
        edit(folder / "config.json", tie_word_embeddings=tied)
        assert "it would be drawn at random" in refused(folder)


# --- tokens


def add_token(folder: Path, name: str, number: int) -> None:
    """Give a token a number in one of the files that number tokens."""
    path = folder / name
    found = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    if name == "tokenizer.json":
        found["added_tokens"].append({**found["added_tokens"][-1], "id": number, "content": "<novo>"})
    elif name == "added_tokens.json":
        found["<novo>"] = number
    else:
        found.setdefault("added_tokens_decoder", {})[str(number)] = {"content": "<novo>"}
    path.write_text(json.dumps(found), encoding="utf-8")


@pytest.mark.parametrize("name", ["tokenizer.json", "added_tokens.json", "tokenizer_config.json"])
def test_a_token_without_a_row_is_refused(folder: Path, name: str) -> None:
    add_token(folder, name, 352)
    message = refused(folder)
    assert "The embedding has 352 rows, for tokens 0 to 351" in message
    assert f"{name} has '<novo>' as 352" in message


def test_rows_without_a_token_do_no_harm(folder: Path) -> None:
    """As in Qwen2.5, whose embedding is padded."""
    import torch

    rewrite(folder, lambda t: t.update({TABLE: torch.cat([t[TABLE], t[TABLE][:32]])}))
    edit(folder / "config.json", vocab_size=384)
    assert inspect_base(Base(model=str(folder)))[1] == []
    edit(folder / "config.json", vocab_size=352)
    assert "has 384 rows, but config.json says vocab_size: 352" in refused(folder)


# --- files that are none


@pytest.mark.parametrize("name", ["tokenizer.model", "tokenizer.json", "config.json", "model.safetensors"])
@pytest.mark.parametrize(("content", "words"), [(POINTER, "a Git LFS pointer"), (PAGE, "a page of a website")])
def test_what_a_download_leaves_instead_of_a_file_is_named(folder: Path, name: str, content: str, words: str) -> None:
    (folder / name).write_text(content)
    message = refused(folder)
    assert f"{name} is {words}" in message
    assert ("git lfs pull" in message) == (content == POINTER)


@pytest.mark.parametrize("content", [b"", b"\x00" * 64, b"{}", b"IQ== 0\nIg== 1\n", "cut"])
def test_a_tokenizer_model_that_is_none_is_refused(folder: Path, content: bytes | str) -> None:
    path = folder / "tokenizer.model"
    path.write_bytes(path.read_bytes()[:-3] if isinstance(content, str) else content)
    assert "tokenizer.model is no whole SentencePiece model" in refused(folder)


def test_pieces_are_counted(folder: Path) -> None:
    assert pieces_of((folder / "tokenizer.model").read_bytes()) == 352
    assert pieces_of(b"\xff" * 40) is None
    assert instead_of_a_file(folder / "tokenizer.model") == ""


# --- templates


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ("{{ x }}", None),
        (None, None),
        ([{"name": "tool_use", "template": "b"}, {"name": "default", "template": "a"}], None),
        ([{"name": "rag", "template": "a"}, {"name": "tool_use", "template": "b"}], "none of that name"),
        ([{"name": "default", "template": "a"}, {"name": "default", "template": "b"}], "2 of that name"),
        ([], "an empty list"),
        ({"default": "a"}, "chat_template is fields"),
        (3, "chat_template is int"),
        (["{{ x }}"], "lacks its name or template"),
        ([{"name": "default"}], "lacks its name or template"),
        ([{"name": "default", "template": 3}], "lacks its name or template"),
    ],
)
def test_named_templates(tmp_path: Path, found: object, words: str | None) -> None:
    problem = template_problem(tmp_path, {"chat_template": found})
    assert (words in problem.message if problem and words else problem) == (words and True)
    (tmp_path / "chat_template.jinja").write_text("{{ x }}")
    assert template_problem(tmp_path, {"chat_template": found}) is None


# --- sets of files


def shard(folder: Path, files: int = 2) -> dict[str, str]:
    """Divide model.safetensors among so many files with an index; returns the file of each tensor."""
    tensors = weights.checkpoint(folder)
    names = sorted(tensors)
    parts = [names[i::files] for i in range(files)]
    said: dict[str, str] = {}
    with weights.Reader() as reader:
        for number, part in enumerate(parts, 1):
            (folder / "part").mkdir()
            with weights.Writer(folder / "part", [(n, tensors[n].dtype, tensors[n].shape) for n in part]) as writer:
                for name in part:
                    writer.write(name, 0, reader.raw(tensors[name]))
            file = f"model-{number:05d}-of-{files:05d}.safetensors"
            (folder / "part" / "model.safetensors").rename(folder / file)
            (folder / "part").rmdir()
            said |= dict.fromkeys(part, file)
    (folder / "model.safetensors").unlink()
    (folder / weights.INDEX).write_text(json.dumps({"metadata": {}, "weight_map": said}))
    return said


def test_shards_and_their_index(folder: Path) -> None:
    said = shard(folder)
    assert inspect_base(Base(model=str(folder)))[1] == []
    name = min(said)
    other = next(file for file in said.values() if file != said[name])
    (folder / weights.INDEX).write_text(json.dumps({"weight_map": said | {name: other}}))
    assert f"do not agree about 1 tensors: {name} is said to be in {other}, and is in {said[name]}" in refused(folder)
    (folder / weights.INDEX).write_text(json.dumps({"weight_map": said | {"model.extra.weight": other}}))
    assert f"model.extra.weight is said to be in {other}, and is in none of them" in refused(folder)
    (folder / weights.INDEX).unlink()
    message = refused(folder)
    assert "model.safetensors.index.json is not there" in message
    assert "files are missing" not in message
    (folder / other).unlink()
    assert "1 of the 2 files are missing" in refused(folder)


def test_other_formats_and_adapters_are_told_apart(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    message = refused(folder)
    assert "pytorch_model.bin, which is of another format" in message
    assert "save_pretrained" in message
    (folder / "pytorch_model.bin").rename(folder / "model-Q4_K_M.gguf")
    assert "set base.model to model-Q4_K_M.gguf itself" in refused(folder)
    (folder / "config.json").unlink()
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "org/base", "r": 8}))
    message = refused(folder)
    assert "is a LoRA adapter of org/base, not a model" in message


# --- GGUF files


def gguf(path: Path, *, architecture: str = "llama", blocks: int = 2, written: int = 2, **more: Any) -> Path:
    """A GGUF file of `written` layers that says it has `blocks`."""
    import gguf as library

    writer = library.GGUFWriter(path, architecture)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([f"t{i}" for i in range(more.pop("tokens", 8))])
    writer.add_context_length(512)
    writer.add_block_count(blocks)
    if not more.pop("silent", False):
        writer.add_embedding_length(8)
        writer.add_head_count(2)
    for name, value in more.items():
        key = name.replace("__", ".")
        writer.add_uint16(key, value) if key.startswith("split") else writer.add_uint32(key, value)
    for name in ("token_embd", *(f"blk.{i}.attn_q" for i in range(written))):
        writer.add_tensor(f"{name}.weight", np.ones((8, 8), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize("name", ["sha256-6e2f", "sha256:6e2f", "model.bin", "model.gguf.part"])
def test_a_gguf_is_known_by_its_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Ollama's blobs have no ending."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = gguf(tmp_path / "whole.gguf").rename(tmp_path / name)
    for _ in range(2):
        found = locate_base(Base(model=str(path)))
        assert found.is_gguf
        assert found.source == name
        assert found.path.suffix == ".gguf"  # transformers asks for it
        assert found.path.read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"split__count": 3, "split__no": 0}, "is part 1 of 3 of a split GGUF file, but not named so"),
        ({"split__count": 2, "split__no": 1}, "is part 2 of 2"),
        ({"llama__expert_count": 8}, "mixture of experts"),
        ({"blocks": 3}, "num_hidden_layers is 3"),
        ({"blocks": 1}, "hold layer 1 as well"),
        ({"tokens": 9}, "names 9 tokens, but its embedding has 8 rows"),
        ({"silent": True}, "does not say llama.attention.head_count, llama.embedding_length"),
        ({"architecture": "mamba"}, "architecture mamba cannot be trained from"),
    ],
)
def test_a_gguf_that_is_not_whole_is_refused(tmp_path: Path, settings: dict[str, Any], words: str) -> None:
    assert words in refused(gguf(tmp_path / "model.gguf", **settings))


def test_a_whole_set_of_one_part_is_taken(tmp_path: Path) -> None:
    assert locate_base(Base(model=str(gguf(tmp_path / "model.gguf", split__count=1, split__no=0)))).parameters == 192


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("model.gguf", POINTER, "a Git LFS pointer"),
        ("model.gguf", PAGE, "a page of a website"),
        ("model.safetensors", "x", "give its folder"),
        ("blob", "x", "it does not begin as one"),
    ],
)
def test_a_file_that_is_no_gguf_says_what_it_is(tmp_path: Path, name: str, content: str, words: str) -> None:
    (tmp_path / name).write_text(content)
    assert words in refused(tmp_path / name)


def test_a_gguf_is_refused_wherever_it_is_cut_or_changed(tmp_path: Path) -> None:
    """In words, never as our bug."""
    whole = gguf(tmp_path / "model.gguf").read_bytes()
    assert len(whole) > 800
    changed = [whole[:end] for end in range(0, len(whole), 7)]
    changed += [whole[:at] + b"\xff" * 8 + whole[at + 8 :] for at in range(4, 400, 3)]
    for number, content in enumerate(changed):
        path = tmp_path / f"{number}.gguf"
        path.write_bytes(content)
        try:
            locate_base(Base(model=str(path)))
        except InputError:
            continue
        assert len(content) == len(whole), "a file that is cut short was taken"
