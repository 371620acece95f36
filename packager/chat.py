"""The chat template: the one source of truth for every prompt.

A model folder's Jinja template -> rendered conversations, token ids with their loss mask, and the
role format that the Ollama template is derived from. Nothing here knows a model by name: the role
format is found by rendering sentinel messages and is checked against the Jinja before it is used.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packager.errors import InputError

if TYPE_CHECKING:
    from jinja2 import Template
    from tokenizers import Tokenizer

Message = Mapping[str, str]
"""{"role": "system" | "user" | "assistant", "content": text}"""

PINNED_DATE = "26 Jul 2024"
"""The date for templates that print one: Llama 3.1's own default, the same in training and serving."""
TEMPLATE_FILE = "chat_template.jinja"


class BoundaryError(ValueError):
    """The tokenizer merges the last character of the prompt with the first of the answer."""


@dataclass(frozen=True)
class ChatTemplate:
    """A Jinja chat template and the special tokens it may print."""

    source: str
    bos_token: str
    eos_token: str

    def render(self, messages: Sequence[Message], *, add_generation_prompt: bool) -> str:
        """The conversation as text; with a generation prompt, ready for the model to answer."""
        text: str = _compiled(self.source).render(
            messages=[dict(m) for m in messages],
            bos_token=self.bos_token,
            eos_token=self.eos_token,
            add_generation_prompt=add_generation_prompt,
        )
        return text


@dataclass(frozen=True)
class RoleFormat:
    """A template taken apart: what stands before and after each role's content.

    A conversation is `bos`, then the default system block if it has no system message of its own,
    then prefix + content + suffix of every message, then `generation_prompt`.
    """

    bos: str
    default_system: str
    """The whole block that stands for a missing system message ('' if there is none)."""
    prefix: Mapping[str, str]
    suffix: Mapping[str, str]
    generation_prompt: str
    end_of_turn: str
    """The special token that ends an answer."""

    def render(self, messages: Sequence[Message]) -> str:
        """The same text as the template with a generation prompt."""
        head = "" if messages and messages[0]["role"] == "system" else self.default_system
        body = "".join(self.prefix[m["role"]] + m["content"] + self.suffix[m["role"]] for m in messages)
        return self.bos + head + body + self.generation_prompt


@dataclass(frozen=True)
class Encoded:
    """A conversation as tokens. `trained[i]` says whether token i is a target of the loss."""

    ids: tuple[int, ...]
    trained: tuple[bool, ...]


def load_template(folder: Path) -> ChatTemplate:
    """The chat template of a model folder; raises `InputError` if it has none."""
    config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    aside = folder / TEMPLATE_FILE
    source = aside.read_text(encoding="utf-8") if aside.is_file() else config.get("chat_template")
    if isinstance(source, list):  # several named templates: the Hub's older form
        source = next((t["template"] for t in source if t["name"] == "default"), None)
    if not source:
        raise InputError(
            f"The base model {folder.name} has no chat template.",
            "use an instruct model, or give one in data.template",
        )
    return ChatTemplate(source, _token(config.get("bos_token")), _token(config.get("eos_token")))


def pin_date(template: ChatTemplate) -> ChatTemplate:
    """The template with its date fixed, if it would take one from the clock."""
    if "strftime_now" not in template.source and "date_string" not in template.source:
        return template
    pinned = f'{{%- set date_string = "{PINNED_DATE}" -%}}\n{template.source}'
    return ChatTemplate(pinned, template.bos_token, template.eos_token)


def load_tokenizer(folder: Path) -> Tokenizer:
    """The fast tokenizer of a model folder, without importing transformers."""
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def special_tokens(tokenizer: Tokenizer) -> tuple[str, ...]:
    """The tokenizer's special tokens, longest first."""
    added = tokenizer.get_added_tokens_decoder().values()
    return tuple(sorted((t.content for t in added if t.special), key=len, reverse=True))


def token_ids(tokenizer: Tokenizer, text: str) -> list[int]:
    """Token ids of rendered text: special tokens in it are recognized, none are added."""
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    return ids


