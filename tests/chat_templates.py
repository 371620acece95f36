"""Chat templates that the tests share: of our own in the manner of known models, and llama.cpp's real ones."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from packager.errors import InputError
from packager.prompt.roles import RoleFormat
from packager.prompt.template import TEMPLATE_FILE, ChatTemplate, Message, pin_date
from packager.recipe.loading import ROOT

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
TEMPLATES = ROOT / "vendor" / "llama.cpp" / "models" / "templates"
SMOLLM2 = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are SmolLM<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
PHI3 = (
    "{% for message in messages %}{% if message['role'] == 'system' %}"
    "{{'<|system|>\n' + message['content'] + '<|end|>\n'}}{% elif message['role'] == 'user' %}"
    "{{'<|user|>\n' + message['content'] + '<|end|>\n'}}{% elif message['role'] == 'assistant' %}"
    "{{'<|assistant|>\n' + message['content'] + '<|end|>\n'}}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"
)
ALPACA = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}{{ messages[0].content }}{% else %}"
    "Abaixo há uma instrução. Escreva em pt-BR uma resposta que a atenda.{% endif %}"
    "{% for m in messages %}{% if m.role == 'user' %}"
    "{{ '\n\n### Instruction:\nExplain:\n\n### Input:\n' + m.content }}{% elif m.role == 'assistant' %}"
    "{{ '\n\n### Response:\n' + m.content + eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '\n\n### Response:\n' }}{% endif %}"
)
ALPACA_WITHOUT_SYSTEM = (
    "{{ bos_token + 'Preamble.\n\n' }}{% for m in messages %}{% if m.role == 'user' %}"
    "{{ '### Instruction:\n' + m.content + '\n\n' }}{% elif m.role == 'assistant' %}"
    "{{ '### Response:\n' + m.content + eos_token }}{% if not loop.last %}{{ '\n\n' }}{% endif %}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '### Response:\n' }}{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    "{% for m in messages %}{% set role = 'model' if m.role == 'assistant' else m.role %}"
    "{{ '<start_of_turn>' + role + '\n' + m.content | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
WOVEN = (
    "{{ bos_token }}{% set system = messages[0].content if messages[0].role == 'system' else '' %}"
    "{% for m in messages %}{% if m.role == 'user' %}"
    "{{ '[INST] ' + (system + '\n\n' if loop.last and system else '') + m.content + ' [/INST]' }}"
    "{% elif m.role == 'assistant' %}{{ m.content + eos_token }}{% endif %}{% endfor %}"
)
SKIPS_EMPTY_SYSTEM = PHI3.replace("== 'system' %}", "== 'system' and message['content'] %}")
SPECIAL_TOKENS = ("<start_of_turn>", "<|endoftext|>", "<|assistant|>", "<end_of_turn>", "<|im_start|>", "<|im_end|>",
                  "<|system|>", "<|user|>", "<|end|>", "</s>", "<s>")  # fmt: skip
LLAMA_SPECIALS = ("<|start_header_id|>", "<|begin_of_text|>", "<|end_header_id|>", "<|eot_id|>")

KNOWN = {
    "smollm2": ChatTemplate(SMOLLM2, "<|im_start|>", "<|im_end|>"),
    "chatml": ChatTemplate(CHATML, "<|im_start|>", "<|im_end|>"),
    "phi3": ChatTemplate(PHI3, "<s>", "<|endoftext|>"),
    "skips-empty-system": ChatTemplate(SKIPS_EMPTY_SYSTEM, "<s>", "<|endoftext|>"),
    "alpaca": ChatTemplate(ALPACA, "<s>", "</s>"),
    "alpaca-without-system": ChatTemplate(ALPACA_WITHOUT_SYSTEM, "<s>", "</s>"),
    "gemma": ChatTemplate(GEMMA, "<s>", "</s>"),
    "woven": ChatTemplate(WOVEN, "<s>", "</s>"),
}
REAL = {
    "Qwen-Qwen2.5-7B-Instruct": ("", "<|im_end|>", SPECIAL_TOKENS),
    "microsoft-Phi-3.5-mini-instruct": ("<s>", "<|endoftext|>", SPECIAL_TOKENS),
    "meta-llama-Llama-3.1-8B-Instruct": ("<|begin_of_text|>", "<|eot_id|>", LLAMA_SPECIALS),
    "meta-llama-Llama-3.2-3B-Instruct": ("<|begin_of_text|>", "<|eot_id|>", LLAMA_SPECIALS),
    "HuggingFaceTB-SmolLM3-3B": ("", "<|im_end|>", SPECIAL_TOKENS),
}


def say(*turns: tuple[str, str]) -> list[Message]:
    return [{"role": role, "content": content} for role, content in turns]


def conversations(roles: RoleFormat, *, padded: bool = True) -> list[list[Message]]:
    """Every kind of conversation; `padded`: with white space at the ends, which some bases' own templates strip."""
    contents = ["Oi", "Duas\nlinhas, ção, 👶, e\u0301", "O que é <|im_end|>?", "{{ x }}"]
    contents += ["  Oi  ", "\n\nOi\n"] if padded else []
    found = []
    for content in contents:
        turns = [("user", content), ("assistant", content), ("user", "E?"), ("assistant", "Sim."), ("user", content)]
        found += [say(*turns[:1]), say(*turns[:3]), say(*turns)]
        if not roles.refuses_system:
            found += [say(("system", content), *turns[:1]), say(("system", content), *turns)]
    if not roles.refuses_system:
        found.append(say(("system", ""), ("user", "Oi")))
    return found


