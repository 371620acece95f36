"""The frozen template: what it keeps of a base's own, what it tells of the rest, which bases it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from chat_templates import (
    ALPACA,
    CHATML,
    KNOWN,
    LLAMA_SPECIALS,
    REAL,
    REFUSED,
    SPECIAL_TOKENS,
    TEMPLATES,
    VENDORED,
    conversations,
    real,
    say,
    vendored,
    write_tokenizer,
)

from packager.errors import InputError
from packager.prompt import masking
from packager.prompt.deriving import derive_roles
from packager.prompt.frozen import SIGNALS, freeze, frozen_template
from packager.prompt.ollama.go_template import OWN, STORED, go_template, limits, preferred
from packager.prompt.roles import RoleFormat
from packager.prompt.template import PINNED_DATE, TEMPLATE_FILE, ChatTemplate, load_tokenizer
from packager.prompt.thinking import NO_TOOLS, quiet

ACCEPTED = [name for name in VENDORED if name not in REFUSED]
QUESTION = say(("user", "Oi"))


def roles_of(name: str) -> RoleFormat:
    if name in KNOWN:
        return derive_roles(KNOWN[name], SPECIAL_TOKENS)
    return derive_roles(*vendored(name))


def noted(roles: RoleFormat, *words: str) -> bool:
    return any(all(word in note for word in words) for note in roles.notes)


def test_most_of_the_vendored_templates_are_accepted() -> None:
    if not TEMPLATES.is_dir():
        pytest.skip(f"no templates at {TEMPLATES}: run `make setup`")
    assert len(VENDORED) == 70
    assert len(ACCEPTED) == 65


@pytest.mark.parametrize("name", [name for name in VENDORED if name in REFUSED])
def test_the_others_are_refused_in_words(name: str) -> None:
    with pytest.raises(InputError, match=REFUSED[name]):
        roles_of(name)


@pytest.mark.parametrize("name", [*KNOWN, *ACCEPTED])
def test_single_questions_are_those_of_the_bases_own_template(name: str) -> None:
    """With thinking off, with and without a system message; what the frame adds to it is told."""
    roles = roles_of(name)
    own = quiet(KNOWN[name] if name in KNOWN else vendored(name)[0], QUESTION)
    questions = [say(("user", text)) for text in ("Oi", "Duas\nlinhas, ção 👶", "{{ x }}")]
    if not noted(roles, "refuses a system message"):
        questions += [say(("system", text), *[("user", "a")]) for text in ("Seja claro.", "Duas\nlinhas")]
    for messages in questions:
        rendered, wanted = roles.render(messages), own.render(messages, add_generation_prompt=True)
        assert rendered.startswith(wanted)
        assert rendered == wanted or noted(roles, repr(rendered.removeprefix(wanted)))


@pytest.mark.parametrize("name", [*KNOWN, *ACCEPTED])
def test_whole_conversations_are_those_of_the_bases_own_unless_it_is_told(name: str) -> None:
    roles = roles_of(name)
    own = quiet(KNOWN[name] if name in KNOWN else vendored(name)[0], QUESTION)
    told = noted(roles, "past turns") or noted(roles, "refuses a system message")
    for messages in conversations(roles, padded=not noted(roles, "strips")):
        try:
            wanted = own.render(messages, add_generation_prompt=True)
        except InputError:
            assert noted(roles, "refuses a system message")
            continue
        assert told or roles.render(messages).startswith(wanted)


@pytest.mark.parametrize("name", [*KNOWN, *ACCEPTED])
def test_a_frozen_template_is_its_own(name: str) -> None:
    """Taken apart again it gives the same prompts, with nothing to tell, and the same masks."""
    roles = roles_of(name)
    frozen = ChatTemplate(freeze(roles), "<s>", "</s>")
    specials = SPECIAL_TOKENS if name in KNOWN else vendored(name)[1]
    again = derive_roles(frozen, specials)
    assert not again.notes
    assert freeze(again) == frozen.source or all(again.render(m) == roles.render(m) for m in conversations(roles))
    assert again.end_of_turn == roles.end_of_turn


@pytest.mark.parametrize("name", [*KNOWN, *ACCEPTED])
def test_no_runner_takes_it_for_more_than_it_is(name: str) -> None:
    roles = roles_of(name)
    frozen = freeze(roles)
    assert not [signal for signal in SIGNALS if signal in frozen]
    assert preferred(go_template(roles, add_bos=False), frozen) == "TEMPLATE"
    for setting in ("enable_thinking", "strftime_now", "date_string", "bos_token", "eos_token", "documents"):
        assert setting not in frozen


@pytest.mark.parametrize("name", KNOWN)
def test_a_message_without_content_says_nothing(name: str) -> None:
    """As clients send it beside a tool call; llama.cpp's engine prints nothing for it either."""
    frozen = ChatTemplate(freeze(roles_of(name)), "", "")
    nothing, empty = ([{"role": "user", "content": content}] for content in (None, ""))
    assert frozen.render(nothing, add_generation_prompt=True) == frozen.render(empty, add_generation_prompt=True)