def encode(
    template: ChatTemplate, tokenizer: Tokenizer, end_of_turn: str, messages: Sequence[Message]
) -> Encoded:
    """The tokens of a conversation that ends in an answer, and which of them are trained.

    Trained are the tokens of every assistant turn and the end-of-turn token after each. The ids up
    to an answer are exactly those of the prompt that is served.

    Raises `InputError` if the template rewrites history (earlier turns render differently once
    later ones follow, so no mask could mark them), `BoundaryError` if a token straddles prompt and
    answer.
    """
    full = template.render(messages, add_generation_prompt=False)
    spans: list[tuple[int, int]] = []
    end = 0
    for index, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        prompt = template.render(messages[:index], add_generation_prompt=True)
        answer = prompt + message["content"] + end_of_turn
        if not full.startswith(answer):
            raise InputError(
                "The chat template rewrites earlier turns, so the loss cannot follow them.",
                "use single-turn data, or a simpler template in data.template",
            )
        spans.append((len(token_ids(tokenizer, prompt)), len(token_ids(tokenizer, answer))))
        end = len(answer)
        _same_start(tokenizer, prompt, full[:end])
    ids = token_ids(tokenizer, full[:end])
    trained = [any(start <= i < stop for start, stop in spans) for i in range(len(ids))]
    return Encoded(tuple(ids), tuple(trained))


def derive_roles(template: ChatTemplate, specials: Sequence[str]) -> RoleFormat:
    """Take a template apart by rendering sentinels, and prove that the parts make the whole.

    Raises `InputError` for a template that is not a fixed prefix and suffix per role.
    """
    user, answer, again, system = "@@ask-0@@", "@@say-0@@", "@@ask-1@@", "@@sys-0@@"
    turns = [_m("user", user), _m("assistant", answer), _m("user", again)]
    plain = template.render(turns, add_generation_prompt=True)
    head, between, after, last = _cut(plain, user, answer, again)
    if last != between:
        raise _inexpressible("an answer follows another prefix in the past than in the present")
    bos = template.bos_token if template.bos_token and head.startswith(template.bos_token) else ""
    user_suffix, generation_prompt = _split(between, specials)
    answer_suffix, user_prefix = _split(after, specials)
    end_of_turn = next((s for s in specials if answer_suffix.startswith(s)), "")
    if not end_of_turn:
        raise _inexpressible("no special token ends an answer, so the model could not learn to stop")
    if not head.endswith(user_prefix):
        raise _inexpressible("the first user turn looks different from the later ones")
    default_system = head[len(bos) : len(head) - len(user_prefix)]
    prefix = {"user": user_prefix, "assistant": generation_prompt}
    suffix = {"user": user_suffix, "assistant": answer_suffix}
    with_system = template.render([_m("system", system), *turns], add_generation_prompt=True)
    if system in with_system:
        before, rest, *_ = _cut(with_system, system, user)
        prefix["system"] = before[len(bos) :]
        suffix["system"] = rest[: len(rest) - len(user_prefix)]
    roles = RoleFormat(bos, default_system, prefix, suffix, generation_prompt, end_of_turn)
    for conversation in (turns[:1], turns, [_m("system", system), *turns]):
        if conversation[0]["role"] == "system" and "system" not in prefix:
            continue
        if roles.render(conversation) != template.render(conversation, add_generation_prompt=True):
            raise _inexpressible("its parts do not add up to the whole")
    return roles


def _m(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def _cut(text: str, *marks: str) -> list[str]:
    parts = []
    for mark in marks:
        part, found, text = text.partition(mark)
        if not found:
            raise _inexpressible("it leaves out or rewrites what a message says")
        parts.append(part)
    return [*parts, text]


def _split(between: str, specials: Sequence[str]) -> tuple[str, str]:
    """Split the text between two contents into the first's suffix and the second's prefix.

    The suffix is a leading special token with the white space after it. In alternating turns any
    split renders the same; this one reads as the template's author wrote it.
    """
    token = next((s for s in specials if between.startswith(s)), "")
    end = len(token)
    while token and end < len(between) and between[end].isspace():
        end += 1
    return between[:end], between[end:]


def _inexpressible(why: str) -> InputError:
    return InputError(
        f"The chat template cannot be expressed as a fixed frame per role: {why}.",
        "give a simpler template in data.template",
    )


def _same_start(tokenizer: Tokenizer, start: str, text: str) -> None:
    ids = token_ids(tokenizer, start)
    if token_ids(tokenizer, text)[: len(ids)] != ids:
        raise BoundaryError("a token straddles the end of the prompt and the start of the answer")


def _token(value: Any) -> str:
    return value["content"] if isinstance(value, dict) else (value or "")


@functools.lru_cache(maxsize=8)
def _compiled(source: str) -> Template:
    """Compile as transformers does (sandboxed, block-trimmed), so that both render the same."""
    import jinja2
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def fail(message: str) -> None:
        raise jinja2.TemplateError(message)

    def no_clock(form: str) -> str:
        raise InputError("The chat template reads the clock.", "pin its date in data.template")

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = lambda value, **kw: json.dumps(value, ensure_ascii=False, **kw)
    environment.globals |= {"raise_exception": fail, "strftime_now": no_clock}
    return environment.from_string(source)
