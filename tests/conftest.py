"""Fixtures that every test may use: a tiny real model and a data set, built on the spot, no downloads."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from packager.artifacts.files import sha256_of
from packager.artifacts.kinds import Checkpoint, Dataset
from packager.process import child, preloaded

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
END_OF_TURN = "<|im_end|>"
SPECIALS = ("<|endoftext|>", "<|im_start|>", END_OF_TURN)
SYSTEM = "Responda em português do Brasil, com clareza."
SUBJECTS = ("a longitudinalidade", "o acolhimento", "a visita domiciliar", "a vacinação", "a busca ativa", "o vínculo")
QUESTIONS = ("O que é {} na atenção primária?", "Por que {} importa?", "Quem cuida de {}?", "Como começar com {}?")
ANSWERS = (
    "É {}: um cuidado contínuo, feito pela equipe de saúde junto da família.",
    "Porque {} aproxima as pessoas da unidade e evita internações.",
    "A equipe toda: quem atende, quem visita e quem registra {}.",
    "Conhecendo o território; depois {} entra na agenda da semana.",
)


pytest_plugins = ["spm_fixtures", "engines"]


def pytest_configure(config: pytest.Config) -> None:
    """One of several workers, and what it starts, keeps to its share of the cores: more threads than cores
    wait for each other."""
    worker = getattr(config, "workerinput", None)
    if worker and hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        share = cores[int(worker["workerid"].removeprefix("gw")) :: worker["workercount"]]
        os.sched_setaffinity(0, share or cores)


@pytest.fixture(scope="session", autouse=True)
def torch_is_imported_once() -> Iterator[None]:
    """All builds of a worker fork their children from one process."""
    with preloaded.importing_process(child.environment()):
        yield


def tiny_rows() -> list[dict[str, list[dict[str, str]]]]:
    """Twenty-four conversations in Portuguese, in the form that the data stage writes."""
    return [
        {
            "messages": [
                {"role": "system", "content": SYSTEM},
                {"role": "user", "content": question.format(subject)},
                {"role": "assistant", "content": answer.format(subject)},
            ]
        }
        for question, answer in zip(QUESTIONS, ANSWERS, strict=True)
        for subject in SUBJECTS
    ]


def write_tokenizer(folder: Path) -> int:
    """tokenizer.json (byte-level BPE), tokenizer_config.json and a ChatML template; returns the vocabulary size."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=512,
        special_tokens=list(SPECIALS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([m["content"] for row in tiny_rows() for m in row["messages"]], trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<|im_start|>",
        "eos_token": END_OF_TURN,
        "pad_token": END_OF_TURN,
        "unk_token": "<|endoftext|>",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "chat_template.jinja").write_text(CHATML, encoding="utf-8")
    return int(tokenizer.get_vocab_size())


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A random Llama of 2 layers and hidden size 64 as a Hugging Face folder in fp16. Do not write into it."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("tiny_base")
    config = LlamaConfig(
        vocab_size=write_tokenizer(folder),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LlamaForCausalLM(config).to(torch.float16)
    model.save_pretrained(folder)
    return Checkpoint(
        folder=folder,
        content="tiny-base",
        source="hf:example/tiny-llama",
        revision="0",
        architecture="LlamaForCausalLM",
        parameters=sum(p.numel() for p in model.parameters()),
        licence="apache-2.0",
        weights_sha256=sha256_of(folder / "model.safetensors"),
    )


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory, tiny_base: Checkpoint) -> Dataset:
    """The data stage's folder for `tiny_base`: 20 rows to train on, 4 held out. Do not write into it."""
    from packager.prompt import masking
    from packager.prompt.corpus import write_corpus
    from packager.prompt.template import load_template, load_tokenizer

    folder = tmp_path_factory.mktemp("tiny_data")
    write_tokenizer(folder)
    rows = tiny_rows()
    parts = {"heldout": rows[::6], "train": [row for i, row in enumerate(rows) if i % 6]}
    template, tokenizer = load_template(folder), load_tokenizer(folder)
    tokens = {}
    for name, part in parts.items():
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in part]
        (folder / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
        encoded = [masking.encode(template, tokenizer, END_OF_TURN, row["messages"]) for row in part]
        tokens[name] = sum(len(e.ids) for e in encoded)
    write_corpus(folder, SYSTEM)
    return Dataset(
        folder=folder,
        content="tiny-data",
        train_rows=len(parts["train"]),
        heldout_rows=len(parts["heldout"]),
        train_tokens=tokens["train"],
        heldout_tokens=tokens["heldout"],
        topics=0,
        too_long=0,
        system=SYSTEM,
        source_sha256="0" * 64,
        data_sha256="0" * 64,
        end_of_turn=END_OF_TURN,
        leaked=0,
        unterminated=0,
    )
