"""A base, before it is built on -> its prompt: the frozen chat template, and the tokenizer.

From the files of a checkpoint (a folder, or what the Hub's cache holds of one) or from inside a GGUF file. Raises
`InputError` for a template that cannot be used, `ProofFailed` for a vocabulary that llama.cpp cannot load.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from packager.checkpoint.wheel import kept_file
from packager.data.audit.beforehand import Prompt
from packager.llamacpp.tokenizer import tokenizer_in
from packager.prompt.frozen import freeze_template
from packager.prompt.template import load_template, load_tokenizer
from packager.recipe.loading import expanded
from packager.recipe.sections import Base


@contextlib.contextmanager
def prompt_of(base: Path, given: str | None) -> Iterator[Prompt]:
    """The prompt of a base (a folder or a GGUF file) with its own template, or the one `given`; valid inside the
    block."""
    if base.is_dir():
        tokenizer = load_tokenizer(base)
        yield Prompt(freeze_template(load_template(base, given), tokenizer), tokenizer)
        return
    with tokenizer_in(base) as (own, tokenizer):
        template = own if given is None else replace(own, source=given)
        yield Prompt(freeze_template(template, tokenizer), tokenizer)


@contextlib.contextmanager
def prompt_at_hand(base: Base, given: str | None) -> Iterator[Prompt | None]:
    """The prompt of the base that a recipe names; None where it would have to be fetched first."""
    path = at_hand(base)
    if path is None:
        yield None
        return
    with prompt_of(path, given) as prompt:
        yield prompt


def at_hand(base: Base) -> Path | None:
    """The folder or GGUF file of a base that is on this machine; None for one that has to be fetched."""
    if base.model.startswith("pypi:"):
        return kept_file(base)
    if base.model.startswith("hf:"):
        from packager.hub.reading import cached_small

        folder = cached_small(base.model[3:], base.revision)
    else:
        folder = expanded(base.model)
    if folder is not None and folder.is_dir() and not (folder / "tokenizer.json").is_file():
        return None
    return folder if folder is not None and folder.exists() else None