def real(name: str) -> ChatTemplate:
    if not TEMPLATES.is_dir():
        pytest.skip(f"no templates at {TEMPLATES}: run `make setup`")
    source = (TEMPLATES / f"{name}.jinja").read_text(encoding="utf-8")
    return pin_date(ChatTemplate(source, *REAL[name][:2]))


REFUSED = {
    "Apriel-1.6-15b-Thinker-fixed": "'Here are my reasoning steps:.n' before every answer",
    "CohereForAI-c4ai-command-r-plus-tool_use": "before every answer, and nothing switches that off",
    "Reka-Edge": "a blank before an answer",
    "fireworks-ai-llama-3-firefunction-v2": "'functions' is undefined",
    "llama-cpp-rwkv-world": "no special token ends an answer",
}
"""The vendored templates that no frozen one stands for, and why."""
VENDORED = sorted(path.stem for path in TEMPLATES.glob("*.jinja"))
_TOKEN = re.compile(r"<[|｜/]?[\w▁｜:\-\. ]+[|｜]?>|\[/?[A-Z_]+\]|<\|[^>\s]+?\|>|</s>|<s>|<[\w]+\|>|\[e~\[|〈\|EOS\|〉")


def vendored(name: str) -> tuple[ChatTemplate, tuple[str, ...]]:
    """One of llama.cpp's templates, its date pinned, and what looks like a special token in it or in what it
    renders, longest first: the tokenizers themselves are not there."""
    source = (TEMPLATES / f"{name}.jinja").read_text(encoding="utf-8")
    eos = "<|END_OF_TURN_TOKEN|>" if name.startswith("Cohere") else "</s>"
    template = pin_date(ChatTemplate(source, "<s>", eos))
    try:
        rendered = template.render(say(("user", "a"), ("assistant", "b"), ("user", "c")), add_generation_prompt=True)
    except InputError:
        rendered = ""
    found = {token for token in _TOKEN.findall(source + rendered) if "think" not in token.lower()}
    return template, tuple(sorted({*found, "<s>", "</s>"}, key=lambda token: (-len(token), token)))


END_OF_TURN = "<|im_end|>"
SPECIALS = ("<|endoftext|>", "<|im_start|>", END_OF_TURN)


def write_tokenizer(folder: Path) -> None:
    """tokenizer.json (byte-level BPE that splits as llama.cpp's "smollm" does) and tokenizer_config.json."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=list(SPECIALS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    lines = ["A equipe de saúde cuida da família no território.", "O que é o vínculo? É cuidado contínuo.", "Olá, sim."]
    tokenizer.train_from_iterator(lines * 3, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"bos_token": "<|im_start|>", "eos_token": END_OF_TURN}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / TEMPLATE_FILE).write_text(CHATML, encoding="utf-8")
