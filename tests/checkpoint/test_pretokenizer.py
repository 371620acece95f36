"""The pre-tokenizer of an unpacked base: that which the GGUF file names, proven by llama.cpp's own tokens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from packager.checkpoint import pretokenizer
from packager.checkpoint.pretokenizer import DIGITS, GPT2, KNOWN, with_splitting
from packager.checkpoint.unpack import prove_tokens
from packager.errors import InputError, ProofFailed
from packager.llamacpp import gguf_file
from packager.llamacpp.model import GgufModel
from packager.prompt.corpus import CONTENTS, SPLITS, neighbours
from packager.proof.tokens import splits_differently
from packager.recipe.loading import ROOT

VOCABULARIES = ROOT / "vendor" / "llama.cpp" / "models"
NAMES = ("gpt-2", "mpt", "starcoder", "refact", "llama-bpe", "qwen2", "qwen35")
FAST = ("gpt-2", "starcoder", "refact")
TEXTS = [*CONTENTS, *SPLITS, *neighbours()]


def vocabulary(name: str) -> Path:
    path = VOCABULARIES / f"ggml-vocab-{name}.gguf"
    if not path.is_file():
        pytest.skip("vendor/llama.cpp is not fetched: make setup")
    return path


def unpacked(path: Path) -> dict[str, Any]:
    """A GGUF file's byte-pair vocabulary as a tokenizer.json, split as GPT-2 does."""
    from gguf import GGUFReader

    fields = GGUFReader(path).fields

    def strings(key: str) -> list[str]:
        field = fields[f"tokenizer.ggml.{key}"]
        return [bytes(field.parts[i]).decode() for i in field.data]

    types = fields["tokenizer.ggml.token_type"]
    kinds = [int(types.parts[i][0]) for i in types.data]
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    vocab: dict[str, int] = {}
    for number, token in enumerate(strings("tokens")):
        vocab.setdefault(token, number)
    parts = {
        "version": "1.0",
        "added_tokens": [
            {"id": number, "content": token, "special": kinds[number] == 3, **plain}
            for number, token in enumerate(strings("tokens"))
            if kinds[number] in (3, 4)
        ],
        "normalizer": {"type": "NFC"},
        "post_processor": None,
        "decoder": None,
        "model": {"type": "BPE", "vocab": vocab, "merges": [merge.split(" ") for merge in strings("merges")]},
    }
    return with_splitting(parts, GPT2)


@pytest.mark.parametrize("name", [n if n in FAST else pytest.param(n, marks=pytest.mark.slow) for n in NAMES])
def test_unpacked_tokenizers_make_the_tokens_of_their_file(tmp_path: Path, name: str) -> None:
    path = vocabulary(name)
    (tmp_path / "tokenizer.json").write_text(json.dumps(unpacked(path)), encoding="utf-8")
    assert pretokenizer.restore(path, tmp_path) == gguf_file.inspect(path).metadata["tokenizer.ggml.pre"]
    prove_tokens(path, tmp_path)


@pytest.mark.parametrize("name", ["starcoder", pytest.param("qwen2", marks=pytest.mark.slow)])
def test_a_lost_step_is_found(tmp_path: Path, name: str) -> None:
    path = vocabulary(name)
    (tmp_path / "tokenizer.json").write_text(json.dumps(unpacked(path)), encoding="utf-8")
    with pytest.raises(ProofFailed, match=r"base.tokens: .* splits \d+ of \d+ texts otherwise than the file"):
        prove_tokens(path, tmp_path)


def test_each_text_about_digits_finds_that_they_are_not_taken_apart(tmp_path: Path) -> None:
    from tokenizers import Tokenizer

    path = vocabulary("starcoder")
    lost = Tokenizer.from_str(json.dumps(with_splitting(unpacked(path), GPT2)))
    kept = Tokenizer.from_str(json.dumps(with_splitting(unpacked(path), DIGITS)))
    texts = ["\n\n1. Lave", "Dose:  10 mg", "|    150 |", *SPLITS]
    with GgufModel.open(path, vocab_only=True) as model:
        for text in texts[:2] + texts[3:]:
            assert splits_differently(model, lost, [text]), text
        assert not splits_differently(model, kept, texts)


def test_sentencepiece_is_left_alone(tmp_path: Path) -> None:
    assert pretokenizer.restore(vocabulary("phi-3"), tmp_path) == ""


def test_a_name_that_is_not_known_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"in the way 'falcon'.*known: .*qwen2"):
        pretokenizer.restore(vocabulary("falcon"), tmp_path)


def test_every_class_of_character_stands_next_to_every_other() -> None:
    from packager.prompt.corpus import NEIGHBOURS

    whole = "\x00".join(neighbours())
    assert all(one + other in whole for one in NEIGHBOURS for other in NEIGHBOURS)
    assert set(KNOWN) > {"smollm", "llama-bpe", "qwen2", "gpt-2"}
