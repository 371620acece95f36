"""A GGUF file's `tokenizer.ggml.pre` -> the pre-tokenizer that its tokenizer.json needs.

When transformers unpacks a GGUF file, it writes the pre-tokenizer of the architecture, not the one
that the file names: SmolLM2 (`smollm`) loses the step that takes digits apart. What each name stands
for is llama.cpp's (src/llama-vocab.cpp), written as the tokenizers of those families write it. Fails
with `InputError` for a name that is not known here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packager.errors import InputError
from packager.llamacpp import gguf_file

CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
REST = r"\s*[\r\n]+|\s+(?!\S)|\s+"
WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+"
SIGNS = r" ?[^\s\p{L}\p{N}]+[\r\n]*"


@dataclass(frozen=True)
class Splitting:
    """How text is cut before byte pairs are merged."""

    pattern: str = ""
    """Each match is a piece of its own ('': GPT-2's pattern, which the byte level brings)."""
    digits: bool = False
    """First every digit is taken apart."""
    whole_tokens: bool = False
    """A piece that is a token is that token, whatever the merges say."""


GPT2 = Splitting()
DIGITS = Splitting(digits=True)
LLAMA3 = Splitting(rf"{CONTRACTIONS}|{WORDS}|\p{{N}}{{1,3}}|{SIGNS}|{REST}", whole_tokens=True)
QWEN2 = Splitting(rf"{CONTRACTIONS}|{WORDS}|\p{{N}}|{SIGNS}|{REST}")
QWEN35 = Splitting(
    rf"{CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+|\p{{N}}| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+[\r\n]*|{REST}"
)
KNOWN = (
    dict.fromkeys(("gpt-2", "phi-2", "mpt", "olmo", "gigachat", "exaone4", "trillion", "granite-docling"), GPT2)
    | dict.fromkeys(("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"), DIGITS)
    | dict.fromkeys(("llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "lfm2"), LLAMA3)
    | dict.fromkeys(("dbrx", "smaug-bpe", "chatglm-bpe"), Splitting(LLAMA3.pattern))
    | dict.fromkeys(("glm4", "glm5"), LLAMA3)
    | dict.fromkeys(("qwen2", "deepseek-r1-qwen", "stablelm2", "hunyuan", "megrez", "grok-2", "solar-open"), QWEN2)
    | {"qwen35": QWEN35}
)
"""By the name in the file."""


def restore(gguf: Path, folder: Path) -> str:
    """Write the pre-tokenizer that `gguf` names into the tokenizer.json in `folder`; returns its name.

    Files with a SentencePiece tokenizer have none: '' is returned and nothing is changed. Raises
    `InputError` for a name that is not known.
    """
    name = named(gguf.name, gguf_file.inspect(gguf).metadata)
    if not name:
        return ""
    path = folder / "tokenizer.json"
    parts = json.loads(path.read_text(encoding="utf-8"))
    written = with_splitting(parts, KNOWN[name])
    path.write_text(json.dumps(written, indent=2, ensure_ascii=False), encoding="utf-8", newline="\n")
    return name


def named(file: str, metadata: Mapping[str, object]) -> str:
    """The name of a GGUF file's pre-tokenizer ('' for a SentencePiece tokenizer); raises `InputError` if unknown."""
    if metadata.get("tokenizer.ggml.model") != "gpt2":
        return ""
    name = str(metadata.get("tokenizer.ggml.pre", "missing"))
    if name not in KNOWN:
        raise InputError(
            f"{file} splits text in the way {name!r}, which cannot be written as a Hugging Face tokenizer here"
            f" (known: {', '.join(sorted(KNOWN))}).",
            "use the original checkpoint (hf:org/name, or a folder)",
        )
    return name


def with_splitting(parts: dict[str, Any], splitting: Splitting) -> dict[str, Any]:
    """The contents of a tokenizer.json with another pre-tokenizer. llama.cpp normalizes nothing."""
    steps: list[dict[str, Any]] = []
    if splitting.digits:
        steps.append({"type": "Digits", "individual_digits": True})
    if splitting.pattern:
        cut = {"type": "Split", "pattern": {"Regex": splitting.pattern}, "behavior": "Isolated", "invert": False}
        steps.append(cut)
    own = not splitting.pattern
    steps.append({"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": own})
    one = steps[0] if len(steps) == 1 else {"type": "Sequence", "pretokenizers": steps}
    model = {**parts["model"], "ignore_merges": splitting.whole_tokens}
    return {**parts, "normalizer": None, "pre_tokenizer": one, "model": model}
