"""Every frozen template of the 70 that llama.cpp ships renders alike in jinja2, in Go and in llama.cpp's own engine."""

from __future__ import annotations

import pytest
from chat_templates import KNOWN, REFUSED, SPECIAL_TOKENS, VENDORED, conversations, say, vendored
from engines import Renderer, go_case, jinja_case

from packager.prompt.deriving import derive_roles
from packager.prompt.frozen import freeze
from packager.prompt.ollama.go_template import go_template
from packager.prompt.roles import RoleFormat
from packager.prompt.template import ChatTemplate, Message

ACCEPTED = [name for name in VENDORED if name not in REFUSED]


def roles_of(name: str) -> RoleFormat:
    template, specials = (KNOWN[name], SPECIAL_TOKENS) if name in KNOWN else vendored(name)
    return derive_roles(template, specials)


def corpus(roles: RoleFormat) -> list[list[Message]]:
    found = [*conversations(roles), say(("assistant", "Bom dia"), ("user", "a"))]
    if not roles.refuses_system:
        found.append(say(("user", "a"), ("system", "T"), ("user", "b")))
    return found


@pytest.mark.parametrize("name", [*KNOWN, *ACCEPTED])
def test_jinja2_renders_the_frames(name: str) -> None:
    roles = roles_of(name)
    template = ChatTemplate(freeze(roles), "", "")
    for messages in corpus(roles):
        for prompt in (True, False):
            rendered = template.render(messages, add_generation_prompt=prompt)
            assert rendered == roles.render(messages, add_generation_prompt=prompt)


def test_go_renders_the_frames(go: Renderer) -> None:
    cases, wanted = [], []
    for name in (*KNOWN, *ACCEPTED):
        roles = roles_of(name)
        for add_bos in (True, False):
            written = go_template(roles, add_bos=add_bos)
            cases += [go_case(written, messages) for messages in corpus(roles)]
            wanted += [roles.render(m).removeprefix(roles.bos if add_bos else "") for m in corpus(roles)]
    assert go.run(cases) == wanted


def test_llama_cpp_renders_the_frames(llama_jinja: Renderer) -> None:
    cases, wanted = [], []
    for name in (*KNOWN, *ACCEPTED):
        roles = roles_of(name)
        frozen = freeze(roles)
        for messages in corpus(roles):
            for prompt in (True, False):
                cases.append(jinja_case(frozen, messages, add_generation_prompt=prompt))
                wanted.append(roles.render(messages, add_generation_prompt=prompt))
    found = llama_jinja.run(cases)
    assert [one.get("prompt", one) for one in found] == wanted
    for one in found:
        assert one["knows"]["supports_string_content"]
        assert not any(value for name, value in one["knows"].items() if "tool" in name or "reasoning" in name), one


def test_the_bases_own_templates_take_another_branch_in_llama_cpp(llama_jinja: Renderer) -> None:
    """What freezing is for: the server switches thinking on, and training did not."""
    if "Qwen-Qwen3-0.6B" not in VENDORED:
        pytest.skip("vendor/llama.cpp is not fetched: make setup")
    roles, own = roles_of("Qwen-Qwen3-0.6B"), vendored("Qwen-Qwen3-0.6B")[0]
    question = say(("user", "Oi"))
    served, frozen = llama_jinja.run([jinja_case(own.source, question), jinja_case(freeze(roles), question)])
    assert served["prompt"] != roles.render(question)
    assert frozen["prompt"] == roles.render(question)
