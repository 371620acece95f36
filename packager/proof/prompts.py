"""A GGUF file's vocabulary, and a template with its tokenizer -> that conversations become training's tokens.

How the file's own tokenizer splits text, its special tokens, and the prompts that Ollama makes: all of it depends on
tokenizer and template alone, so it is proven before anything is trained, on a file without weights. What differs is
a failed check.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from packager.artifacts.checks import Check, verdict
from packager.llamacpp.model import GgufModel
from packager.prompt.corpus import Conversation
from packager.prompt.deriving import derive_roles
from packager.prompt.ollama.composed import compose
from packager.prompt.ollama.go_template import preferred
from packager.prompt.template import ChatTemplate, load_template, load_tokenizer, special_tokens
from packager.proof.prompt_parity import limits, prompt_checks, served_conversations
from packager.proof.tokens import splits_differently
from packager.recipe.sections import Serve

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@dataclass(frozen=True)
class Prompts:
    """What was proven, and Ollama's side of it."""

    checks: tuple[Check, ...]
    template: str
    """Ollama's TEMPLATE."""
    stops: tuple[str, ...]
    limits: tuple[str, ...]
    """Where Ollama renders another prompt than training, in words to follow "where"."""


def prove_prompts(vocabulary: Path, folder: Path, conversations: Sequence[Conversation], system: str | None) -> Prompts:
    """The file `vocabulary` against tokenizer and frozen template in `folder`, on `conversations`; `system` is the
    message that the Modelfile will hold. Raises `InputError` for what Ollama's template cannot express."""
    tokenizer, template = load_tokenizer(folder), load_template(folder)
    specials = special_tokens(tokenizer)
    roles = derive_roles(template, specials)
    with GgufModel.open(vocabulary, vocab_only=True) as gguf:
        ollama = compose(Serve(), roles, specials, system, add_bos=gguf.adds_bos)
        checks = _token_checks(gguf, template, tokenizer, conversations, roles.end_of_turn)
        taken = preferred(ollama.template, template.source, gguf.architecture)
        served = list(served_conversations(conversations, system))
        checks += prompt_checks(served, template, tokenizer, gguf, ollama.template, system, roles)
    apart = limits(roles, tokenizer, taken)
    return Prompts(tuple(checks), ollama.template, ollama.stops, tuple(apart))


def _token_checks(
    gguf: GgufModel, template: ChatTemplate, tokenizer: Tokenizer, conversations: Sequence[Conversation], end: str
) -> list[Check]:
    """The file's tokenizer against training's: special tokens, and token ids."""
    texts = [template.render(m, add_generation_prompt=m[-1]["role"] == "user") for m in conversations]
    ends = tokenizer.token_to_id(end) in gguf.eog_tokens
    pairs = [(template.bos_token, gguf.bos_token), (template.eos_token, gguf.eos_token)]
    known = tokenizer.get_vocab(with_added_tokens=True)  # a base's settings may name a token it does not have
    faults = [f"{ours!r} is {theirs!r}" for ours, theirs in pairs if ours in known and ours != theirs]
    unlike = splits_differently(gguf, tokenizer, texts)
    first = f" First: {unlike[0]}." if unlike else ""
    return [
        verdict("convert.special_tokens", len(faults), 0, "tokens", not faults,
              f"Not as in training: {', '.join(faults)}." if faults else "BOS and EOS are those of training."),
        verdict("convert.end_of_turn", int(ends), 1, "tokens", ends,
              f"{end} {'ends' if ends else 'does NOT end'} a generation with this file."),
        verdict("convert.tokens", len(unlike), 0, "texts", not unlike,
              f"{len(texts) - len(unlike)} of {len(texts)} texts are split into training's tokens.{first}"),
    ]  # fmt: skip
