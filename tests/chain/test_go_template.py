"""The derived Go templates, rendered by Go itself, give the text and the tokens of the chat template."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from chat_templates import KNOWN, REAL, SPECIAL_TOKENS, conversations, real, say, write_tokenizer
from engines import Renderer, go_case

from packager.prompt.deriving import derive_roles
from packager.prompt.frozen import freeze
from packager.prompt.ollama.go_template import go_template
from packager.prompt.ollama.simulated import render_go
from packager.prompt.roles import RoleFormat
from packager.prompt.template import ChatTemplate, load_tokenizer, token_ids

SYSTEM = "Responda em português, com clareza."


@pytest.mark.parametrize("add_bos", [True, False])
@pytest.mark.parametrize("name", [*KNOWN, *REAL])
def test_go_renders_the_training_prompt(go: Renderer, tmp_path: Path, name: str, add_bos: bool) -> None:
    base: ChatTemplate = KNOWN[name] if name in KNOWN else real(name)
    roles = derive_roles(base, SPECIAL_TOKENS if name in KNOWN else REAL[name][2])
    template = ChatTemplate(freeze(roles), "", "")
    written = go_template(roles, add_bos=add_bos)
    write_tokenizer(tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    corpus = conversations(roles)
    prompts = go.run([go_case(written, messages) for messages in corpus])
    for messages, prompt in zip(corpus, prompts, strict=True):
        trained = template.render(messages, add_generation_prompt=True)
        served = (roles.bos if add_bos else "") + prompt
        assert served == trained
        assert token_ids(tokenizer, served) == token_ids(tokenizer, trained)
        assert prompt == render_go(written, messages)


@pytest.mark.parametrize("name", ["phi3", "smollm2", "skips-empty-system", "alpaca"])
def test_go_and_python_prepare_messages_alike(go: Renderer, name: str) -> None:
    roles = derive_roles(KNOWN[name], SPECIAL_TOKENS)
    written = go_template(roles, add_bos=True)
    corpus = [
        *conversations(roles),
        say(("user", "a"), ("user", "b"), ("assistant", "c"), ("assistant", "d"), ("user", "e")),
        say(("system", "S"), ("system", "T"), ("user", "a")),
        say(("user", "a"), ("system", "T"), ("user", "b")),
        say(("assistant", "Bom dia"), ("user", "a")),
        say(("system", ""), ("user", "")),
    ]
    for system in ("", SYSTEM):
        prompts = go.run([go_case(written, messages, system) for messages in corpus])
        assert prompts == [render_go(written, messages, system) for messages in corpus]


def test_go_prints_braces_in_frames_as_text(go: Renderer) -> None:
    plain = derive_roles(KNOWN["alpaca"], SPECIAL_TOKENS)
    cases, wanted = [], []
    for text in ("{{ x }}", "{", "{{{", "a {{", "}}", "{{/* c */}}", "{{- ", " -}}", '{{ "', "`{{", "\\{{"):
        roles: RoleFormat = replace(
            plain,
            default_system=text,
            prefix={"system": text, "user": text + "U", "assistant": text},
            suffix={"system": text, "user": text, "assistant": text + "</s>"},
            generation_prompt=text,
            empty_system="",
        )
        written = go_template(roles, add_bos=False)
        for messages in conversations(roles):
            cases.append(go_case(written, messages))
            wanted.append(roles.render(messages))
    assert go.run(cases) == wanted
