"""The chat template: the one source of truth for every prompt.

`template` renders conversations as transformers does, and turns text into token ids. `roles` takes
a template apart into a frame per role, which the Ollama template is derived from. `masking` finds
the tokens that are trained. `corpus` makes the conversations that every stage is proven on. Nothing
here knows a model by name.
"""

from __future__ import annotations

from packager.chat.corpus import (
    CORPUS,
    RARE_NUMERALS,
    Conversation,
    Sample,
    answer_samples,
    conversations,
    corpus_samples,
    has_rare_numerals,
    joins_accents,
    read_conversations,
    without_rare_numerals,
    write_corpus,
)
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
    "CORPUS",
    "PINNED_DATE",
    "RARE_NUMERALS",
    "TEMPLATE_FILE",
    "BoundaryError",
    "ChatTemplate",
    "Conversation",
    "Encoded",
    "Message",
    "RoleFormat",
    "Sample",
    "answer_samples",
    "conversations",
    "corpus_samples",
    "derive_roles",
    "encode",
    "has_rare_numerals",
    "joins_accents",
    "load_template",
    "load_tokenizer",
    "pin_date",
    "read_conversations",
    "special_tokens",
    "token_ids",
    "without_rare_numerals",
    "write_corpus",
]