def test_ollama_prefers_a_stored_template_that_knows_more() -> None:
    plain = go_template(roles_of("phi3"), add_bos=True)
    for stored in (
        "{% if tools %}x{% endif %}",
        "{{ tool_call }}",
        "<think>\n\n</think>",
        "{{ m.content.split('</think>')[-1] }}",
    ):
        assert preferred(plain, stored) == STORED
    assert preferred(plain, "{{ m.content.split('</think>')[-1] }}{{ m.reasoning_content }}") == "TEMPLATE"
    assert preferred(plain + "{{ .Tools }}", "{% if tools %}x{% endif %}") == "TEMPLATE"
    assert preferred(plain, plain, "nemotron_h_moe") == OWN, "Ollama sets RENDERER for it"
    assert preferred(plain, plain, "gemma3") == "TEMPLATE"
    told = " ".join(limits(roles_of("phi3"), STORED))
    assert "not merged" in told
    assert "left open" in told


def test_qwens_empty_thought_is_in_front_of_every_answer() -> None:
    if not TEMPLATES.is_dir():
        pytest.skip(f"no templates at {TEMPLATES}: run `make setup`")
    roles = roles_of("Qwen-Qwen3-0.6B")
    assert roles.prefix["assistant"] == roles.generation_prompt == "<|im_start|>assistant\n<think>\n\n</think>\n\n"
    assert noted(roles, "enable_thinking=False")
    assert noted(roles, "past turns", "the frame of the present holds for all turns")


def test_a_thought_that_cannot_be_switched_off_is_closed() -> None:
    source = CHATML.replace("{{ '<|im_start|>assistant\n' }}", "{{ '<|im_start|>assistant\n<think>\n' }}")
    roles = derive_roles(ChatTemplate(source, "", ""), SPECIAL_TOKENS)
    assert roles.generation_prompt == "<|im_start|>assistant\n<think>\n\n</think>\n\n"
    assert noted(roles, "nothing switches off")


@pytest.mark.parametrize("name", ["gemma", "woven"])
def test_a_system_message_may_open_the_first_user_turn(name: str) -> None:
    roles = roles_of(name)
    assert roles.joined
    opening = roles.prefix["user"]
    for turns in (QUESTION, say(("user", "Oi"), ("assistant", "Olá"), ("user", "E?"))):
        joined = roles.render([*say(("system", "Seja breve.")), *turns])
        assert joined == roles.render(turns).replace(opening, f"{opening}Seja breve.\n\n", 1)
    assert noted(roles, "refuses a system message") is (name == "gemma")
    assert noted(roles, "past turns") is (name == "woven")


def test_white_space_that_the_base_strips_is_kept() -> None:
    assert noted(roles_of("gemma"), "white space", "assistant, user")
    assert not roles_of("phi3").notes
    assert " Oi " in ChatTemplate(freeze(roles_of("gemma")), "", "").render(
        say(("user", " Oi ")), add_generation_prompt=True
    )


def test_llamas_date_is_pinned_in_the_frames() -> None:
    roles = derive_roles(real("meta-llama-Llama-3.2-3B-Instruct"), LLAMA_SPECIALS)
    assert roles.bos == "<|begin_of_text|>"
    assert f"Today Date: {PINNED_DATE}\n\n" in roles.prefix["system"]
    assert roles.default_system == roles.prefix["system"] + "<|eot_id|>"
    assert "system, user" in " ".join(roles.notes)


