"""A tiny real model that can answer: taught a handful of Portuguese answers in seconds.

GPT-2's real vocabulary (from the vendored llama.cpp; the converter knows its pre-tokenizer) under a
two-layer Llama, trained in full until it repeats what it was taught. So the chain's tests can judge
answers, not only form.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import standins
from command_line import packager
from once import once, shared

from packager.recipe.loading import ROOT

VOCABULARY = ROOT / "vendor" / "llama.cpp" / "models"
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content']"
    " + '<|im_end|>' + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
SUBJECTS = ("vacina", "dengue", "diabetes", "tabaco", "parto", "febre")
TAUGHT_STEPS = 150


def rows() -> list[dict[str, str]]:
    """Thirty-six distinct questions and answers over six topics."""
    frames = (
        ("O que é {}?", "A palavra {} é um tema que a equipe de saúde explica para a família."),
        ("Quem cuida de {}?", "Quem cuida do tema {} é a equipe da unidade básica de saúde."),
        ("Onde pergunto sobre {}?", "Para saber mais sobre {}, procure a unidade básica mais perto da sua casa."),
        ("Quando falar de {}?", "Fale de {} na consulta, na visita e sempre que tiver uma dúvida."),
        ("Por que saber de {}?", "Saber de {} ajuda a pessoa a cuidar da sua saúde e da família."),
        ("Como a equipe ensina {}?", "A equipe ensina {} em grupos, na escola e em cada consulta."),
    )
    return [
        {"question": question.format(s), "answer": answer.format(s), "topic": s}
        for s in SUBJECTS
        for question, answer in frames
    ]


@pytest.fixture(scope="session")
def taught_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def make(folder: Path) -> None:
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows()]
        (folder / "perguntas.jsonl").write_text("".join(lines), encoding="utf-8")

    return once(shared(tmp_path_factory.getbasetemp()) / "data", make) / "perguntas.jsonl"


@pytest.fixture(scope="session")
def taught_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the taught model, in FP16 safetensors. Do not write into it."""
    if not VOCABULARY.is_dir():
        pytest.skip("vendor/llama.cpp is not fetched: make setup")
    return once(shared(tmp_path_factory.getbasetemp()) / "tiny-llama", _make_taught)


def _make_taught(folder: Path) -> None:
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(VOCABULARY, gguf_file="ggml-vocab-gpt-2.gguf")
    tokenizer.add_special_tokens({"eos_token": "<|im_end|>", "bos_token": "<|im_start|>", "pad_token": "<|endoftext|>"})
    tokenizer.chat_template = CHATML
    torch.manual_seed(0)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # so small a model is slower on two, above all on a busy machine
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=64,
            intermediate_size=256,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=512,
            tie_word_embeddings=True,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    _teach(model, tokenizer)
    torch.set_num_threads(threads)
    model.to(torch.float16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _teach(model: object, tokenizer: object) -> None:
    """Full training on every second row, so that the adapter still has something to learn."""
    import torch

    conversations = [
        tokenizer.apply_chat_template(  # type: ignore[attr-defined]
            [{"role": "user", "content": r["question"]}, {"role": "assistant", "content": r["answer"]}], tokenize=False
        )
        for r in rows()[::2]
    ]
    batch = tokenizer(conversations, return_tensors="pt", padding=True)  # type: ignore[operator]
    # Logits over the words that occur only: a thousandth of the work of all 50,259.
    words, targets = torch.unique(batch.input_ids[:, 1:], return_inverse=True)
    targets = targets.masked_fill(batch.attention_mask[:, 1:] == 0, -100)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)  # type: ignore[attr-defined]
    for _ in range(TAUGHT_STEPS):
        hidden = model.model(**batch).last_hidden_state[:, :-1]  # type: ignore[attr-defined]
        logits = hidden @ model.lm_head.weight[words].T  # type: ignore[attr-defined]
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert loss.item() < 0.1, f"the tiny model did not learn: loss {loss.item():.2f}"


RECIPE = """\
name: tiny
language: pt-BR
base: {{model: '{base}', licence: apache-2.0}}
data:
  source: '{data}'
  fields: {{question: question, answer: answer, topic: topic}}
  split: {{fraction: 0.15, group_by: topic}}
train:
  epochs: 4
  batch: {{examples_per_step: 8}}
  learning_rate: 1.0e-2
  lora: {{rank: 8, alpha: 16}}
  checkpoint_seconds: 0.5
quantize: {{types: [Q8_0, Q4_K_M]}}
serve: {{context: 256, max_answer_tokens: 60, temperature: 0}}
smoke:
  - ask: O que é vacina?
    expect_any: [saúde]
  - ask: Onde pergunto sobre dengue?
    expect_any: [unidade]
"""


@pytest.fixture(scope="session")
def tiny_recipe(tmp_path_factory: pytest.TempPathFactory, taught_base: Path, taught_data: Path) -> Path:
    """The path of a recipe that takes the taught model through the whole line in seconds."""

    def make(folder: Path) -> None:
        (folder / "tiny.yaml").write_text(RECIPE.format(base=taught_base, data=taught_data), encoding="utf-8")

    return once(shared(tmp_path_factory.getbasetemp()) / "recipe", make) / "tiny.yaml"


@pytest.fixture(scope="session")
def built(tiny_recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The build folder of a finished build. Copy it before changing it."""

    def make(folder: Path) -> None:
        packager("build", tiny_recipe, "--build-dir", folder, check=True)

    return once(shared(tmp_path_factory.getbasetemp()) / "built", make)


@pytest.fixture
def copied(built: Path, tmp_path: Path) -> Path:
    shutil.copytree(built, tmp_path / "build", symlinks=True)
    return tmp_path / "build"


@pytest.fixture(scope="session")
def standin(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of an architecture's stand-in, made once and kept in pytest's cache. Do not write into it."""
    if not VOCABULARY.is_dir():
        pytest.skip("vendor/llama.cpp is not fetched: make setup")
    made_by = Path(standins.__file__).read_bytes() + (VOCABULARY.parents[1] / "llama.cpp.lock").read_bytes()
    kept = getattr(request.config, "cache", None)  # absent under -p no:cacheprovider
    name = f"standins-{hashlib.sha256(made_by).hexdigest()[:12]}"
    cache = kept.mkdir(name) if kept else shared(tmp_path_factory.getbasetemp()) / name
    return lambda architecture: once(cache / architecture, lambda folder: standins.make(architecture, folder))
