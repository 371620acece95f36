"""The training prompt -> `Modelfile`: Ollama's TEMPLATE, SYSTEM, stops and sampling, proven equal.

The template is derived from the chat template, written, read back from disk, and rendered as Ollama
would; the F16 file's own tokenizer must turn that into the token ids of training. Fails before
writing on text that a Modelfile cannot hold (`InputError`) and on a stop string inside an answer;
`ProofFailed` if the file does not read back. Unequal prompts are failed checks.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packager.artifacts.files import write_atomically
from packager.artifacts.kinds import Check, Dataset, Ggufs, Modelfile, verdict
from packager.errors import InputError, ProofFailed
from packager.process import progress
from packager.prompt.corpus import CORPUS, has_rare_numerals, joins_accents, read_conversations, without_rare_numerals
from packager.prompt.ollama import composed, go_template
from packager.prompt.ollama.composed import Composed
from packager.prompt.ollama.modelfile import commands_of, parse_modelfile
from packager.prompt.ollama.simulated import render_go
from packager.prompt.roles import RoleFormat, derive_roles
from packager.prompt.servable import must_fit
from packager.prompt.template import ChatTemplate, Message, load_template, load_tokenizer, special_tokens, token_ids
from packager.recipe.sections import Serve

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from packager.llamacpp.model import GgufModel

NAME = "Modelfile"
ROWS = ("train.jsonl", "heldout.jsonl")


@dataclass(frozen=True)
class Served:
    """A conversation as a client sends it, and the whole one that it stands for in training."""

    sent: tuple[Message, ...]
    trained: tuple[Message, ...]


def modelfile(config: Serve, data: Dataset, converted: Ggufs, out: Path) -> Modelfile:
    """Write `Modelfile` into `out` and prove it against the training prompt and the F16 file."""
    from packager.llamacpp.model import GgufModel

    template, tokenizer = load_template(data.folder), load_tokenizer(data.folder)
    specials = special_tokens(tokenizer)
    roles = derive_roles(template, specials)
    must_fit(data.folder, roles, data.system, config)
    with GgufModel.open(converted.folder / converted.files[0].name, vocab_only=True) as gguf:
        made = composed.compose(config, roles, specials, data.system, add_bos=gguf.adds_bos)
        answers = _no_stop_inside(made.stops, data.folder)
        write_atomically(out / NAME, made.text)
        checks = [
            _read_back(out / NAME, made, config, data.system),
            _stop_check(out / NAME, gguf, tokenizer, roles, answers),
        ]
        checks += _parity(list(_served(data)), template, tokenizer, gguf, made, data.system, roles)
    for limit in _limits(roles, tokenizer):
        progress.note(f"Ollama differs: {limit}")
    return Modelfile(
        folder=out, template=made.template, stops=made.stops, system=data.system, text=made.text, checks=tuple(checks)
    )


def _limits(roles: RoleFormat, tokenizer: Tokenizer) -> list[str]:
    apart = ["an accent is typed apart from its letter, which training's tokenizer joins"]
    return [*go_template.limits(roles), *(apart if joins_accents(tokenizer) else [])]


def _served(data: Dataset) -> Iterator[Served]:
    """The corpus and every held-out question, as training saw them, and as a client asks them: without
    the system message that the Modelfile holds."""
    for name in (CORPUS, ROWS[1]):
        for messages in read_conversations(data.folder / name):
            last = max((i for i, m in enumerate(messages) if m["role"] == "user"), default=0)
            trained = messages[: last + 1]
            known = data.system is not None and trained[0] == {"role": "system", "content": data.system}
            yield Served(trained[1:] if known else trained, trained)


def _only_numerals_differ(gguf: GgufModel, tokenizer: Tokenizer, served: str, text: str) -> bool:
    apart = without_rare_numerals
    return has_rare_numerals(text) and gguf.tokenize(apart(served)) == token_ids(tokenizer, apart(text))


def _parity(
    conversations: Sequence[Served],
    template: ChatTemplate,
    tokenizer: Tokenizer,
    gguf: GgufModel,
    made: Composed,
    system: str | None,
    roles: RoleFormat,
) -> list[Check]:
    """Training's prompts against Ollama's: the text, and the token ids, which the F16 file's own
    tokenizer makes of the served text with what it adds by itself."""
    stored = ChatTemplate(gguf.chat_template, gguf.bos_token, gguf.eos_token)
    added = roles.bos if gguf.adds_bos else ""
    bos_id = tokenizer.token_to_id(gguf.bos_token) if gguf.bos_token else None
    different, most_bos, stored_differs, rare, first = 0, 0, 0, 0, ""
    for number, one in enumerate(conversations):
        text = template.render(one.trained, add_generation_prompt=True)
        served = render_go(made.template, one.sent, system)
        ids, wanted = gguf.tokenize(served), token_ids(tokenizer, text)
        most_bos = max(most_bos, next((i for i, token in enumerate(ids) if token != bos_id), len(ids)))
        fault = ""
        if stored.render(one.trained, add_generation_prompt=True) != text:
            stored_differs += 1
            fault = "the chat template in the GGUF renders another prompt"
        elif added + served != text:
            fault = f"Ollama renders {added + served!r}, training {text!r}"
        elif gguf.adds_bos and ids[1:] == wanted:
            fault = (
                f"the GGUF puts {gguf.bos_token} first, training did not: begin the template with {{{{ bos_token }}}}"
            )
        elif ids != wanted and _only_numerals_differ(gguf, tokenizer, served, text):
            rare += 1
        elif ids != wanted:
            fault = f"the GGUF reads {text!r} as {ids}, training as {wanted}"
        if fault:
            different += 1
            first = first or f" First: {fault}."
        if number % 100 == 0:
            progress.update(number, len(conversations), "prompts")
    same = (
        f"Ollama's prompt has the text and token ids of training's in all of {len(conversations)} conversations; "
        f"it differs where {', or where '.join(_limits(roles, tokenizer))}."
        + (f" In {rare} rare numerals such as ½ and ² are split otherwise." if rare else "")
    )
    unlike = f"Ollama's prompt differs from training's in {different} of {len(conversations)} conversations.{first}"
    return [
        verdict("modelfile.prompt_parity", different, 0, "conversations", different == 0,
               unlike if different else same),
        verdict("modelfile.one_bos", most_bos, 1, "tokens", most_bos <= 1,
               f"Served prompts begin with at most {most_bos} beginning-of-sequence token(s)."),
        _generations(made.template, gguf.chat_template, stored_differs),
    ]  # fmt: skip


def _generations(template: str, stored: str, stored_differs: int) -> Check:
    """Which template each generation of Ollama takes, and whether they give one prompt."""
    before, since = "TEMPLATE", go_template.preferred(template, stored)
    agree = since == before or stored_differs == 0
    prompts = "the same prompt" if agree else f"another prompt in {stored_differs} cases"
    says = f"Before 0.30 Ollama renders the Modelfile's TEMPLATE; since 0.30 {since}: {prompts}."
    return verdict("modelfile.generations", since, "the same prompt", "template", agree, says)


def _read_back(path: Path, made: Composed, config: Serve, system: str | None) -> Check:
    wanted = commands_of(made.template, system, config, made.stops)
    read = parse_modelfile(path.read_bytes().decode("utf-8"))
    if read != wanted:
        wrong = next((w.name for w, r in zip(wanted, read, strict=False) if w != r), "a command")
        raise ProofFailed(f"modelfile.parses: {wrong} does not read back as it was meant.", "report this recipe")
    return verdict("modelfile.parses", len(read), len(wanted), "commands", True,
                  f"Ollama reads all {len(read)} commands of the Modelfile as they were meant.")  # fmt: skip


def _stop_check(path: Path, gguf: GgufModel, tokenizer: Tokenizer, roles: RoleFormat, answers: int) -> Check:
    """Does the answer end where training ended it, by the file's own token and by the Modelfile's stops?"""
    stops = [value for name, value in parse_modelfile(path.read_bytes().decode("utf-8")) if name == "stop"]
    ends = tokenizer.token_to_id(roles.end_of_turn) in gguf.eog_tokens
    faults = [] if ends else [f"{roles.end_of_turn} does NOT end a generation by itself"]
    faults += [] if roles.end_of_turn in stops else [f"{roles.end_of_turn} is no stop in the Modelfile"]
    says = (
        f"{roles.end_of_turn} ends a generation by itself; it and {len(stops) - 1} other stops occur in none of "
        f"{answers} answers."
    )
    return verdict("modelfile.stops", len(faults), 0, "faults", not faults, f"{'; '.join(faults)}." if faults else says)


def _no_stop_inside(stops: Sequence[str], folder: Path) -> int:
    """How many answers there are; raises `InputError` naming the first that contains a stop string."""
    answers = 0
    for name in ROWS:
        for line, row in _rows(folder / name):
            for message in row["messages"]:
                if message["role"] != "assistant":
                    continue
                answers += 1
                if inside := next((s for s in stops if s in message["content"]), None):
                    raise InputError(
                        f"{name}, line {line}: the answer contains {inside}, at which Ollama would cut it off.",
                        "take it out of the data",
                    )
    return answers


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with path.open(encoding="utf-8") as file:
        for line, text in enumerate(file, 1):
            yield line, json.loads(text)
