"""The training prompt -> `Modelfile`: Ollama's TEMPLATE, SYSTEM, stops and sampling, proven equal.

The template is derived from the chat template, written, read back from disk, and rendered as Ollama
would; the F16 file's own tokenizer must turn that into the token ids of training. Fails before
writing on text that a Modelfile cannot hold (`InputError`) and on a stop string inside an answer;
`ProofFailed` if the file does not read back. Unequal prompts are failed checks.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packager import chat, ollama, progress
from packager.artifacts import Check, Dataset, Ggufs, Modelfile, write_atomically
from packager.chat import ChatTemplate, Message, RoleFormat
from packager.errors import InputError, ProofFailed
from packager.recipe import Serve

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from packager.llamacpp import GgufModel

NAME = "Modelfile"
ROWS = ("train.jsonl", "heldout.jsonl")
UNICODE = "Crianças 👶 de 2–5 anos: 37,5 °C é «febre»? 发烧了吗？ e\u0301 ﬁm"
PADDED = (" Oi ", "\n\nOi\n", "\tOi\n ")


@dataclass(frozen=True)
class Served:
    """A conversation as a client sends it, and the whole one that it stands for in training."""

    sent: tuple[Message, ...]
    trained: tuple[Message, ...]


def modelfile(config: Serve, data: Dataset, converted: Ggufs, out: Path) -> Modelfile:
    """Write `Modelfile` into `out` and prove it against the training prompt and the F16 file."""
    from packager.llamacpp import GgufModel

    template, tokenizer = chat.load_template(data.folder), chat.load_tokenizer(data.folder)
    specials = chat.special_tokens(tokenizer)
    roles = chat.derive_roles(template, specials)
    with GgufModel.open(converted.folder / converted.files[0].name, vocab_only=True) as gguf:
        made = ollama.compose(config, roles, specials, data.system, add_bos=gguf.adds_bos)
        answers = _no_stop_inside(made.stops, data.folder)
        write_atomically(out / NAME, made.text)
        checks = [_read_back(out / NAME, made, config, data.system), _stop_check(gguf, tokenizer, roles, made, answers)]
        known = corpus(roles, specials, data.system, joined=joins_accents(tokenizer))
        conversations = [*known, *_held_out(data)]
        checks += _parity(conversations, template, tokenizer, gguf, made, data.system, roles)
    for limit in _limits(roles, tokenizer):
        progress.note(f"Ollama differs: {limit}")
    return Modelfile(
        folder=out, template=made.template, stops=made.stops, system=data.system, text=made.text, checks=tuple(checks)
    )


def joins_accents(tokenizer: Tokenizer) -> bool:
    """Does the tokenizer join letters and accents that come apart (NFC), as Qwen's does? llama.cpp never does."""
    normalizer = tokenizer.normalizer
    return normalizer is not None and "\u00e9" in normalizer.normalize_str("e\u0301")


def _limits(roles: RoleFormat, tokenizer: Tokenizer) -> list[str]:
    apart = ["an accent is typed apart from its letter, which training's tokenizer joins"]
    return [*ollama.limits(roles), *(apart if joins_accents(tokenizer) else [])]


def corpus(roles: RoleFormat, specials: Sequence[str], system: str | None, *, joined: bool = False) -> list[Served]:
    """Conversations of every kind that the format can express, whatever the data hold; with accents
    `joined` to their letters if need be."""
    contents = [
        "O que é hipertensão?",
        "Pressão alta.\n\n- Meça sempre.\n- Anote.",
        UNICODE,
        "{{ .Content }} {{- end }} {% if x %}{",
        *(f"O que quer dizer {token} aqui?" for token in dict.fromkeys((roles.end_of_turn, *specials[:4]))),
        *PADDED,
    ]
    if joined:
        contents = [unicodedata.normalize("NFC", content) for content in contents]
    conversations = []
    for number, content in enumerate(contents):
        turns = [("user", content), ("assistant", content), ("user", contents[number - 1]), ("assistant", "Sim.")]
        conversations += [turns[:1], turns[:3], [*turns, ("user", content)]]
        if not roles.refuses_system:
            conversations += [[("system", content), *turns[:1]], [("system", content), *turns[:3]]]
    if not roles.refuses_system:
        conversations += [[("system", ""), ("user", contents[0])]]
    sent = [tuple(_said(roles, role, content) for role, content in c) for c in conversations]
    return [Served(messages, _in_training(messages, system)) for messages in sent]


