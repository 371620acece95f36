"""A base's chat template -> the frozen one that training, GGUF, Modelfile and clinic share.

The template is rendered from the role format: fixed frames, the default system block written out, no
branch for tools or thinking, no clock, no variable but the messages. So no runner can take another
branch than training did. Fails with `InputError` as `deriving` does.
"""

from __future__ import annotations

import hashlib
import itertools
import re
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from packager.artifacts.files import write_atomically
from packager.prompt.deriving import derive_roles
from packager.prompt.roles import ROLES, OneFrame, RoleFormat, one_frame
from packager.prompt.template import (
    TEMPLATE_FILE,
    TOKENIZER_FILES,
    ChatTemplate,
    load_template,
    load_tokenizer,
    pin_date,
    special_tokens,
)

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SIGNALS = ("<SPECIAL_12>", "<|channel|>", "<|role_sep|>", "<|open|>", "tool_call", "</think>", "<think>", "tools")
"""What runners look for in a template's text, to treat it as one that knows tools or thinking: Ollama
(capabilities of the stored template) and llama.cpp (common/chat.cpp, special handlers). In a frozen
template they are written in two pieces, because it knows neither."""
NOTICE = (
    "{# The frames that this model was trained with, the same in every runner. A template that only looks like this one"
    " makes prompts that it has never seen: use this one, or TEMPLATE of the Modelfile that comes with it. #}"
)
"""It also keeps Ollama, where no Modelfile is used, from taking a template of its own for this one: it does so within
an edit distance of 100 (its template/template.go), and Phi-4-mini's frames lie within that of ChatML's."""
CONTENT = "{{ message['content'] or '' }}"
"""A message that says nothing may come as null: jinja2 would print None, and llama.cpp's engine nothing."""
_SIGNAL = re.compile("|".join(map(re.escape, SIGNALS)))
_ESCAPES = {"\\": "\\\\", "'": "\\'", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


@dataclass(frozen=True)
class Frozen:
    """The template that everything is rendered with, and what it was made from."""

    template: ChatTemplate
    roles: RoleFormat
    base: str
    """The text of the template that it stands for: the base's own, or the recipe's `data.template`."""

    @property
    def base_sha256(self) -> str:
        return hashlib.sha256(self.base.encode()).hexdigest()


def frozen_template(folder: Path, given: str | None = None) -> Frozen:
    """The frozen template for a model folder: of its own template, or of the one `given`.

    A BOS token that its settings name but its tokenizer does not have is printed by nothing. Raises
    `InputError` if there is no template, or none that is a fixed frame per role.
    """
    return freeze_template(load_template(folder, given), load_tokenizer(folder))


def freeze_template(base: ChatTemplate, tokenizer: Tokenizer) -> Frozen:
    """The same of a template and tokenizer that are at hand."""
    if base.bos_token and tokenizer.token_to_id(base.bos_token) is None:
        base = replace(base, bos_token="")
    roles = derive_roles(pin_date(base), special_tokens(tokenizer))
    return Frozen(replace(base, source=freeze(roles)), roles, base.source)


def write_frozen(frozen: Frozen, model: Path, out: Path) -> None:
    """Put the frozen template, and the tokenizer of the folder `model`, into the folder `out`."""
    for name in TOKENIZER_FILES:
        if (model / name).is_file():
            shutil.copyfile(model / name, out / name)
    write_atomically(out / TEMPLATE_FILE, frozen.template.source)


def freeze(roles: RoleFormat) -> str:
    """The Jinja template that renders what `roles` renders, in jinja2 and in llama.cpp's own engine.

    Text stands in string literals only: Jinja would take line ends beside its tags away.
    """
    default = _print(roles.default_system)
    if default and "system" in roles.prefix:
        default = f"{{% if not messages or messages[0]['role'] != 'system' %}}{default}{{% endif %}}"
    frame = one_frame(roles)
    turns = _one(frame) if frame else _branches(roles)
    prompt = _print(roles.generation_prompt)
    return f"{NOTICE}{_print(roles.bos)}{default}{{% for message in messages %}}{turns}{{% endfor %}}" + (
        f"{{% if add_generation_prompt %}}{prompt}{{% endif %}}" if prompt else ""
    )


def _one(frame: OneFrame) -> str:
    return f"{_print(frame.before)}{{{{ message['role'] }}}}{_print(frame.between)}{CONTENT}{_print(frame.after)}"


def _branches(roles: RoleFormat) -> str:
    branches = []
    for role in filter(roles.prefix.__contains__, ROLES):
        prefix, suffix = roles.prefix[role], roles.suffix[role]
        opening = _print(prefix)
        if roles.joined and role == "user" and opening:
            opening = f"{{% if loop.index0 != 1 or messages[0]['role'] != 'system' %}}{opening}{{% endif %}}"
        block = f"{opening}{CONTENT}{_print(suffix)}"
        if role == "system" and roles.empty_system != prefix + suffix:
            block = f"{{% if message['content'] %}}{block}{{% else %}}{_print(roles.empty_system)}{{% endif %}}"
        branches.append(f"if message['role'] == '{role}' %}}{block}")
    return "{% " + "{% el".join(branches) + "{% endif %}"


def _print(text: str) -> str:
    """The tags that print a text, with a cut inside every signal."""
    cuts = [0, *(found.start() + 3 for found in _SIGNAL.finditer(text)), len(text)]
    pieces = (text[start:end] for start, end in itertools.pairwise(cuts))
    return "".join(f"{{{{ '{_escaped(piece)}' }}}}" for piece in pieces if piece)


def _escaped(text: str) -> str:
    return "".join(_ESCAPES.get(character, character) for character in text)
