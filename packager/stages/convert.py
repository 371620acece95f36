"""Merged checkpoint -> one F16 GGUF file, with llama.cpp's own converter in a process of its own.

What was written is read back: parameters, vocabulary and chat template must be those of the
checkpoint, and the file's own tokenizer must split text as the checkpoint's does. Fails with
`InputError` before converting (unknown architecture or tokenizer, code in the folder) and with
`ProofFailed` after it (the file says something else than the checkpoint).
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from packager import chat, llamacpp, progress
from packager.artifacts import GgufFile, Ggufs, Merged, sha256_of, write_json
from packager.chat import TEMPLATE_FILE
from packager.errors import InputError, ProofFailed

NAME = "model-F16.gguf"
BUFFERS = (".attention.masked_bias", ".attention.bias", ".rotary_emb.inv_freq")
"""Endings of tensors that the converter leaves out: they are computed, not trained."""
SAMPLING = ("sequence", "top_k", "top_p", "min_p", "xtc_probability", "xtc_threshold", "temp",
            "penalty_last_n", "penalty_repeat", "mirostat", "mirostat_tau", "mirostat_eta")  # fmt: skip
PROBES = (
    "Olá! O que é a atenção primária à saúde?",
    "  dois espaços  antes,\n\numa linha vazia\te um espaço no fim ",
    "CPF 123.456.789-09, 10 mg/kg, 37,5 °C, 100 %, 3333333",
    "“aspas” — travessão… 5 µg 😀 👩🏽 don't WE'VE",
    "def f(x):\n    return {x: [1, 2]}",
)
"""Questions and answers on which both tokenizers must agree."""
RARE = ("½ comprimido, kg / m ² , ٣, Ⅳ",)
"""Characters on which some of llama.cpp's pre-tokenizers are known to differ; noted, not refused."""
_PHI3 = re.compile(r"phi-?3", re.IGNORECASE)
_QUANTIZED = re.compile(r"[.-](I?Q\d\w*|BF16|F16|F32)$", re.IGNORECASE)


def convert(config: None, merged: Merged, out: Path) -> Ggufs:
    """Write `model-F16.gguf` into `out`."""
    from packager import weights

    _refuse(merged)
    parameters = sum(t.elements for t in weights.checkpoint(merged.folder).values() if not t.name.endswith(BUFFERS))
    overrides = out / "metadata.json"
    write_json(overrides, described(merged))
    with _watched(out / NAME, 2 * parameters):
        llamacpp.run_converter(merged.folder, out / NAME, overrides)
    overrides.unlink()
    try:
        info = llamacpp.inspect(out / NAME)
    except (OSError, ValueError) as error:
        raise ProofFailed(f"convert.readable: the converter wrote no readable file: {error}", "see the log") from error
    faults = differences(info, merged.folder, parameters) or splits_differently(out / NAME, merged.folder, PROBES)
    if faults:
        lines = "\n".join(f"  - {fault}" for fault in faults)
        raise ProofFailed(f"convert: the GGUF differs from the checkpoint.\n{lines}", "report this base model")
    if splits_differently(out / NAME, merged.folder, RARE):
        progress.note("rare numerals such as ½ and ² are split into other tokens when served than when trained")
    size = (out / NAME).stat().st_size
    progress.note(f"{NAME}: {size / 1e6:,.0f} MB, {info.n_tensors} tensors, vocabulary {info.n_vocab}")
    return Ggufs(folder=out, files=(_file(out / NAME, info),))


def described(merged: Merged) -> dict[str, Any]:
    """The `general.*` metadata, in place of what the converter derives from folder names.

    The base's sampling advice is dropped: what the package serves with is the recipe's.
    """
    source = merged.source.removeprefix("hf:")
    name = _QUANTIZED.sub("", source.rstrip("/").rpartition("/")[2].removesuffix(".gguf"))
    base = {"name": name}
    if _strips(merged.folder) != bool(_PHI3.search(name)):
        # llama.cpp drops white space after special tokens if, and only if, the name says Phi-3.
        name = _PHI3.sub("Phi 3", name) if _PHI3.search(name) else f"{name} (Phi-3)"
    if re.fullmatch(r"[\w.-]+/[\w.-]+", source):
        base |= {"organization": source.partition("/")[0], "repo_url": f"https://huggingface.co/{source}"}
    if merged.revision:
        base["version"] = merged.revision
    derived = ("basename", "finetune", "version", "organization", "size_label", "author", "description")
    tuned = bool(merged.pairs_total)
    return {
        "general.name": f"{name} (fine-tuned)" if tuned else name,
        **{f"general.{key}": None for key in derived},
        **{f"general.sampling.{key}": None for key in SAMPLING},
        "general.base_models": [base] if tuned else None,
    }


