"""The prompt and Modelfile stages: what is proven against a GGUF's own tokenizer, what is written and refused."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from chat_templates import (
    ALPACA,
    CHATML,
    END_OF_TURN,
    GEMMA,
    PHI3,
    REAL,
    SKIPS_EMPTY_SYSTEM,
    SMOLLM2,
    TEMPLATES,
    real,
    write_tokenizer,
)

from packager.artifacts.kinds import Dataset, Modelfile
from packager.errors import InputError
from packager.prompt.corpus import write_corpus
from packager.prompt.frozen import frozen_template
from packager.prompt.ollama.modelfile import parse_modelfile, with_from
from packager.prompt.template import TEMPLATE_FILE, ChatTemplate, pin_date
from packager.recipe.sections import Serve
from packager.stages.modelfile import modelfile
from packager.stages.prompt import proven_prompt

SYSTEM = "Responda em português, com clareza."
VOCABULARIES = TEMPLATES.parent


def rows(system: str | None, answer: str = "É vínculo.") -> list[dict[str, Any]]:
    before = [{"role": "system", "content": system}] if system else []
    return [
        {"messages": [*before, {"role": "user", "content": ask}, {"role": "assistant", "content": answer}]}
        for ask in ("O que é?", "Quem cuida?", "Por quê?")
    ]


def write_rows(path: Path, found: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in found), encoding="utf-8")


def dataset(folder: Path, template: str, system: str | None) -> Dataset:
    """The data stage's folder: rows and template; the tokenizer must be there."""
    (folder / TEMPLATE_FILE).write_text(template, encoding="utf-8")
    write_rows(folder / "train.jsonl", rows(system))
    write_rows(folder / "heldout.jsonl", rows(system, "É cuidado contínuo."))
    return Dataset(
        folder=folder, train_rows=3, heldout_rows=3, train_tokens=0, heldout_tokens=0, topics=0, too_long=0,
        system=system, source_sha256="", data_sha256="", end_of_turn=END_OF_TURN, leaked=0, unterminated=0,
    )  # fmt: skip


def freeze_in(folder: Path) -> str:
    """Put the frozen template in the place of the folder's own, as the data stage does."""
    source = frozen_template(folder).template.source
    (folder / TEMPLATE_FILE).write_text(source, encoding="utf-8")
    return source


def proven(vocabulary: Path, data: Dataset, out: Path) -> Modelfile:
    """The Modelfile, with the checks of the prompts beside its own."""
    prompt = proven_prompt(vocabulary, data)
    made = modelfile(Serve(), data, prompt, out)
    return made.model_copy(update={"checks": (*prompt.checks, *made.checks)})


