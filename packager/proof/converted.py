"""An F16 GGUF file and the checkpoint it was converted from -> the convert.* checks of the proof.

Weights, vocabulary, chat template, special tokens, how its own tokenizer splits text, and what it predicts. A
file that says something else than the checkpoint is a failed check.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packager.artifacts.checks import Check, verdict
from packager.artifacts.kinds import Dataset
from packager.errors import Interrupted, PackagerError
from packager.llamacpp.gguf_file import GgufInfo
from packager.llamacpp.limits import run_limits
from packager.llamacpp.model import GgufModel
from packager.process import child
from packager.prompt.corpus import CORPUS, read_conversations
from packager.prompt.long_texts import boundaries
from packager.prompt.template import TEMPLATE_FILE, load_template, load_tokenizer
from packager.proof import divergence
from packager.proof.divergence import REFERENCE
from packager.proof.tokens import splits_differently

if TYPE_CHECKING:
    pass

MAX_KL = 1e-3
"""Most that the F16 file may diverge from the merged checkpoint, nats per token: see docs/proof.md."""


def conversion_checks(
    path: Path, info: GgufInfo, checkpoint: Path, parameters: int, data: Dataset, context: int
) -> tuple[Check, ...]:
    """The file at `path`, which says `info` of itself, against the folder of its checkpoint, which has so many
    `parameters`. What it predicts, opened with the `context` that is served, is only compared where all else is
    right."""
    checks = [*_contents(info, checkpoint, parameters), *_tokenizer(path, checkpoint, data)]
    if all(c.passed for c in checks):
        checks.append(_predictions(path, checkpoint, context))
    return tuple(checks)


def _contents(info: GgufInfo, folder: Path, parameters: int) -> list[Check]:
    """The file against the checkpoint in `folder`, which has so many `parameters`."""
    config = text_config(folder)
    vocabulary, last = vocabulary_of(folder)
    tied_twice = parameters + vocabulary * config.get("hidden_size", 0)  # some converters write a tied head out
    odd = sorted(set(info.tensor_types) - {"F16", "F32"})
    template = (folder / TEMPLATE_FILE).read_bytes()
    return [
        verdict("convert.parameters", info.parameters, parameters, "weights",
              info.parameters in (parameters, tied_twice),
              "The F16 file has the checkpoint's weights."),
        verdict("convert.vocabulary", info.n_vocab, vocabulary, "tokens",
              info.n_vocab == vocabulary and last < info.n_vocab,
              f"Embedding, configuration and GGUF have {vocabulary} tokens; the tokenizer's last is {last}."),
        verdict("convert.template", len(info.chat_template.encode()), len(template), "bytes",
              info.chat_template.encode() == template, "The chat template in the file is that of training."),
        verdict("convert.types", ", ".join(odd) or "none", "none", "other types", not odd,
              "All tensors of the F16 file are F16 or F32."),
    ]  # fmt: skip


def _tokenizer(path: Path, folder: Path, data: Dataset) -> list[Check]:
    """The file's tokenizer against the checkpoint's: special tokens, and token ids on the corpus."""
    tokenizer = load_tokenizer(folder)
    template = load_template(folder)
    end = tokenizer.token_to_id(data.end_of_turn)
    texts = [
        template.render(messages, add_generation_prompt=messages[-1]["role"] == "user")
        for name in (CORPUS, "heldout.jsonl")
        for messages in read_conversations(data.folder / name)
    ]
    with GgufModel.open(path, vocab_only=True) as model:
        ends = end in model.eog_tokens
        pairs = [(template.bos_token, model.bos_token), (template.eos_token, model.eos_token)]
        known = tokenizer.get_vocab(with_added_tokens=True)  # a base's settings may name a token it does not have
        faults = [f"{ours!r} is {theirs!r}" for ours, theirs in pairs if ours in known and ours != theirs]
        unlike = splits_differently(model, tokenizer, texts)
    first = f" First: {unlike[0]}." if unlike else ""
    return [
        verdict("convert.special_tokens", len(faults), 0, "tokens", not faults,
              f"Not as in training: {', '.join(faults)}." if faults else "BOS and EOS are those of training."),
        verdict("convert.end_of_turn", int(ends), 1, "tokens", ends,
              f"{data.end_of_turn} {'ends' if ends else 'does NOT end'} a generation with this file."),
        verdict("convert.tokens", len(unlike), 0, "texts", not unlike,
              f"{len(texts) - len(unlike)} of {len(texts)} texts are split into training's tokens.{first}"),
    ]  # fmt: skip


def _predictions(path: Path, folder: Path, context: int) -> Check:
    """What the file predicts, in a child of its own, against what the merge stage noted of the checkpoint."""
    try:
        limits = run_limits(path.stat().st_size)
        apart = child.call(
            divergence.from_reference,
            path,
            folder / REFERENCE,
            context,
            timeout=limits.seconds,
            memory_limit=limits.memory,
        ).value
    except Interrupted:
        raise
    except PackagerError as error:
        return verdict("convert.logits", "does not run", MAX_KL, "nats/token", False,
                     f"The F16 file does not run on this CPU: {error.message}")  # fmt: skip
    worst = max(apart.kl_mean, apart.kl_worst_text or 0.0)  # a text past a boundary is one of many
    passed = worst <= MAX_KL
    crossed = [] if passed else boundaries(folder, context)
    first = crossed[0] if crossed else 0
    why = f" Beyond {first} tokens this model computes otherwise: try serve.context: {first}." if first else ""
    served = f", opened with {context} tokens as it is served," if context else ""
    return verdict("convert.logits", round(worst, 7), MAX_KL, "nats/token", passed,
                 f"The F16 file{served} predicts as the merged checkpoint does at {apart.positions} positions, in "
                 f"every text; the likeliest token is the same at {apart.same_top:.1%}.{why}")  # fmt: skip


def text_config(folder: Path) -> dict[str, Any]:
    """config.json of a checkpoint, of one that also sees or hears its part for text."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    text: dict[str, Any] = config.get("text_config", config)
    return text


def vocabulary_of(folder: Path) -> tuple[int, int]:
    """The size that config.json gives, and the tokenizer's last token."""
    known = load_tokenizer(folder).get_vocab(with_added_tokens=True)
    return int(text_config(folder)["vocab_size"]), max(known.values())
