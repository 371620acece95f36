"""A model folder -> its Jinja chat template and its tokenizer.

Templates are compiled and called as transformers does, so that both render the same text. A
template that is missing, broken, or reads the clock ends in `InputError`.
"""

from __future__ import annotations

import datetime
import functools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packager.errors import InputError

if TYPE_CHECKING:
    from jinja2 import Template
    from tokenizers import Tokenizer

Message = Mapping[str, Any]
"""{"role": "system" | "user" | "assistant", "content": text}; an answer that is not trained has "weight": 0 too."""

_DAY = datetime.date(2024, 7, 26)
PINNED_DATE = _DAY.strftime("%d %b %Y")
"""The date for templates that print one: Llama 3.1's own default, the same in training and serving."""
TEMPLATE_FILE = "chat_template.jinja"
OF_A_PROCESSOR = "chat_template.json"
"""Where models of pictures and text have it that were published before `chat_template.jinja`."""
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "tokenizer.model",
    "vocab.json",
    "merges.txt",
    TEMPLATE_FILE,
)
"""What may belong to a tokenizer; never code."""
_SET_DATE = f'{{%- set date_string = "{PINNED_DATE}" -%}}\n'
_CLOCK = re.compile(r"""strftime_now\(\s*(?P<quote>['"])(?P<form>[^'"\\]*)(?P=quote)\s*\)""")


@dataclass(frozen=True)
class ChatTemplate:
    """A Jinja chat template and the special tokens it may print."""

    source: str
    bos_token: str
    eos_token: str
    settings: tuple[tuple[str, Any], ...] = ()
    """Further variables that it is rendered with, such as ("enable_thinking", False)."""

    def render(self, messages: Sequence[Message], *, add_generation_prompt: bool) -> str:
        """The conversation as text; with a generation prompt, ready for the model to answer.

        Raises `InputError` if the template is broken or refuses the conversation.
        """
        import jinja2

        try:
            text: str = _compiled(self.source).render(
                {"tools": None, "documents": None} | dict(self.settings),
                messages=[{name: value for name, value in m.items() if name != "weight"} for m in messages],
                bos_token=self.bos_token,
                eos_token=self.eos_token,
                add_generation_prompt=add_generation_prompt,
            )
        except jinja2.UndefinedError as error:
            raise InputError(
                f"The chat template fails: {error.message}, and only the model's own server would give it.",
                "give a simpler template in data.template",
            ) from error
        except (jinja2.TemplateError, TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
            raise InputError(
                f"The chat template fails: {error}.", "mend it, or give another in data.template"
            ) from error
        return text


def load_template(folder: Path, given: str | None = None) -> ChatTemplate:
    """The chat template of a model folder, or the one `given` with that folder's special tokens.

    Raises `InputError` if there is none.
    """
    config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    aside = folder / TEMPLATE_FILE
    own = aside.read_text(encoding="utf-8") if aside.is_file() else config.get("chat_template")
    if own is None and (folder / OF_A_PROCESSOR).is_file():
        own = json.loads((folder / OF_A_PROCESSOR).read_text(encoding="utf-8")).get("chat_template")
    source = own if given is None else given
    if isinstance(source, list):  # several named templates: the Hub's older form
        source = next((t["template"] for t in source if t["name"] == "default"), None)
    if not source:
        raise InputError(
            f"The base model {folder.name} has no chat template.",
            "use an instruct model, or give one in data.template",
        )
    return ChatTemplate(source, _token(config.get("bos_token")), _token(config.get("eos_token")))


def pin_date(template: ChatTemplate) -> ChatTemplate:
    """The template with its date fixed, if it would take one from the clock. Pinning twice is harmless.

    The date goes into the source itself, because the GGUF carries the source to the clinic.
    """
    source = _CLOCK.sub(lambda call: f'"{_DAY.strftime(call["form"])}"', template.source)
    if "date_string" in source and not source.startswith(_SET_DATE):
        source = _SET_DATE + source
    return replace(template, source=source)


def load_tokenizer(folder: Path) -> Tokenizer:
    """The fast tokenizer of a model folder, without importing transformers. Others have it too: do not alter it."""
    path = folder / "tokenizer.json"
    return _opened(path, path.stat().st_mtime_ns if path.is_file() else 0)


@functools.lru_cache(maxsize=2)
def _opened(path: Path, changed: int) -> Tokenizer:
    """Opened once for each version of the file: one of 150,000 tokens takes half a second."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(path))
    # Some models ship their tokenizer with a length limit or padding switched on.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def special_tokens(tokenizer: Tokenizer) -> tuple[str, ...]:
    """The tokenizer's special tokens, longest first."""
    added = tokenizer.get_added_tokens_decoder().values()
    return tuple(sorted((t.content for t in added if t.special), key=len, reverse=True))


def token_ids(tokenizer: Tokenizer, text: str) -> list[int]:
    """Token ids of rendered text: special tokens in it are recognized, none are added."""
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    return ids


def _token(value: Any) -> str:
    return value["content"] if isinstance(value, dict) else (value or "")


@functools.lru_cache(maxsize=32)
def _compiled(source: str) -> Template:
    """Compile as transformers does: sandboxed, block-trimmed, with `{% generation %}` and loop controls."""
    import jinja2
    from jinja2 import nodes
    from jinja2.ext import Extension
    from jinja2.parser import Parser
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """`{% generation %}` marks the answer for training frameworks and prints its body as it is."""

        tags = {"generation"}  # noqa: RUF012  (the type that jinja declares)

        def parse(self, parser: Parser) -> nodes.Node:
            line = next(parser.stream).lineno
            return nodes.Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True)).set_lineno(line)

    def fail(message: str) -> None:
        raise jinja2.TemplateError(message)

    def no_clock(form: str) -> str:
        raise InputError("The chat template reads the clock.", "pin its date in data.template")

    def to_json(value: Any, ensure_ascii: bool = False, **options: Any) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, **options)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, "jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = to_json
    environment.globals |= {"raise_exception": fail, "strftime_now": no_clock}
    return environment.from_string(source)
