"""Merged checkpoint -> one F16 GGUF file, with llama.cpp's own converter in a process of its own.

What was written is read back and checked against the checkpoint: weights, vocabulary, special
tokens, chat template, how its own tokenizer splits text, and what it predicts. Fails with
`InputError` before converting (unknown architecture or tokenizer, code in the folder); a file that
says something else than the checkpoint is a failed check.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packager.artifacts.files import sha256_of, write_json
from packager.artifacts.kinds import Check, Dataset, GgufFile, Ggufs, Merged, verdict
from packager.errors import InputError, Interrupted, PackagerError, ProofFailed
from packager.llamacpp import gguf_file
from packager.llamacpp.gguf_file import GgufInfo
from packager.llamacpp.model import GgufModel
from packager.llamacpp.vendored import known_architectures, run_converter, tokenizer_problem
from packager.package import licence
from packager.process import child, progress
from packager.prompt.corpus import CORPUS, RARE_NUMERALS, has_rare_numerals, read_conversations, without_rare_numerals
from packager.prompt.long_texts import boundaries
from packager.prompt.template import TEMPLATE_FILE, load_template, load_tokenizer, token_ids
from packager.proof import divergence
from packager.proof.divergence import REFERENCE
from packager.recipe.sections import Section

if TYPE_CHECKING:
    from tokenizers import Tokenizer

NAME = "model-F16.gguf"
RUN_SECONDS, SECONDS_PER_BYTE = 600.0, 1e-6
"""Time for the file to run: beside a constant, with its size."""
ROOM = 8 << 30
"""Address space beside the file, in bytes: context, logits, the interpreter."""
MAX_KL = 1e-3
"""Most that the F16 file may diverge from the merged checkpoint, nats per token: see docs/proof.md."""
BUFFERS = (".attention.masked_bias", ".attention.bias", ".rotary_emb.inv_freq")
"""Endings of tensors that the converter leaves out: they are computed, not trained."""
SAMPLING = ("sequence", "top_k", "top_p", "min_p", "xtc_probability", "xtc_threshold", "temp",
            "penalty_last_n", "penalty_repeat", "mirostat", "mirostat_tau", "mirostat_eta")  # fmt: skip
_PHI3 = re.compile(r"phi-?3", re.IGNORECASE)
_QUANTIZED = re.compile(r"[.-](I?Q\d\w*|BF16|F16|F32)$", re.IGNORECASE)


class Lineage(Section):
    """What the file is to say about its origin, beside what the artifacts know."""

    recipe: str
    language: str
    context: int = 0
    """Tokens that the file is served with; 0: as long as the longest text that is compared."""


def convert(config: Lineage | None, merged: Merged, data: Dataset, out: Path) -> Ggufs:
    """Write `model-F16.gguf` into `out`."""
    from packager.checkpoint import weights

    _refuse(merged)
    parameters = sum(t.elements for t in weights.checkpoint(merged.folder).values() if not t.name.endswith(BUFFERS))
    overrides = out / "metadata.json"
    write_json(overrides, described(merged) | (lineage(config, merged, data) if config else {}))
    with _watched(out / NAME, 2 * parameters):
        run_converter(merged.folder, out / NAME, overrides)
    overrides.unlink()
    try:
        info = gguf_file.inspect(out / NAME)
    except (OSError, ValueError) as error:
        raise ProofFailed(f"convert.readable: the converter wrote no readable file: {error}", "see the log") from error
    checks = [*_contents(info, merged.folder, parameters), *_tokenizer(out / NAME, merged.folder, data)]
    if all(c.passed for c in checks):
        checks.append(_predictions(out / NAME, merged.folder, config.context if config else 0))
    size = (out / NAME).stat().st_size
    progress.note(f"{NAME}: {size / 1e6:,.0f} MB, {info.n_tensors} tensors, vocabulary {info.n_vocab}")
    return Ggufs(folder=out, files=(_file(out / NAME, info),), checks=tuple(checks))


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


def lineage(config: Lineage, merged: Merged, data: Dataset) -> dict[str, Any]:
    """The `general.*` metadata that says what the model was made from and with."""
    terms = licence.known(merged.licence)
    rows = {"name": f"{data.train_rows} training rows", "version": f"sha256:{data.data_sha256}"}
    return {
        "general.finetune": config.recipe,
        "general.languages": [config.language.partition("-")[0]],
        "general.license.name": (terms.title if terms else merged.licence) or None,
        "general.license.link": terms.url if terms else None,
        "general.datasets": [rows] if merged.pairs_total else None,
    }


def _contents(info: GgufInfo, folder: Path, parameters: int) -> list[Check]:
    """The file against the checkpoint in `folder`, which has so many `parameters`."""
    config = _config(folder)
    vocabulary, last = _vocabulary(folder)
    tied_twice = parameters + vocabulary * config.get("hidden_size", 0)  # some converters write a tied head out
    odd = sorted(set(info.tensor_types) - {"F16", "F32"})
    wanted = (folder / TEMPLATE_FILE).read_bytes()
    return [
        verdict("convert.parameters", info.parameters, parameters, "weights",
              info.parameters in (parameters, tied_twice),
              "The F16 file has the checkpoint's weights."),
        verdict("convert.vocabulary", info.n_vocab, vocabulary, "tokens",
              info.n_vocab == vocabulary and last < info.n_vocab,
              f"Embedding, configuration and GGUF have {vocabulary} tokens; the tokenizer's last is {last}."),
        verdict("convert.template", len(info.chat_template.encode()), len(wanted), "bytes",
              info.chat_template.encode() == wanted, "The chat template in the file is that of training."),
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
        faults = [f"{ours!r} is {theirs!r}" for ours, theirs in pairs if ours and ours != theirs]
        rare = [text for text in texts if has_rare_numerals(text)]
        odd = splits_differently(model, tokenizer, [*rare, RARE_NUMERALS])
        unlike = splits_differently(model, tokenizer, [without_rare_numerals(text) for text in texts])
    if odd:
        progress.note("rare numerals such as ½ and ² are split into other tokens when served than when trained")
    known = f" {len(rare)} with rare numerals (½, ²) may be split otherwise." if odd and rare else ""
    first = f" First: {unlike[0]}." if unlike else ""
    return [
        verdict("convert.special_tokens", len(faults), 0, "tokens", not faults,
              f"Not as in training: {', '.join(faults)}." if faults else "BOS and EOS are those of training."),
        verdict("convert.end_of_turn", int(ends), 1, "tokens", ends,
              f"{data.end_of_turn} {'ends' if ends else 'does NOT end'} a generation with this file."),
        verdict("convert.tokens", len(unlike), 0, "texts", not unlike,
              f"{len(texts) - len(unlike)} of {len(texts)} texts are split into training's tokens.{known}{first}"),
    ]  # fmt: skip


def splits_differently(model: GgufModel, tokenizer: Tokenizer, texts: Sequence[str]) -> list[str]:
    """What the file's tokenizer and the checkpoint's make different tokens of, one sentence a text."""
    faults = []
    for text in texts:
        wanted, found = token_ids(tokenizer, text), model.tokenize(text, add_bos=False)
        if wanted != found:
            at = next((i for i, (a, b) in enumerate(zip(wanted, found, strict=False)) if a != b), len(wanted))
            faults.append(
                f"trained as {tokenizer.decode(wanted[at : at + 5], skip_special_tokens=False)!r},"
                f" served as {model.text(found[at : at + 5])!r} (token {at} of {text!r})"
            )
    return faults


def _predictions(path: Path, folder: Path, context: int) -> Check:
    """What the file predicts, in a child of its own, against what the merge stage noted of the checkpoint."""
    try:
        size = path.stat().st_size
        timeout = RUN_SECONDS + size * SECONDS_PER_BYTE
        found = child.call(
            divergence.from_reference, path, folder / REFERENCE, context, timeout=timeout, memory_limit=2 * size + ROOM
        ).value
    except Interrupted:
        raise
    except PackagerError as error:
        return verdict("convert.logits", "does not run", MAX_KL, "nats/token", False,
                     f"The F16 file does not run on this CPU: {error.message}")  # fmt: skip
    worst = max(found.kl_mean, found.kl_worst_text or 0.0)  # a text past a boundary is one of many
    passed = worst <= MAX_KL
    crossed = [] if passed else boundaries(folder, context)
    first = crossed[0] if crossed else 0
    why = f" Beyond {first} tokens this model computes otherwise: try serve.context: {first}." if first else ""
    served = f", opened with {context} tokens as it is served," if context else ""
    return verdict("convert.logits", round(worst, 7), MAX_KL, "nats/token", passed,
                 f"The F16 file{served} predicts as the merged checkpoint does at {found.positions} positions, in "
                 f"every text; the likeliest token is the same at {found.same_top:.1%}.{why}")  # fmt: skip


def _config(folder: Path) -> dict[str, Any]:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    text: dict[str, Any] = config.get("text_config", config)
    return text


def _vocabulary(folder: Path) -> tuple[int, int]:
    """The size that config.json gives, and the tokenizer's last token."""
    known = load_tokenizer(folder).get_vocab(with_added_tokens=True)
    return int(_config(folder)["vocab_size"]), max(known.values())