def test_tools_are_given_to_a_template_that_cannot_do_without() -> None:
    source = "{% for t in tools %}{{ t }}{% endfor %}" + CHATML
    template = ChatTemplate(source, "", "")
    assert NO_TOOLS[0] in quiet(template, QUESTION).settings
    assert noted(derive_roles(template, SPECIAL_TOKENS), "one for tools")


@pytest.mark.parametrize(
    ("source", "why"),
    [
        (CHATML.replace("<|im_end|>", "."), "no special token ends an answer"),
        (CHATML.replace("message['content']", "message['content'] | upper"), "leaves out or rewrites"),
        (CHATML.replace("{% for", "{% set messages = messages[-1:] %}{% for"), "leaves out or rewrites"),
        (CHATML.replace("{{ '<|im_start|>assistant\n' }}", "{{ '<|im_start|>assistant\nLet me see:' }}"), "Let me see"),
        (CHATML.replace("{{ '<|im_start|>assistant\n' }}", "{{ '<|im_start|>assistant' }}").replace(
            "+ '\n' + message", "+ ' ' + message"), "a blank before an answer|first user turn|add up"),
        (CHATML.replace("message['role'] +", "('human' if loop.first else message['role']) +"),
         "first user turn looks different"),
        ("{{ functions.x }}" + CHATML, "only the model's own server"),
    ],
)  # fmt: skip
def test_inexpressible_templates_are_refused_with_the_reason(source: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        derive_roles(ChatTemplate(source, "", "<|endoftext|>"), SPECIAL_TOKENS)


@pytest.mark.parametrize(
    "text",
    [
        "{{ x }}",
        "{",
        "{{{",
        "}}",
        "{# c #}",
        "{% x",
        "\\",
        "\\n",
        "'",
        '"',
        "\t\r\n",
        "\n\n",
        " ",
        "é👶\u2028",
        "tools",
    ],
)
def test_frames_of_any_text_are_printed_as_they_are(text: str) -> None:
    roles = RoleFormat(
        bos=text,
        default_system=f"{text}D",
        prefix={"system": f"{text}S", "user": f"{text}U", "assistant": text},
        suffix={"system": text, "user": text, "assistant": f"{text}</s>{text}"},
        generation_prompt=text,
        end_of_turn="</s>",
        empty_system=text + text,
    )
    template = ChatTemplate(freeze(roles), "", "")
    for messages in conversations(roles):
        assert template.render(messages, add_generation_prompt=True) == roles.render(messages)


def test_a_bos_that_the_tokenizer_does_not_have_is_printed_by_nothing(tmp_path: Path) -> None:
    write_tokenizer(tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({**config, "bos_token": "<s>"}))
    alpaca = ALPACA.replace("eos_token", "'<|im_end|>'")
    frozen = frozen_template(tmp_path, alpaca)
    assert frozen.roles.bos == ""
    assert "<s>" not in frozen.template.render(QUESTION, add_generation_prompt=True)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    assert frozen_template(tmp_path, alpaca).roles.bos == "<|im_start|>"


def test_the_bases_template_and_its_hash_are_kept(tmp_path: Path) -> None:
    write_tokenizer(tmp_path)
    frozen = frozen_template(tmp_path)
    assert frozen.base == (tmp_path / TEMPLATE_FILE).read_text() == CHATML
    assert len(frozen.base_sha256) == 64
    assert frozen.template.source != CHATML


def test_text_before_the_end_of_turn_is_trained(tmp_path: Path) -> None:
    """Apriel and Nemotron close an answer with a line end and a token: the model must learn both."""
    write_tokenizer(tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    source = CHATML.replace("+ '<|im_end|>' +", "+ '\n<|im_end|>' +")
    messages = say(("user", "Oi"), ("assistant", "Olá"), ("user", "E?"), ("assistant", "Sim."))
    encoded = masking.encode(ChatTemplate(source, "", ""), tokenizer, "<|im_end|>", messages)
    trained = tokenizer.decode(
        [i for i, t in zip(encoded.ids, encoded.trained, strict=True) if t], skip_special_tokens=False
    )
    assert trained == "Olá\n<|im_end|>Sim.\n<|im_end|>"


@pytest.mark.parametrize("name", REAL)
def test_real_families_with_their_real_special_tokens(name: str) -> None:
    roles = derive_roles(real(name), REAL[name][2])
    assert roles.end_of_turn in ("<|im_end|>", "<|end|>", "<|eot_id|>")
