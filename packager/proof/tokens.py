"""Two tokenizers and texts -> what they make different tokens of: the checkpoint's, and that of a GGUF file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from packager.llamacpp.model import GgufModel
from packager.prompt.template import token_ids

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def splits_differently(model: GgufModel, tokenizer: Tokenizer, texts: Sequence[str]) -> list[str]:
    """What the file's tokenizer and the checkpoint's make different tokens of, one sentence a text."""
    faults = []
    for text in texts:
        trained, served = token_ids(tokenizer, text), model.tokenize(text, add_bos=False)
        if trained != served:
            pairs = zip(trained, served, strict=False)
            at = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(trained), len(served)))
            faults.append(
                f"trained as {tokenizer.decode(trained[at : at + 5], skip_special_tokens=False)!r},"
                f" served as {model.text(served[at : at + 5])!r} (token {at} of {text!r})"
            )
    return faults
