"""Training's prompts against those that Ollama renders: the text, and the token ids that llama.cpp makes of it.

Conversations as they were trained and as a client sends them -> the modelfile.* checks of the proof that are
about prompts. Unequal prompts are failed checks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from packager.artifacts.checks import Check, verdict
from packager.process import progress
from packager.prompt.corpus import Conversation, joins_accents
from packager.prompt.ollama import go_template
from packager.prompt.ollama.simulated import render_go
from packager.prompt.roles import RoleFormat
from packager.prompt.template import ChatTemplate, Message, token_ids

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from packager.llamacpp.model import GgufModel


@dataclass(frozen=True)
class Served:
    """A conversation as a client sends it, and the whole one that it stands for in training."""

    sent: tuple[Message, ...]
    trained: tuple[Message, ...]


@dataclass(frozen=True)
class Renderers:
    """What makes the prompt of a conversation: in training, in the GGUF file, in Ollama."""

    template: ChatTemplate
    """Training's."""
    tokenizer: Tokenizer
    """Training's."""
    gguf: GgufModel
    stored: ChatTemplate
    """The one in the GGUF file."""
    go: str
    """The Modelfile's TEMPLATE."""
    system: str | None
    """The Modelfile's SYSTEM."""
    bos: str
    """What training's template begins with, as text."""


@dataclass(frozen=True)
class PromptComparison:
    """One conversation's prompt, in training and as it is served."""

    fault: str
    """How they differ; empty where they do not."""
    bos: int
    """Beginning-of-sequence tokens at the front of the served one."""
    stored_differs: bool
    """Whether the template in the GGUF file renders another prompt."""


def served_conversations(conversations: Sequence[Conversation], system: str | None) -> Iterator[Served]:
    """The conversations up to their last question, as training saw them, and as a client asks them: without
    the `system` message that the Modelfile holds."""
    for messages in conversations:
        last = max((i for i, m in enumerate(messages) if m["role"] == "user"), default=0)
        trained = messages[: last + 1]
        known = system is not None and trained[0] == {"role": "system", "content": system}
        yield Served(trained[1:] if known else trained, trained)


def limits(roles: RoleFormat, tokenizer: Tokenizer, taken: str = "TEMPLATE") -> list[str]:
    """Where Ollama renders another prompt than training, in words to follow "where"; `taken` is the template that it
    takes since 0.30."""
    apart = ["an accent is typed apart from its letter, which training's tokenizer joins"]
    return [*go_template.limits(roles, taken), *(apart if joins_accents(tokenizer) else [])]


def prompt_checks(
    conversations: Sequence[Served],
    template: ChatTemplate,
    tokenizer: Tokenizer,
    gguf: GgufModel,
    go: str,
    system: str | None,
    roles: RoleFormat,
) -> list[Check]:
    """Training's prompts against Ollama's, whose TEMPLATE is `go`: the text, and the token ids, which the file's
    own tokenizer makes of the served text with what it adds by itself."""
    stored = ChatTemplate(gguf.chat_template, gguf.bos_token, gguf.eos_token)
    renderers = Renderers(template, tokenizer, gguf, stored, go, system, roles.bos)
    comparisons = []
    for number, one in enumerate(conversations):
        comparisons.append(_compare(one, renderers))
        if number % 100 == 0:
            progress.update(number, len(conversations), "prompts")
    faults = [one.fault for one in comparisons if one.fault]
    most_bos = max((one.bos for one in comparisons), default=0)
    same = (
        f"Ollama's prompt has the text and token ids of training's in all of {len(conversations)} conversations; "
        f"it differs where {', or where '.join(limits(roles, tokenizer))}."
    )
    unlike = f"Ollama's prompt differs from training's in {len(faults)} of {len(conversations)} conversations."
    return [
        verdict("modelfile.prompt_parity", len(faults), 0, "conversations", not faults,
               f"{unlike} First: {faults[0]}." if faults else same),
        verdict("modelfile.one_bos", most_bos, 1, "tokens", most_bos <= 1,
               f"Served prompts begin with at most {most_bos} beginning-of-sequence token(s)."),
        _generations(gguf, go, sum(one.stored_differs for one in comparisons)),
    ]  # fmt: skip


def _compare(one: Served, by: Renderers) -> PromptComparison:
    text = by.template.render(one.trained, add_generation_prompt=True)
    served = render_go(by.go, one.sent, by.system)
    ids, trained_ids = by.gguf.tokenize(served), token_ids(by.tokenizer, text)
    bos_token, added = by.gguf.bos_token, by.bos if by.gguf.adds_bos else ""
    bos_id = by.tokenizer.token_to_id(bos_token) if bos_token else None
    stored_differs = by.stored.render(one.trained, add_generation_prompt=True) != text
    fault = ""
    if stored_differs:
        fault = "the chat template in the GGUF renders another prompt"
    elif added + served != text:
        fault = f"Ollama renders {added + served!r}, training {text!r}"
    elif by.gguf.adds_bos and ids[1:] == trained_ids:
        fault = f"the GGUF puts {bos_token} first, training did not: begin the template with {{{{ bos_token }}}}"
    elif ids != trained_ids:
        fault = f"the GGUF reads {text!r} as {ids}, training as {trained_ids}"
    bos = next((i for i, token in enumerate(ids) if token != bos_id), len(ids))
    return PromptComparison(fault, bos, stored_differs)


def _generations(gguf: GgufModel, template: str, stored_differs: int) -> Check:
    """Which template each generation of Ollama takes, and whether they give one prompt."""
    before, since = "TEMPLATE", go_template.preferred(template, gguf.chat_template, gguf.architecture)
    agree = since == before or (since == go_template.STORED and stored_differs == 0)
    prompts = "the same prompt" if agree else f"another prompt in {stored_differs or 'unknown'} cases"
    says = f"Before 0.30 Ollama renders the Modelfile's TEMPLATE; since 0.30 {since}: {prompts}."
    return verdict("modelfile.generations", since, "the same prompt", "template", agree, says)