def write_gguf(path: Path, tokenizer: Path, template: str, *, add_bos: bool) -> None:
    """A GGUF with the vocabulary of `tokenizer` (a tokenizer.json) and no tensors."""
    from gguf import GGUFWriter, TokenType

    parts = json.loads(tokenizer.read_text(encoding="utf-8"))
    tokens = sorted(parts["model"]["vocab"], key=parts["model"]["vocab"].get)
    writer = GGUFWriter(path, "llama")
    writer.add_block_count(1)
    writer.add_context_length(512)
    writer.add_embedding_length(64)
    writer.add_feed_forward_length(64)
    writer.add_head_count(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    special = {token["content"] for token in parts["added_tokens"]}
    writer.add_token_types([TokenType.CONTROL if t in special else TokenType.NORMAL for t in tokens])
    writer.add_token_merges([" ".join(pair) for pair in parts["model"]["merges"]])
    writer.add_bos_token_id(tokens.index("<|im_start|>"))
    writer.add_eos_token_id(tokens.index(END_OF_TURN))
    writer.add_add_bos_token(add_bos)
    writer.add_chat_template(template)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


Make = Callable[..., Modelfile]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Run the stage on a tiny vocabulary; `template` is the data's, `stored` the GGUF's."""

    def run(
        template: str = SMOLLM2, system: str | None = SYSTEM, *, stored: str | None = None, add_bos: bool = False,
        alter: Callable[[Path], None] = lambda folder: None, end: str = END_OF_TURN,
    ) -> Modelfile:  # fmt: skip
        data, out = tmp_path / "data", tmp_path / "out"
        data.mkdir()
        out.mkdir()
        write_tokenizer(data)
        made = dataset(data, template, system).model_copy(update={"end_of_turn": end})
        alter(data)
        frozen = freeze_in(data)
        write_corpus(data, system)
        write_gguf(tmp_path / "m.gguf", data / "tokenizer.json", stored or frozen, add_bos=add_bos)
        return proven(tmp_path / "m.gguf", made, out)

    return run


def verdicts(made: Modelfile) -> dict[str, bool]:
    return {check.id.partition(".")[2]: check.passed for check in made.checks}


def says(made: Modelfile, name: str) -> str:
    return next(check.says for check in made.checks if check.id.partition(".")[2] == name)


ALL = dict.fromkeys(
    ("special_tokens", "end_of_turn", "tokens", "prompt_parity", "one_bos", "generations", "parses", "stops"), True
)


@pytest.mark.parametrize(
    "template", [CHATML, SMOLLM2, PHI3.replace("<|end|>", END_OF_TURN)], ids=["chatml", "default", "phi3"]
)
@pytest.mark.parametrize("system", [SYSTEM, None])
def test_all_is_proven(make: Make, template: str, system: str | None) -> None:
    made = make(template, system)
    assert verdicts(made) == ALL
    assert made.text == (made.folder / "Modelfile").read_bytes().decode("utf-8")
    assert [p.name for p in made.folder.iterdir()] == ["Modelfile"]
    commands = parse_modelfile(with_from(made.text, "tiny-Q8_0.gguf"))
    assert ("model", "./tiny-Q8_0.gguf") in commands
    assert ("template", made.template) in commands
    assert [value for name, value in commands if name == "system"] == ([system] if system else [])
    assert tuple(value for name, value in commands if name == "stop") == made.stops
    assert made.stops[0] == END_OF_TURN


def test_bos_of_the_template_is_left_to_the_tokenizer(make: Make) -> None:
    template = "{{ '<|endoftext|>' }}" + CHATML

    def other_bos(folder: Path) -> None:
        config = {"bos_token": "<|endoftext|>", "eos_token": END_OF_TURN}
        (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")

    made = make(template, alter=other_bos)
    assert made.template.startswith("<|endoftext|>{{ range")
    assert verdicts(made) == ALL | {"special_tokens": False}  # this file's vocabulary names another


def test_second_bos_is_a_failed_check(make: Make) -> None:
    made = make(SMOLLM2, add_bos=True)
    assert verdicts(made) == ALL | {"prompt_parity": False, "one_bos": False}


def test_another_template_in_the_gguf_is_a_failed_check(make: Make) -> None:
    made = make(SMOLLM2, None, stored=CHATML)
    assert verdicts(made) == ALL | {"prompt_parity": False}
    assert "chat template in the GGUF" in says(made, "prompt_parity")


def test_ollama_s_generations_must_agree(make: Make) -> None:
    """A stored template that knows tools wins since Ollama 0.30: here it gives another prompt."""
    made = make(CHATML, None, stored=CHATML.replace("}}", "}}{# tools #}", 1).replace("assistant\n", "assistant"))
    assert verdicts(made) == ALL | {"prompt_parity": False, "generations": False}
    assert "since 0.30 the chat template in the GGUF: another prompt" in says(made, "generations")


def test_held_out_rows_with_another_prompt_are_a_failed_check(make: Make) -> None:
    """The rows were trained without a system message, but the clinic would be served one."""
    made = make(CHATML, SYSTEM, alter=lambda folder: write_rows(folder / "heldout.jsonl", rows(None)))
    assert verdicts(made) == ALL | {"prompt_parity": False}
    assert next(c.measured for c in made.checks if c.id == "modelfile.prompt_parity") == 3


def test_end_of_turn_that_does_not_end_a_generation_is_a_failed_check(make: Make) -> None:
    def renamed(folder: Path) -> None:
        text = (folder / "tokenizer.json").read_text(encoding="utf-8")
        (folder / "tokenizer.json").write_text(text.replace("<|endoftext|>", "<|fim|>"), encoding="utf-8")

    made = make(CHATML.replace(END_OF_TURN, "<|fim|>"), alter=renamed, end="<|fim|>")
    assert verdicts(made) == ALL | {"end_of_turn": False}
    assert "does NOT end" in says(made, "end_of_turn")


@pytest.mark.parametrize("name", ["train.jsonl", "heldout.jsonl"])
@pytest.mark.parametrize("stop", [END_OF_TURN, "<|im_start|>"])
def test_stop_inside_an_answer_is_refused_with_its_line(make: Make, name: str, stop: str) -> None:
    def spoil(folder: Path) -> None:
        write_rows(folder / name, [*rows(SYSTEM), *rows(SYSTEM, f"a {stop} b")])

    with pytest.raises(InputError, match=rf"{name}, line 4: .*{stop.replace('|', '.')}"):
        make(alter=spoil)


def test_stop_inside_a_question_is_no_harm(make: Make) -> None:
    def ask(folder: Path) -> None:
        text = (folder / "train.jsonl").read_text(encoding="utf-8")
        (folder / "train.jsonl").write_text(text.replace("Quem", END_OF_TURN), encoding="utf-8")

    assert verdicts(make(alter=ask)) == ALL


def test_text_that_ollama_would_alter_is_refused(make: Make) -> None:
    with pytest.raises(InputError, match="NO-BREAK SPACE"):
        make(system="Até 5\u00a0mg.")


@pytest.mark.parametrize("system", [SYSTEM, None])
def test_system_message_that_the_template_refuses_opens_the_first_question(make: Make, system: str | None) -> None:
    made = make(GEMMA.replace("<end_of_turn>", END_OF_TURN).replace("{{ bos_token }}", ""), system)
    assert verdicts(made) == ALL
    assert "merged" in says(made, "prompt_parity")


def test_bos_of_the_file_that_training_never_printed_is_printed_by_nobody(make: Make) -> None:
    """Qwen's settings name a BOS for the converter that its tokenizer does not have: the template begins with none."""

    def foreign_bos(folder: Path) -> None:
        config = {"bos_token": "<s>", "eos_token": END_OF_TURN}
        (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")

    made = make(ALPACA, alter=foreign_bos)
    assert verdicts(made) == ALL
    assert "<s>" not in made.template


def patched(vocabulary: str, path: Path, template: str, *, add_bos: bool) -> None:
    """One of llama.cpp's real vocabularies with another template. New pairs go before the old, which are renamed."""
    raw = (VOCABULARIES / f"ggml-vocab-{vocabulary}.gguf").read_bytes()
    text = template.encode()
    values = {
        b"tokenizer.chat_template": struct.pack("<IQ", 8, len(text)) + text,
        b"tokenizer.ggml.add_bos_token": struct.pack("<I?", 7, add_bos),
    }
    for key in values:
        raw = raw.replace(key, key[:-1] + b"_")
    pairs = b"".join(struct.pack("<Q", len(key)) + key + value for key, value in values.items())
    count = struct.unpack_from("<Q", raw, 16)[0] + len(values)
    path.write_bytes(raw[:16] + struct.pack("<Q", count) + pairs + raw[24:])


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The Hugging Face tokenizer of a real vocabulary, as a folder."""
    made: dict[str, Path] = {}

    def tokenizer_of(name: str) -> Path:
        if not VOCABULARIES.is_dir():
            pytest.skip(f"no vocabularies at {VOCABULARIES}: run `make setup`")
        if name not in made:
            from transformers import AutoTokenizer

            made[name] = tmp_path_factory.mktemp(name)
            tokenizer = AutoTokenizer.from_pretrained(VOCABULARIES, gguf_file=f"ggml-vocab-{name}.gguf")
            tokenizer.save_pretrained(made[name])
            if name == "phi-3":  # transformers loses that these tokens swallow the white space after them
                path = made[name] / "tokenizer.json"
                parts = json.loads(path.read_text(encoding="utf-8"))
                for token in parts["added_tokens"]:
                    token["rstrip"] = token["content"].startswith("<|") and token["content"] != "<|endoftext|>"
                path.write_text(json.dumps(parts), encoding="utf-8")
        return made[name]

    return tokenizer_of


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "template", "add_bos"),
    [
        ("qwen2", "Qwen-Qwen2.5-7B-Instruct", False),
        ("qwen2", "HuggingFaceTB-SmolLM3-3B", False),
        ("llama-bpe", "meta-llama-Llama-3.1-8B-Instruct", True),
        ("llama-bpe", "meta-llama-Llama-3.2-3B-Instruct", False),
        ("llama-bpe", ALPACA, True),
        ("phi-3", PHI3, False),
        ("phi-3", "{{ bos_token }}" + PHI3, True),
        ("phi-3", SKIPS_EMPTY_SYSTEM, False),
        ("phi-3", "microsoft-Phi-3.5-mini-instruct", False),
    ],
)
@pytest.mark.parametrize("system", [SYSTEM, None])
def test_served_tokens_are_those_of_training_for_real_vocabularies(
    vocabulary: Callable[[str], Path], tmp_path: Path, name: str, template: str, add_bos: bool, system: str | None
) -> None:
    folder, out = tmp_path / "data", tmp_path / "out"
    shutil.copytree(vocabulary(name), folder)
    out.mkdir()
    source = real(template).source if template in REAL else pin_date(ChatTemplate(template, "", "")).source
    data = dataset(folder, source, system)
    frozen = freeze_in(folder)
    write_corpus(folder, system)
    patched(name, tmp_path / "m.gguf", frozen, add_bos=add_bos)
    made = proven(tmp_path / "m.gguf", data, out)
    assert verdicts(made) == ALL, says(made, "prompt_parity")


@pytest.mark.slow
def test_bos_that_training_lacks_is_a_failed_check(vocabulary: Callable[[str], Path], tmp_path: Path) -> None:
    folder, out = tmp_path / "data", tmp_path / "out"
    shutil.copytree(vocabulary("phi-3"), folder)
    out.mkdir()
    data = dataset(folder, PHI3, None)
    write_corpus(folder, None)
    patched("phi-3", tmp_path / "m.gguf", PHI3, add_bos=True)
    made = proven(tmp_path / "m.gguf", data, out)
    assert verdicts(made) == ALL | {"prompt_parity": False}
    assert "the GGUF puts <s> first, training did not" in says(made, "prompt_parity")
