"""An F16 GGUF file and the checkpoint it was converted from -> the convert.* checks of the proof.

Weights, vocabulary, chat template, that its tokenizer is the one that prompts were proven with before the training
(`prompts`), and what it predicts. A file that says something else is a failed check.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from packager.artifacts.checks import Check, verdict
from packager.errors import Interrupted, PackagerError
from packager.llamacpp import gguf_file
from packager.llamacpp.gguf_file import GgufInfo
from packager.llamacpp.limits import run_limits
from packager.process import child
from packager.prompt.long_texts import boundaries
from packager.prompt.template import load_tokenizer
from packager.proof import divergence
from packager.proof.divergence import REFERENCE

MAX_KL = 1e-3
"""Most that the F16 file may diverge from the merged checkpoint, nats per token: see docs/proof.md."""


def conversion_checks(
    path: Path, info: GgufInfo, checkpoint: Path, parameters: int, vocabulary: Path, context: int
) -> tuple[Check, ...]:
    """The file at `path`, which says `info` of itself, against the folder of its checkpoint, which has so many
    `parameters`, and against the `vocabulary` that was proven. What it predicts, opened with the `context` that is
    served, is only compared where all else is right."""
    checks = [*_contents(info, checkpoint, parameters), _as_proven(path, vocabulary)]
    if all(c.passed for c in checks):
        checks.append(_predictions(path, checkpoint, context))
    return tuple(checks)


def _contents(info: GgufInfo, folder: Path, parameters: int) -> list[Check]:
    """The file against the checkpoint in `folder`, which has so many `parameters`."""
    config = text_config(folder)
    vocabulary, last = vocabulary_of(folder)
    tied_twice = parameters + vocabulary * config.get("hidden_size", 0)  # some converters write a tied head out
    odd = sorted(set(info.tensor_types) - {"F16", "F32"})
    return [
        verdict("convert.parameters", info.parameters, parameters, "weights",
              info.parameters in (parameters, tied_twice),
              "The F16 file has the checkpoint's weights."),
        verdict("convert.vocabulary", info.n_vocab, vocabulary, "tokens",
              info.n_vocab == vocabulary and last < info.n_vocab,
              f"Embedding, configuration and GGUF have {vocabulary} tokens; the tokenizer's last is {last}."),
        verdict("convert.types", ", ".join(odd) or "none", "none", "other types", not odd,
              "All tensors of the F16 file are F16 or F32."),
    ]  # fmt: skip


def _as_proven(path: Path, vocabulary: Path) -> Check:
    """The file against the `vocabulary` that the prompts were proven with before the training."""
    proven, written = gguf_file.tokenizing(vocabulary), gguf_file.tokenizing(path)
    other = sorted(name for name in {*proven, *written} if proven.get(name) != written.get(name))
    says = "The file's tokenizer and chat template are, byte for byte, those of the prompts that were proven."
    return verdict("convert.tokenizer", len(other), 0, "fields", not other,
                 f"Not as it was proven before the training: {', '.join(other)}." if other else says)  # fmt: skip


def _predictions(path: Path, folder: Path, context: int) -> Check:
    """What the file predicts, in a child of its own, against what the merge stage noted of the checkpoint."""
    try:
        limits = run_limits(path.stat().st_size)
        apart = child.call(
            divergence.f16_from_reference,
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
