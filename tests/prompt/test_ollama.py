"""Ollama's formats: the Modelfile reads back as it was meant, the Go template renders the training prompt."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from chat_templates import KNOWN, REAL, SPECIAL_TOKENS, conversations, real, say

from packager.errors import InputError
from packager.prompt.deriving import derive_roles
from packager.prompt.frozen import freeze
from packager.prompt.ollama.go_template import go_template, limits, stops
from packager.prompt.ollama.modelfile import (
    ModelfileCommand,
    commands_of,
    kv_note,
    parse_modelfile,
    with_from,
    with_parts,
    write_modelfile,
)
from packager.prompt.ollama.simulated import render_go
from packager.prompt.roles import RoleFormat
from packager.prompt.template import ChatTemplate
from packager.recipe.loading import ROOT
from packager.recipe.sections import Serve

TEMPLATE = "{{ range .Messages }}<|{{ .Role }}|>\n{{ .Content }}<|end|>\n{{ end }}<|assistant|>\n"
GOLDEN = '''FROM ./model.gguf
REQUIRES 0.17.1
TEMPLATE """{{ range .Messages }}<|{{ .Role }}|>
{{ .Content }}<|end|>
{{ end }}<|assistant|>
"""
SYSTEM """Responda em português.

Cite "fontes"."""
PARAMETER num_ctx 2048
PARAMETER num_predict 160
PARAMETER temperature 0.5
PARAMETER top_k 50
PARAMETER top_p 0.5
PARAMETER min_p 0.0
PARAMETER repeat_penalty 1.1
PARAMETER repeat_last_n -1
PARAMETER stop "<|end|>"
PARAMETER stop "<|user|>"
'''
SERVE = Serve(
    context=2048, max_answer_tokens=160, temperature=0.5, top_k=50, top_p=0.5, repeat_penalty=1.1, repeat_last_n=-1
)
DEPRECATED = ("mirostat", "penalize_newline", "low_vram", "f16_kv", "logits_all", "vocab_only", "use_mlock")


def roles_of(name: str) -> RoleFormat:
    return derive_roles(KNOWN[name], SPECIAL_TOKENS)


def written(**changed: str) -> tuple[ModelfileCommand, ...]:
    """Commands with other values."""
    commands = commands_of(TEMPLATE, "Oi", SERVE, ("<|end|>",))
    return tuple(ModelfileCommand(name, changed.get(name, value)) for name, value in commands)


def values(text: str, name: str) -> list[str]:
    return [c.value for c in parse_modelfile(text) if c.name == name]


class TestGoTemplate:
    def test_one_frame_for_all_roles(self) -> None:
        assert go_template(roles_of("phi3"), add_bos=True) == TEMPLATE

    def test_default_system_message_stands_in_for_a_missing_one(self) -> None:
        assert go_template(roles_of("smollm2"), add_bos=True) == (
            '{{ if ne (index .Messages 0).Role "system" }}<|im_start|>system\nYou are SmolLM<|im_end|>\n{{ end }}'
            "{{ range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant\n"
        )

    def test_a_branch_per_role_where_frames_differ(self) -> None:
        assert go_template(roles_of("gemma"), add_bos=True) == (
            '{{ range $i, $_ := .Messages }}{{ if eq .Role "system" }}{{ if .Content }}<start_of_turn>user\n'
            "{{ .Content }}\n\n{{ else }}<start_of_turn>user\n{{ end }}"
            '{{ else if eq .Role "user" }}{{ if or (ne $i 1) (ne (index $.Messages 0).Role "system") }}'
            "<start_of_turn>user\n{{ end }}{{ .Content }}<end_of_turn>\n"
            '{{ else if eq .Role "assistant" }}<start_of_turn>model\n{{ .Content }}<end_of_turn>\n'
            "{{ end }}{{ end }}<start_of_turn>model\n"
        )

    def test_empty_system_message_may_be_left_out(self) -> None:
        template = go_template(roles_of("skips-empty-system"), add_bos=True)
        assert '{{ if eq .Role "system" }}{{ if .Content }}<|system|>\n{{ .Content }}<|end|>\n{{ end }}' in template

    def test_bos_is_printed_only_if_the_tokenizer_does_not_add_it(self) -> None:
        with_bos = go_template(roles_of("alpaca"), add_bos=False)
        assert with_bos == "<s>" + go_template(roles_of("alpaca"), add_bos=True)

    @pytest.mark.parametrize("name", KNOWN)
    @pytest.mark.parametrize("add_bos", [True, False])
    def test_prompt_is_that_of_the_chat_template(self, name: str, add_bos: bool) -> None:
        same_prompts(roles_of(name), add_bos=add_bos)

    @pytest.mark.parametrize("name", REAL)
    def test_prompt_is_that_of_a_real_chat_template(self, name: str) -> None:
        same_prompts(derive_roles(real(name), REAL[name][2]), add_bos=True)

    @pytest.mark.parametrize("path", sorted((ROOT / "recipes").rglob("*.jinja")), ids=lambda p: p.stem)
    def test_prompt_is_that_of_a_shipped_chat_template(self, path: Path) -> None:
        template = ChatTemplate(path.read_text(encoding="utf-8"), "<s>", "</s>")
        same_prompts(derive_roles(template, SPECIAL_TOKENS), add_bos=True)

    @pytest.mark.parametrize("text", ["{{ x }}", "{", "{{{", "a {{", "}}", "{{/* c */}}", "{%"])
    def test_braces_in_frames_are_text(self, text: str) -> None:
        roles = replace(
            roles_of("alpaca"),
            default_system=text,
            prefix={"system": text, "user": text + "U", "assistant": text},
            suffix={"system": text, "user": text, "assistant": text + "</s>"},
            generation_prompt=text,
            empty_system=text + text,
        )
        template = go_template(roles, add_bos=False)
        for messages in conversations(roles):
            assert render_go(template, messages) == roles.render(messages)


def same_prompts(roles: RoleFormat, *, add_bos: bool) -> None:
    template = ChatTemplate(freeze(roles), "", "")
    go = go_template(roles, add_bos=add_bos)
    for messages in conversations(roles):
        prompt = render_go(go, messages)
        assert (roles.bos if add_bos else "") + prompt == template.render(messages, add_generation_prompt=True)


class TestRendering:
    def test_system_goes_before_a_conversation_without_one(self) -> None:
        assert render_go(TEMPLATE, say(("user", "a")), "S") == (
            "<|system|>\nS<|end|>\n<|user|>\na<|end|>\n<|assistant|>\n"
        )

    @pytest.mark.parametrize("content", ["T", ""])
    def test_system_message_of_the_conversation_wins(self, content: str) -> None:
        prompt = render_go(TEMPLATE, say(("system", content), ("user", "a")), "S")
        assert prompt.startswith(f"<|system|>\n{content}<|end|>")

    def test_consecutive_turns_of_one_role_are_merged(self) -> None:
        messages = say(("user", "a"), ("user", "b"), ("assistant", "c"))
        assert render_go("{{ range .Messages }}[{{ .Content }}]{{ end }}", messages) == "[a\n\nb][c]"

    @pytest.mark.parametrize(
        "template",
        [
            "{{- range .Messages }}{{ end }}",
            "{{ .System }}",
            "{{ range .Messages }}",
            "{{ end }}",
            "{{ if .Tools }}{{ end }}",
            "{{.Content}}",
            "{{ range .Messages }}{{ else }}{{ end }}",
        ],
    )
    def test_what_it_does_not_understand_is_an_error(self, template: str) -> None:
        with pytest.raises(ValueError, match=r"understood|closes|block"):
            render_go(template, say(("user", "a")))


class TestStopsAndLimits:
    def test_stops_are_the_end_of_turn_and_what_opens_a_turn(self) -> None:
        assert stops(roles_of("phi3"), SPECIAL_TOKENS) == (
            "<|end|>",
            "<|system|>",
            "<|user|>",
            "<|assistant|>",
        )
        assert stops(roles_of("smollm2"), SPECIAL_TOKENS) == ("<|im_end|>", "<|im_start|>")
        assert stops(roles_of("alpaca"), SPECIAL_TOKENS) == ("</s>",)

    def test_limits_are_told(self) -> None:
        assert limits(roles_of("phi3")) == limits(roles_of("gemma")) != ()
        refusing = replace(roles_of("phi3"), refuses_system=True)
        assert "system message is left out" in " ".join(limits(refusing))


class TestWriting:
    def test_golden(self) -> None:
        commands = commands_of(TEMPLATE, 'Responda em português.\n\nCite "fontes".', SERVE, ("<|end|>", "<|user|>"))
        assert write_modelfile(commands) == GOLDEN
        assert parse_modelfile(GOLDEN) == commands

    def test_whole_numbers_have_no_point_and_deprecated_parameters_are_not_written(self) -> None:
        text = write_modelfile(commands_of(TEMPLATE, None, Serve(temperature=1, repeat_penalty=1), ()))
        for name in ("num_ctx", "num_predict", "top_k", "repeat_last_n"):
            assert re.search(rf"^PARAMETER {name} -?\d+$", text, re.MULTILINE)
        assert not any(name in text for name in DEPRECATED)
        assert "SYSTEM" not in text

    @pytest.mark.parametrize("character", ["\u00a0", "\u200b", "\u200d", "\u00ad", "\ufeff", "\r", "\x00", "\u2028"])
    @pytest.mark.parametrize("name", ["system", "template", "stop"])
    def test_characters_that_ollama_drops_are_refused(self, name: str, character: str) -> None:
        with pytest.raises(InputError, match=f"U\\+{ord(character):04X}"):
            write_modelfile(written(**{name: f"a{character}b"}))

    @pytest.mark.parametrize("text", ['a """\nb', 'a"""  \nb', '"""\nb', 'a\n"""\n', 'um """código"""\nfim'])
    def test_three_quotes_at_the_end_of_a_line_are_refused(self, text: str) -> None:
        with pytest.raises(InputError, match="system message has quotes"):
            write_modelfile(written(system=text))

    @pytest.mark.parametrize(
        "text", ['"', '""', '"""', 'diga "sim"', " a ", "\n\na\n", '"""a""" b', "# a", "FROM x", "\ttab", "a\nFROM b\n"]
    )
    def test_text_that_survives_is_written(self, text: str) -> None:
        assert values(write_modelfile(written(system=text, template=text)), "system") == [text]

    @pytest.mark.parametrize("stop", ['""x', 'x"\ny'])
    def test_stop_strings_that_quotes_would_break_are_refused(self, stop: str) -> None:
        with pytest.raises(InputError, match="stop string has quotes"):
            write_modelfile(written(stop=stop))

    def test_from_alone_changes_for_a_packaged_file(self) -> None:
        text = write_modelfile(written(system="a\nFROM ./model.gguf\nb"))
        packaged = with_from(text, "phi3_aps-Q4_K_M.gguf", licence="MIT")
        assert packaged == text.replace("FROM ./model.gguf", "FROM ./phi3_aps-Q4_K_M.gguf", 1) + 'LICENSE """MIT"""\n'

    def test_weights_in_parts_have_a_line_each_and_need_an_ollama_that_joins_them(self) -> None:
        whole = with_from(write_modelfile(written(system="a\nFROM ./model.gguf")), "x.gguf", licence="MIT")
        parts = ["x-00001-of-00002.gguf", "x-00002-of-00002.gguf"]
        expected = whole.replace("FROM ./x.gguf\n", "".join(f"FROM ./{name}\n" for name in parts), 1)
        assert with_parts(whole, parts) == expected.replace("REQUIRES 0.17.1", "REQUIRES 0.30.0", 1)

    @pytest.mark.parametrize("name", ["a b.gguf", "../x.gguf", "x.bin", "x.gguf\nSYSTEM y", "-x.gguf", ""])
    def test_file_names_that_could_mean_something_else_are_refused(self, name: str) -> None:
        with pytest.raises(InputError, match="cannot stand in a Modelfile"):
            with_from(GOLDEN, name)