def _strips(folder: Path) -> bool:
    """Does the checkpoint's tokenizer drop white space after its special tokens, as Phi-3's does?"""
    path = folder / "tokenizer.json"
    added = json.loads(path.read_text(encoding="utf-8"))["added_tokens"] if path.is_file() else []
    return any(token["special"] and token["rstrip"] for token in added)


def _refuse(merged: Merged) -> None:
    """Nothing but a known architecture with a known tokenizer and no code reaches the converter."""
    from packager.checkpoint import weights

    if code := sorted(merged.folder.rglob("*.py")):
        raise InputError(f"The merged checkpoint holds code: {code[0].name}.", "use a base without its own code")
    for name in ("config.json", "tokenizer_config.json"):
        if json.loads((merged.folder / name).read_text(encoding="utf-8")).get("auto_map"):
            raise InputError(f"{name} refers to code (auto_map).", "use a base without its own code")
    if merged.architecture not in known_architectures():
        raise InputError(
            f"llama.cpp's converter does not know {merged.architecture}.",
            "use a Llama, Qwen2, Phi-3 or another architecture of llama.cpp's converter",
        )
    if problem := tokenizer_problem(merged.folder):
        raise ProofFailed(
            f"convert.tokenizer: the tokenizer of {merged.source} cannot be converted: {problem}.", "use another base"
        )
    table = weights.checkpoint(merged.folder).get("model.embed_tokens.weight")
    vocabulary, last = _vocabulary(merged.folder)
    rows = table.rows if table else vocabulary
    if not last < vocabulary == rows:
        raise ProofFailed(
            f"convert.vocabulary: config.json has {vocabulary} tokens, the embedding {rows} rows, and the tokenizer's "
            f"last token is {last}.",
            "use a base whose files belong together",
        )


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


def _file(path: Path, info: GgufInfo) -> GgufFile:
    return GgufFile(
        name=path.name,
        type="F16",
        size=path.stat().st_size,
        sha256=sha256_of(path),
        bits_per_weight=round(info.bits_per_weight, 3),
        tensor_types=dict(info.tensor_types),
    )
