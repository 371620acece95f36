"""The chat template: taken apart, rendered as transformers does, and masked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from chat_templates import (
    ALPACA,
    CHATML,
    END_OF_TURN,
    KNOWN,
    PHI3,
    SPECIAL_TOKENS,
    SPECIALS,
    TEMPLATES,
    conversations,
    say,
    write_tokenizer,
)

from packager.errors import InputError
from packager.prompt import masking
from packager.prompt.deriving import derive_roles
from packager.prompt.masking import BoundaryError, Encoded
from packager.prompt.template import (
    TEMPLATE_FILE,
    ChatTemplate,
    load_template,
    load_tokenizer,
    pin_date,
    special_tokens,
    token_ids,
)


@pytest.mark.parametrize("name", [n for n in KNOWN if n not in ("gemma", "woven")])
def test_parts_make_the_whole(name: str) -> None:
    template = KNOWN[name]
    roles = derive_roles(template, SPECIAL_TOKENS)
    for messages in conversations(roles, padded=not any("strips" in note for note in roles.notes)):
        assert roles.render(messages) == template.render(messages, add_generation_prompt=True)


def test_default_system_message_is_found() -> None:
    roles = derive_roles(KNOWN["smollm2"], SPECIAL_TOKENS)
    assert roles.default_system == "<|im_start|>system\nYou are SmolLM<|im_end|>\n"
    assert roles.prefix["system"] == "<|im_start|>system\n"
    assert roles.end_of_turn == "<|im_end|>"
    assert roles.bos == "", "<|im_start|> opens every turn; that it is also the BOS token makes it no BOS here"


def test_bos_may_be_a_variable_or_spelled_out() -> None:
    spelled_out = ALPACA.replace("{{ bos_token }}", "<s>")
    assert derive_roles(KNOWN["alpaca"], SPECIAL_TOKENS).bos == "<s>"
    assert derive_roles(ChatTemplate(spelled_out, "<s>", "</s>"), SPECIAL_TOKENS).bos == "<s>"


def test_frames_are_split_as_the_author_wrote_them() -> None:
    roles = derive_roles(KNOWN["phi3"], SPECIAL_TOKENS)
    assert roles.suffix == {"system": "<|end|>\n", "user": "<|end|>\n", "assistant": "<|end|>\n"}
    assert roles.prefix == {"system": "<|system|>\n", "user": "<|user|>\n", "assistant": "<|assistant|>\n"}
    roles = derive_roles(KNOWN["alpaca"], SPECIAL_TOKENS)
    assert roles.suffix["assistant"] == roles.end_of_turn == "</s>"
    assert roles.prefix["user"] == "\n\n### Instruction:\nExplain:\n\n### Input:\n"
    assert roles.default_system == "Abaixo há uma instrução. Escreva em pt-BR uma resposta que a atenda."


def test_empty_system_message_may_have_its_own_form() -> None:
    assert derive_roles(KNOWN["skips-empty-system"], SPECIAL_TOKENS).empty_system == ""
    assert derive_roles(KNOWN["phi3"], SPECIAL_TOKENS).empty_system == "<|system|>\n<|end|>\n"


def test_a_template_may_pass_system_messages_over() -> None:
    roles = derive_roles(KNOWN["alpaca-without-system"], SPECIAL_TOKENS)
    assert "system" not in roles.prefix
    assert not roles.refuses_system


@pytest.mark.parametrize("source", ["{% for m in messages %}", "{{ messages[0].content + 1 }}", "{{ 1 / 0 }}"])
def test_broken_templates_are_the_users_errors(source: str) -> None:
    with pytest.raises(InputError, match="chat template fails"):
        ChatTemplate(source, "", "").render(say(("user", "Oi")), add_generation_prompt=True)


def test_date_is_pinned_once_for_every_form() -> None:
    source = "{% if not date_string is defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}"
    source += '{{ date_string }}|{{ strftime_now("%Y-%m-%d") }}'
    pinned = pin_date(ChatTemplate(source, "", ""))
    assert pinned.render([], add_generation_prompt=False) == "26 Jul 2024|2024-07-26"
    assert pin_date(pinned) == pinned
    assert pin_date(KNOWN["phi3"]) == KNOWN["phi3"]


def test_clock_that_cannot_be_pinned_is_refused() -> None:
    template = pin_date(ChatTemplate("{% set f = '%Y' %}{{ strftime_now(f) }}", "", ""))
    with pytest.raises(InputError, match="reads the clock"):
        template.render([], add_generation_prompt=False)


def test_generation_blocks_are_printed_as_they_are() -> None:
    source = CHATML.replace(
        "message['content'] +", "'' }}{% generation %}{{ message['content'] }}{% endgeneration %}{{"
    )
    messages = say(("user", "Oi"), ("assistant", "Olá"))
    for prompt in (False, True):
        assert ChatTemplate(source, "", "").render(messages, add_generation_prompt=prompt) == ChatTemplate(
            CHATML, "", ""
        ).render(messages, add_generation_prompt=prompt)


def test_template_is_read_from_every_form(tmp_path: Path) -> None:
    def write(**config: object) -> None:
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")

    write(eos_token={"content": "</s>"}, bos_token=None, chat_template="A")
    assert load_template(tmp_path) == ChatTemplate("A", "", "</s>")
    write(chat_template=[{"name": "tool_use", "template": "B"}, {"name": "default", "template": "C"}])
    assert load_template(tmp_path).source == "C"
    (tmp_path / TEMPLATE_FILE).write_text("D", encoding="utf-8")
    assert load_template(tmp_path).source == "D"
    assert load_template(tmp_path, "E").source == "E"


def test_model_without_template_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tokenizer_config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match="no chat template"):
        load_template(tmp_path)


def test_limits_in_the_tokenizer_file_are_switched_off(tmp_path: Path) -> None:
    write_tokenizer(tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=64)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    ids = token_ids(load_tokenizer(tmp_path), "a visita domiciliar e a vacinação")
    assert 4 < len(ids) < 64


def test_special_tokens_are_sorted_longest_first(tmp_path: Path) -> None:
    write_tokenizer(tmp_path)
    found = special_tokens(load_tokenizer(tmp_path))
    assert set(found) == set(SPECIALS)
    assert [len(s) for s in found] == sorted(map(len, found), reverse=True)


def test_exactly_the_answers_and_their_ends_are_trained(tmp_path: Path) -> None:
    write_tokenizer(tmp_path)
    tokenizer, template = load_tokenizer(tmp_path), load_template(tmp_path)
    messages = say(
        ("system", "Seja breve."), ("user", "Oi"), ("assistant", "Olá!"), ("user", "E?"), ("assistant", "Sim.")
    )
    encoded = masking.encode(template, tokenizer, END_OF_TURN, messages)
    trained, run = [], []
    for token, counts in zip([*encoded.ids, -1], [*encoded.trained, False], strict=True):
        if counts:
            run.append(token)
        elif run:
            trained.append(tokenizer.decode(run, skip_special_tokens=False))
            run = []
    assert trained == ["Olá!<|im_end|>", "Sim.<|im_end|>"]
    for last in (2, 4):
        prompt = token_ids(tokenizer, template.render(messages[:last], add_generation_prompt=True))
        assert list(encoded.ids[: len(prompt)]) == prompt
        assert not encoded.trained[len(prompt) - 1]
        assert encoded.trained[len(prompt)]


def test_an_answer_of_weight_0_is_in_the_text_and_not_trained(tmp_path: Path) -> None:
    write_tokenizer(tmp_path)
    tokenizer, template = load_tokenizer(tmp_path), load_template(tmp_path)
    turns = say(("user", "Oi"), ("assistant", "Olá!"), ("user", "E?"), ("assistant", "Sim."))
    every = masking.encode(template, tokenizer, END_OF_TURN, turns)
    some = masking.encode(template, tokenizer, END_OF_TURN, [turns[0], {**turns[1], "weight": 0}, *turns[2:]])
    assert some.ids == every.ids, "the weight is no part of the prompt"
    left = [i for i, counts in enumerate(some.trained) if counts]
    assert tokenizer.decode([some.ids[i] for i in left], skip_special_tokens=False) == "Sim.<|im_end|>"


def test_what_follows_the_last_end_of_turn_is_left_out(tmp_path: Path) -> None:
    write_tokenizer(tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    template = ChatTemplate(PHI3.replace("<|end|>", END_OF_TURN), "", "<|endoftext|>")
    encoded = masking.encode(template, tokenizer, END_OF_TURN, say(("user", "Oi"), ("assistant", "Olá")))
    assert tokenizer.id_to_token(encoded.ids[-1]) == END_OF_TURN
    assert encoded.trained[-1]


def test_answers_that_the_template_trims_are_masked_as_it_renders_them(tmp_path: Path) -> None:
    write_tokenizer(tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    template = ChatTemplate(CHATML.replace("message['content']", "message['content'] | trim"), "", "")
    padded = masking.encode(template, tokenizer, END_OF_TURN, say(("user", "Oi"), ("assistant", " Olá\n")))
    assert padded == masking.encode(template, tokenizer, END_OF_TURN, say(("user", "Oi"), ("assistant", "Olá")))


def test_template_that_rewrites_history_cannot_be_masked(tmp_path: Path) -> None:
    write_tokenizer(tmp_path)
    template = ChatTemplate(CHATML.replace("message['content']", "message['content'].split('</think>')[-1]"), "", "")
    messages = say(("user", "Oi"), ("assistant", "<think>hm</think>Olá"))
    with pytest.raises(InputError, match="rewrites earlier turns"):
        masking.encode(template, load_tokenizer(tmp_path), END_OF_TURN, messages)


def test_token_across_prompt_and_answer_is_an_error(tmp_path: Path) -> None:
    write_tokenizer(tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    merged = next(t for t in tokenizer.get_vocab() if t.isalpha() and t.isascii() and len(t) == 2)
    template = ChatTemplate(CHATML.replace("assistant\n", "assistant\n" + merged[0]), "", "")
    source = template.source.replace("'\n' + message['content']", f"'\n{merged[0]}' + message['content']")
    messages = say(("user", "Oi"), ("assistant", merged[1]))
    with pytest.raises(BoundaryError):
        masking.encode(ChatTemplate(source, "", ""), tokenizer, END_OF_TURN, messages)


@pytest.mark.slow
def test_rendering_is_that_of_transformers() -> None:
    from transformers.utils.chat_template_utils import render_jinja_template

    if not TEMPLATES.is_dir():
        pytest.skip(f"no templates at {TEMPLATES}: run `make setup`")
    compared = 0
    for path in sorted(TEMPLATES.glob("*.jinja")):
        template = ChatTemplate(path.read_text(encoding="utf-8"), "<s>", "</s>")
        for prompt in (False, True):
            for messages in (
                say(("user", " Oi ")),
                say(("system", "S"), ("user", "a"), ("assistant", "b"), ("user", "c")),
            ):
                try:
                    ours = template.render(messages, add_generation_prompt=prompt)
                except InputError:
                    continue
                theirs, _ = render_jinja_template(
                    [list(messages)],
                    chat_template=template.source,
                    add_generation_prompt=prompt,
                    bos_token="<s>",
                    eos_token="</s>",
                )
                assert ours == theirs[0], path.name
                compared += 1
    assert compared > 100


def test_the_positions_at_which_targets_are_predicted() -> None:
    row = Encoded.predicting((7, 8, 9, 10), (0, 2))
    assert row == Encoded((7, 8, 9, 10), (False, True, False, True))
    assert row.at == (0, 2)
    assert Encoded((7, 8)).at == ()
    assert Encoded((7, 8), (True, True)).at == (0,)  # nothing predicts the first