def differences(info: llamacpp.GgufInfo, folder: Path, parameters: int) -> list[str]:
    """How the file differs from the checkpoint in `folder` that has so many `parameters`."""
    from tokenizers import Tokenizer

    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config = config.get("text_config", config)
    vocabulary = config["vocab_size"]
    tied_twice = parameters + vocabulary * config.get("hidden_size", 0)  # some converters write a tied head out
    faults = []
    if info.parameters not in (parameters, tied_twice):
        faults.append(f"convert.parameters: {info.parameters:,} in the file, {parameters:,} in the checkpoint")
    if info.n_vocab != vocabulary:
        faults.append(f"convert.vocabulary: {info.n_vocab} tokens in the file, {vocabulary} rows of embeddings")
    if (folder / "tokenizer.json").is_file():
        known = Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab(with_added_tokens=True)
        if max(known.values()) >= info.n_vocab:
            faults.append(f"convert.vocabulary: the tokenizer has token {max(known.values())}, the file does not")
    if info.chat_template.encode() != (folder / TEMPLATE_FILE).read_bytes():
        faults.append("convert.template: the chat template in the file is not that of training")
    if odd := set(info.tensor_types) - {"F16", "F32"}:
        faults.append(f"convert.types: tensors of type {', '.join(sorted(odd))}")
    return faults


def splits_differently(path: Path, folder: Path, probes: Sequence[str]) -> list[str]:
    """Conversations over `probes` that the file's tokenizer and the checkpoint's split into different tokens."""
    template, tokenizer = chat.load_template(folder), chat.load_tokenizer(folder)
    faults = []
    with llamacpp.GgufModel.open(path, vocab_only=True) as model:
        for probe in probes:
            turns = [{"role": role, "content": probe} for role in ("user", "assistant", "user")]
            text = template.render(turns, add_generation_prompt=True)
            wanted, found = chat.token_ids(tokenizer, text), model.tokenize(text, add_bos=False)
            if wanted != found:
                at = next((i for i, (a, b) in enumerate(zip(wanted, found, strict=False)) if a != b), len(wanted))
                faults.append(
                    f"convert.tokens: trained as {tokenizer.decode(wanted[at : at + 5], skip_special_tokens=False)!r},"
                    f" served as {model.text(found[at : at + 5])!r} (token {at} of {text!r})"
                )
    return faults[:3]


def _strips(folder: Path) -> bool:
    """Does the checkpoint's tokenizer drop white space after its special tokens, as Phi-3's does?"""
    path = folder / "tokenizer.json"
    added = json.loads(path.read_text(encoding="utf-8"))["added_tokens"] if path.is_file() else []
    return any(token["special"] and token["rstrip"] for token in added)


def _refuse(merged: Merged) -> None:
    """Nothing but a known architecture with a known tokenizer and no code reaches the converter."""
    if code := sorted(merged.folder.rglob("*.py")):
        raise InputError(f"The merged checkpoint holds code: {code[0].name}.", "use a base without its own code")
    for name in ("config.json", "tokenizer_config.json"):
        if json.loads((merged.folder / name).read_text(encoding="utf-8")).get("auto_map"):
            raise InputError(f"{name} refers to code (auto_map).", "use a base without its own code")
    if merged.architecture not in llamacpp.known_architectures():
        raise InputError(
            f"llama.cpp's converter does not know {merged.architecture}.",
            "use a Llama, Qwen2, Phi-3 or another architecture of llama.cpp's converter",
        )
    if problem := llamacpp.tokenizer_problem(merged.folder):
        raise InputError(f"The tokenizer of {merged.source} cannot be converted: {problem}.", "use another base")


@contextlib.contextmanager
def _watched(path: Path, expected: int) -> Iterator[None]:
    """Report the growing size of `path`, in MB of `expected` bytes, while the block runs."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.5):
            size = path.stat().st_size if path.exists() else 0
            progress.update(min(size, expected) / 1e6, expected / 1e6, "MB")

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _file(path: Path, info: llamacpp.GgufInfo) -> GgufFile:
    return GgufFile(
        name=path.name,
        type="F16",
        size=path.stat().st_size,
        sha256=sha256_of(path),
        bits_per_weight=round(info.bits_per_weight, 3),
        tensor_types=dict(info.tensor_types),
    )