def _said(roles: RoleFormat, role: str, content: str) -> Message:
    """A message; without outer white space where the template would strip it and Ollama would not."""
    return {"role": role, "content": content.strip() if role in roles.trimmed else content}


def _in_training(sent: tuple[Message, ...], system: str | None) -> tuple[Message, ...]:
    if not system or sent[0]["role"] == "system":
        return sent
    return ({"role": "system", "content": system}, *sent)


def _held_out(data: Dataset) -> Iterator[Served]:
    """Every held-out question as training saw it, and as a client asks it: without the system message
    that the Modelfile holds."""
    for _, row in _rows(data.folder / ROWS[1]):
        messages = row["messages"]
        last = max(i for i, m in enumerate(messages) if m["role"] == "assistant")
        trained = tuple(messages[:last])
        known = data.system is not None and trained[0] == {"role": "system", "content": data.system}
        yield Served(trained[1:] if known else trained, trained)


def _parity(
    conversations: Sequence[Served],
    template: ChatTemplate,
    tokenizer: Tokenizer,
    gguf: GgufModel,
    made: ollama.Composed,
    system: str | None,
    roles: RoleFormat,
) -> list[Check]:
    """Training's prompts against Ollama's: the text, and the token ids, which the F16 file's own
    tokenizer makes of the served text with what it adds by itself."""
    stored = ChatTemplate(gguf.chat_template, gguf.bos_token, gguf.eos_token)
    added = roles.bos if gguf.adds_bos else ""
    bos_id = tokenizer.token_to_id(gguf.bos_token) if gguf.bos_token else None
    different, most_bos, first = 0, 0, ""
    for number, one in enumerate(conversations):
        text = template.render(one.trained, add_generation_prompt=True)
        served = ollama.render_go(made.template, one.sent, system)
        ids, wanted = gguf.tokenize(served), chat.token_ids(tokenizer, text)
        most_bos = max(most_bos, next((i for i, token in enumerate(ids) if token != bos_id), len(ids)))
        fault = ""
        if stored.render(one.trained, add_generation_prompt=True) != text:
            fault = "the chat template in the GGUF renders another prompt"
        elif added + served != text:
            fault = f"Ollama renders {added + served!r}, training {text!r}"
        elif gguf.adds_bos and ids[1:] == wanted:
            fault = (
                f"the GGUF puts {gguf.bos_token} first, training did not: begin the template with {{{{ bos_token }}}}"
            )
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
    )
    unlike = f"Ollama's prompt differs from training's in {different} of {len(conversations)} conversations.{first}"
    return [
        _check("modelfile.prompt_parity", different, 0, "conversations", different == 0,
               unlike if different else same),
        _check("modelfile.one_bos", most_bos, 1, "tokens", most_bos <= 1,
               f"Served prompts begin with at most {most_bos} beginning-of-sequence token(s)."),
    ]  # fmt: skip


def _read_back(path: Path, made: ollama.Composed, config: Serve, system: str | None) -> Check:
    wanted = ollama.commands_of(made.template, system, config, made.stops)
    read = ollama.parse(path.read_bytes().decode("utf-8"))
    if read != wanted:
        wrong = next((w.name for w, r in zip(wanted, read, strict=False) if w != r), "a command")
        raise ProofFailed(f"modelfile.parses: {wrong} does not read back as it was meant.", "report this recipe")
    return _check("modelfile.parses", len(read), len(wanted), "commands", True,
                  f"Ollama reads all {len(read)} commands of the Modelfile as they were meant.")  # fmt: skip


def _stop_check(gguf: GgufModel, tokenizer: Tokenizer, roles: RoleFormat, made: ollama.Composed, answers: int) -> Check:
    ends = tokenizer.token_to_id(roles.end_of_turn) in gguf.eog_tokens
    fact = "ends" if ends else "does NOT end"
    return _check("modelfile.stops", int(ends), 1, "end-of-turn tokens", ends,
                  f"{roles.end_of_turn} {fact} a generation by itself; it and {len(made.stops) - 1} other stops "
                  f"occur in none of {answers} answers.")  # fmt: skip


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


def _check(name: str, measured: float, threshold: float, unit: str, passed: bool, says: str) -> Check:
    return Check(
        id=name, stage="modelfile", measured=measured, threshold=threshold, unit=unit, passed=passed, says=says
    )
