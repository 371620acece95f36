"""The tokenizer inside a GGUF file, before anything is unpacked from it.

`tokenizer_in` -> what `tokenizers.Tokenizer` gives of it: ids, the id of a token, the special tokens. Raises
`ProofFailed` if llama.cpp cannot load the vocabulary.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from packager.llamacpp.model import GgufModel
from packager.prompt.template import ChatTemplate

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@dataclass(frozen=True)
class Ids:
    """The tokens of a text."""

    ids: list[int]


@dataclass(frozen=True)
class SpecialToken:
    content: str
    special: bool = True


class GgufTokenizer:
    """A vocabulary of llama.cpp's under the names of the `tokenizers` library, as far as prompts need them."""

    def __init__(self, model: GgufModel) -> None:
        self._model = model
        self._special = model.control_tokens

    def encode(self, text: str, add_special_tokens: bool = False) -> Ids:
        return Ids(self._model.tokenize(text, add_bos=add_special_tokens))

    def token_to_id(self, token: str) -> int | None:
        ids = self._model.tokenize(token, add_bos=False)
        return ids[0] if len(ids) == 1 else None

    def get_added_tokens_decoder(self) -> dict[int, SpecialToken]:
        return {number: SpecialToken(text) for number, text in self._special.items()}

    def decode(self, ids: list[int], skip_special_tokens: bool = False) -> str:
        return self._model.text(ids)


@contextlib.contextmanager
def tokenizer_in(path: Path) -> Iterator[tuple[ChatTemplate, Tokenizer]]:
    """The chat template and the tokenizer of a GGUF file, for the duration of the block."""
    with GgufModel.open(path, vocab_only=True) as model:
        template = ChatTemplate(model.chat_template, model.bos_token, model.eos_token)
        yield template, cast("Tokenizer", GgufTokenizer(model))
