"""The program that ships, running here, and what was proven -> that it serves the prompts and words of the proof.

The proof runs llama.cpp through its library, and renders templates in Python. A clinic runs llama-server, with its own
template engine, compiled otherwise. So before a bundle is closed its program for this machine renders every
conversation that the stages were proven on, splits it into tokens, and says the beginnings of the proof's answers.
Fails with `ProofFailed` that names the first difference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from packager.artifacts.kinds import Dataset
from packager.data.conversations import HELDOUT
from packager.errors import ProofFailed
from packager.process import progress
from packager.prompt.corpus import CORPUS, read_conversations
from packager.prompt.template import load_template, load_tokenizer, token_ids
from packager.proof.prompt_parity import served_conversations


class Server(Protocol):
    """A running llama-server."""

    def rendered(self, messages: Sequence[Mapping[str, str]]) -> str:
        """The prompt that it makes of a conversation (POST /apply-template)."""

    def tokens(self, text: str) -> list[int]:
        """The token ids that it makes of a rendered prompt, with what it adds by itself (POST /tokenize)."""

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """The JSON that answers a JSON body."""


def prove_served(server: Server, data: Dataset, questions: Sequence[Mapping[str, Any]]) -> str:
    """Raise `ProofFailed` unless the server serves what was proven; returns what it did, in a sentence.

    `questions` are those of `runtime/prova.json`, each with its request and how the proof's answer begins.
    """
    prompts = prove_prompts(server, data)
    equal = _self_test(server, questions)
    said = f"; {equal} of {len(questions)} answers begin as in the proof" if questions else ""
    return f"the program for this machine serves training's prompt, token for token, in {prompts} conversations{said}"


def prove_prompts(server: Server, data: Dataset) -> int:
    """Raise `ProofFailed` unless text and token ids of every conversation are training's; returns how many."""
    template, tokenizer = load_template(data.folder), load_tokenizer(data.folder)
    known = [messages for name in (CORPUS, HELDOUT) for messages in read_conversations(data.folder / name)]
    conversations = list(served_conversations(known, data.system))
    faults = []
    for number, one in enumerate(conversations, 1):
        text = template.render(one.trained, add_generation_prompt=True)
        served = server.rendered(one.trained)
        if served not in (text, text.removeprefix(template.bos_token)):  # it takes off a BOS that its tokenizer adds
            faults.append(f"it renders {served!r}, training {text!r}")
        elif (ids := server.tokens(served)) != (trained := token_ids(tokenizer, text)):
            faults.append(f"it reads {text!r} as {ids}, training as {trained}")
        if number % 50 == 0:
            progress.update(number, len(conversations), "prompts served")
    if faults:
        raise ProofFailed(
            f"bundle.prompts: the program that ships serves another prompt than training's in {len(faults)} of "
            f"{len(conversations)} conversations. First: {faults[0]}.",
            "report this model and its chat template",
        )
    return len(conversations)


def _self_test(server: Server, questions: Sequence[Mapping[str, Any]]) -> int:
    """As the clinic's own: how many answers begin as the proof's do; half must (source/selftest.c says why)."""
    equal, first = 0, ""
    for question in questions:
        reply = server.post("/v1/chat/completions", question["request"])
        answer = str(reply["choices"][0]["message"]["content"] or "").strip()
        if answer and answer.startswith(question["begins"]):
            equal += 1
        elif not first:
            first = f"to {question['ask']!r} it says {answer!r}, the proof {question['begins']!r}"
    if 2 * equal < len(questions):
        raise ProofFailed(
            f"bundle.answers: {equal} of {len(questions)} answers of the program that ships begin as in the proof. "
            f"First: {first}.",
            "compile it anew (packager runtime), or report this machine's processor",
        )
    return equal
