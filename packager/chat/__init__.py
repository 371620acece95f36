"""The chat template: the one source of truth for every prompt.

`template` renders conversations as transformers does, and turns text into token ids. `roles` takes
a template apart into a frame per role, which the Ollama template is derived from. `masking` finds
the tokens that are trained. Nothing here knows a model by name.
"""

from __future__ import annotations

from packager.chat.masking import BoundaryError, Encoded, encode
from packager.chat.roles import RoleFormat, derive_roles
from packager.chat.template import (
    PINNED_DATE,
    TEMPLATE_FILE,
    ChatTemplate,
    Message,
    load_template,
    load_tokenizer,
    pin_date,
    special_tokens,
    token_ids,
)

__all__ = [
    "PINNED_DATE",
    "TEMPLATE_FILE",
    "BoundaryError",
    "ChatTemplate",
    "Encoded",
    "Message",
    "RoleFormat",
    "derive_roles",
    "encode",
    "load_template",
    "load_tokenizer",
    "pin_date",
    "special_tokens",
    "token_ids",
]
