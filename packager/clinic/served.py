"""The program that ships, running here, and what was proven -> that it serves the prompts and words of the proof.

The proof runs llama.cpp through its library, and renders templates in Python. A clinic runs llama-server, with its own
template engine, compiled otherwise. So before a bundle is closed its program for this machine renders every
conversation that the stages were proven on, splits it into tokens, and holds for likely what the library does. The
clinic's self-test compares its own processor with the same numbers, from `runtime/prova.json`.
Fails with `ProofFailed` that names the first difference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from packager.artifacts.kinds import Dataset
from packager.data.conversations import HELDOUT
from packager.errors import ProofFailed
from packager.llamacpp.limits import run_limits
from packager.llamacpp.model import GgufModel
from packager.process import child, progress
from packager.prompt.corpus import CORPUS, read_conversations
from packager.prompt.template import load_template, load_tokenizer, token_ids
from packager.proof.divergence import log_softmax
from packager.proof.prompt_parity import served_conversations

LIKELIEST, ASKED = 5, 64
"""Tokens whose log-probabilities are compared, and how many the server is asked for."""
MOST_APART = 0.5
"""Nats. Measured between the library compiled for AVX-512 and llama-server for AVX2, SmolLM2-135M in Q4_K_M: 0.095."""
ABSENT = 20.0
"""Of a token that is not among those."""


class Server(Protocol):
    """A running llama-server."""

    def rendered(self, messages: Sequence[Mapping[str, str]]) -> str:
        """The prompt that it makes of a conversation (POST /apply-template)."""

    def tokens(self, text: str) -> list[int]:
        """The token ids that it makes of a rendered prompt, with what it adds by itself (POST /tokenize)."""

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """The JSON that answers a JSON body."""


def likely_beginnings(
    data: Dataset, model: Path, conversations: Sequence[Sequence[Mapping[str, str]]]
) -> tuple[dict[int, float], ...]:
    """What llama.cpp's library holds for the likeliest first tokens of the answer to each conversation, in the file
    `model`: token id -> log-probability, nats. The prompt is training's."""
    if not conversations:
        return ()
    template, tokenizer = load_template(data.folder), load_tokenizer(data.folder)
    texts = [template.render(messages, add_generation_prompt=True) for messages in conversations]
    prompts = [token_ids(tokenizer, text) for text in texts]
    limits = run_limits(model.stat().st_size)
    return tuple(child.call(first_words, model, prompts, timeout=limits.seconds, memory_limit=limits.memory).value)


def prove_served(server: Server, data: Dataset, questions: Sequence[Mapping[str, Any]]) -> str:
    """Raise `ProofFailed` unless the server serves what was proven; returns what it did, in a sentence.

    `questions` are those of `runtime/prova.json`, each with its `request` and what is `likely`.
    """
    conversations = prove_prompts(server, data)
    said = f"the program for this machine serves training's prompt, token for token, in {conversations} conversations"
    if not questions:
        return said
    prompts = [server.tokens(server.rendered(question["request"]["messages"])) for question in questions]
    library = [{one["id"]: one["logprob"] for one in question["likely"]} for question in questions]
    mean = prove_predictions(server, prompts, library)
    return f"{said}; at the first words of {len(prompts)} answers it is {mean:.3f} nats from llama.cpp's library"


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


def first_words(path: Path, prompts: Sequence[Sequence[int]]) -> list[dict[int, float]]:
    """What llama.cpp's library holds for the likeliest tokens after each prompt: token id -> log-probability, nats.

    Runs the file, so in a child process.
    """
    context = max(map(len, prompts)) + 1
    found = []
    with GgufModel.open(path, context=context, threads=child.physical_cores()) as model:
        for ids in prompts:
            rows = [rows.copy() for _, rows in model.logits(ids, [*[False] * (len(ids) - 1), True])]
            log_p = log_softmax(rows[-1])[-1]
            found.append({int(token): float(log_p[token]) for token in log_p.argsort()[: -LIKELIEST - 1 : -1]})
    return found


def prove_predictions(
    server: Server, prompts: Sequence[Sequence[int]], expected: Sequence[Mapping[int, float]]
) -> float:
    """Raise `ProofFailed` unless the server holds for likely what the library does; returns the mean difference, nats.

    Words are not compared: another processor rounds otherwise, and a small model then chooses another word at the first
    near tie. Log-probabilities differ by some hundredths for that, by nats where a program computes wrongly.
    """
    apart = []
    for ids, likely in zip(prompts, expected, strict=True):
        body = {"prompt": list(ids), "n_predict": 1, "n_probs": ASKED, "temperature": 0.0, "cache_prompt": False}
        reply = server.post("/completion", body | {"repeat_penalty": 1.0, "samplers": []})
        told = {int(one["id"]): float(one["logprob"]) for one in reply["completion_probabilities"][0]["top_logprobs"]}
        apart += [abs(told.get(token, -ABSENT) - value) for token, value in likely.items()]
    mean = sum(apart) / len(apart)
    if not mean <= MOST_APART:
        raise ProofFailed(
            f"bundle.predictions: the program that ships is {mean:.2f} nats from llama.cpp's library at the likeliest "
            f"first words of {len(prompts)} answers (limit {MOST_APART}).",
            "compile it anew (packager runtime), or report this machine's processor",
        )
    return mean
