"""Fixtures of a tiny SentencePiece model, from checkpoint to F16 GGUF."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import sentencepiece_base

from packager.artifacts.kinds import Checkpoint, Dataset, Ggufs, Merged, Prompt
from packager.errors import MissingResource
from packager.llamacpp import vendored as llamacpp_vendored
from packager.prompt.corpus import write_corpus


@pytest.fixture(scope="session")
def vendored() -> Path:
    """llama.cpp's source; skips the test if it has not been fetched."""
    try:
        return llamacpp_vendored.converter().parent
    except MissingResource as error:
        pytest.skip(error.format_message())


@pytest.fixture(scope="session")
def spm_base(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """The tiny SentencePiece model. Do not write into it."""
    folder = tmp_path_factory.mktemp("spm_base")
    parameters = sentencepiece_base.make(folder)
    return Checkpoint(
        folder=folder,
        source="hf:example/tiny-spm",
        revision="abc123",
        architecture="LlamaForCausalLM",
        parameters=parameters,
    )


@pytest.fixture(scope="session")
def spm_data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A data stage's folder that goes with `spm_base`. Do not write into it."""
    folder = tmp_path_factory.mktemp("spm_data")
    sentencepiece_base.write_sentencepiece(folder)
    asked = [("user", "O que a equipe cuida?"), ("assistant", "A equipe de saúde cuida da família no território.")]
    row = {"messages": [{"role": role, "content": content} for role, content in asked]}
    (folder / "heldout.jsonl").write_text(json.dumps(row, ensure_ascii=False) + "\n", encoding="utf-8")
    write_corpus(folder, None)
    return Dataset.model_construct(folder=folder, end_of_turn="<|im_end|>", system=None)


@pytest.fixture(scope="session")
def spm_merged(tmp_path_factory: pytest.TempPathFactory, spm_base: Checkpoint, spm_data: Dataset) -> Merged:
    """`spm_base` through the merge stage, without an adapter. Do not write into it."""
    from packager.stages.merge import merge

    return merge(None, spm_base, spm_data, None, tmp_path_factory.mktemp("spm_merged"))


@pytest.fixture(scope="session")
def spm_prompt(
    tmp_path_factory: pytest.TempPathFactory, vendored: Path, spm_base: Checkpoint, spm_data: Dataset
) -> Prompt:
    """The prompts of `spm_base`, proven (seconds). Do not write into it."""
    from packager.stages.prompt import prompt

    return prompt(None, spm_base, spm_data, None, tmp_path_factory.mktemp("spm_prompt"))


@pytest.fixture(scope="session")
def spm_f16(
    tmp_path_factory: pytest.TempPathFactory, spm_merged: Merged, spm_data: Dataset, spm_prompt: Prompt
) -> Ggufs:
    """`spm_base` as an F16 GGUF file, made by the real converter (seconds). Do not write into it."""
    from packager.stages.convert import convert

    return convert(None, spm_merged, spm_data, spm_prompt, tmp_path_factory.mktemp("spm_f16"))