class TestParsing:
    """Cases whose outcome is that of Ollama's own parser."""

    @pytest.mark.parametrize(
        ("line", "value"),
        [
            ("SYSTEM a b ", "a b"),
            ('SYSTEM "a\nb"', "a\nb"),
            ('system """a\n"b"\n"""', 'a\n"b"\n'),
            ('SYSTEM """a"""\nSYSTEM """"""', ""),
            ('SYSTEM """a\r\nb"""', "a\r\nb"),
            ("  SYSTEM\ta", "a"),
            ('SYSTEM "a" # b\nc"', 'a" # b\nc'),
            ("\u200bSYSTEM a\u00a0b", "ab"),
            ("# SYSTEM b\nSYSTEM a", "a"),
        ],
    )
    def test_values(self, line: str, value: str) -> None:
        assert values(f"FROM x\n{line}\n", "system")[-1] == value

    def test_parameters_and_messages(self) -> None:
        text = 'FROM x\nPARAMETER stop "a"\nPARAMETER stop b\nMESSAGE user oi\nPARAMETER num_ctx 4096'
        assert parse_modelfile(text)[1:] == (
            ("stop", "a"),
            ("stop", "b"),
            ("message", "user: oi"),
            ("num_ctx", "4096"),
        )

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "SYSTEM a",
            "FROM",
            "FROM\n",
            'FROM x\nSYSTEM """a',
            'FROM x\nSYSTEM "a\n',
            "FROM x\nNUM_CTX 1",
            "FROM x\nTEMPLATES a",
            "FROM x\nMESSAGE tool a",
            "FROM x\nPARAMETER top-k 1",
            "FROM x\na # comment",
        ],
    )
    def test_what_ollama_cannot_read_is_an_error(self, text: str) -> None:
        with pytest.raises(ValueError, match=r"FROM|word|command|role|quotes"):
            parse_modelfile(text)


def test_the_type_of_keys_and_values_is_noted_where_ollama_reads_nothing() -> None:
    assert kv_note("f16") == ""
    assert parse_modelfile(GOLDEN + kv_note("q8_0")) == parse_modelfile(GOLDEN)
    assert "OLLAMA_KV_CACHE_TYPE=q8_0" in kv_note("q8_0")
