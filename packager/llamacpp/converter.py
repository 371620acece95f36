"""llama.cpp's converter: what it knows, read from its source text, and a run of it in a process of its own.

Nothing here imports the converter. Fails with `MissingResource` when its source is not there.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import hashlib
import json
import os
import runpy
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path

from packager.errors import PackagerError
from packager.llamacpp.vendored import converter
from packager.process import child, progress


@functools.cache
def known_architectures() -> frozenset[str]:
    """Names of `architectures` in config.json that the converter can convert."""
    return frozenset(_text_models())


def pretokenizer_known(tokenizer_json: Path) -> bool:
    """Does the converter recognize this byte-level BPE tokenizer?

    It encodes a check text and looks the hash of the ids up in a table; the same is done here,
    without transformers. SentencePiece tokenizers are not in the table: they need tokenizer.model.
    """
    from tokenizers import Tokenizer

    text, hashes = _pretokenizers()
    tokenizer = Tokenizer.from_file(str(tokenizer_json))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    ids = tokenizer.encode(text, add_special_tokens=True).ids
    return hashlib.sha256(str(ids).encode()).hexdigest() in hashes


def tokenizer_problem(folder: Path) -> str:
    """What keeps the tokenizer of this checkpoint from being converted faithfully ('' if nothing)."""
    tokenizer_json = folder / "tokenizer.json"
    if (folder / "tokenizer.model").is_file():
        return ""
    if not tokenizer_json.is_file():
        return "there is neither tokenizer.json nor tokenizer.model"
    if json.loads(tokenizer_json.read_text(encoding="utf-8"))["model"].get("byte_fallback"):
        # The converter would write a vocabulary without scores, and the GGUF would split text differently.
        return "it is a SentencePiece tokenizer, and tokenizer.model is missing"
    return "" if pretokenizer_known(tokenizer_json) else "llama.cpp's converter does not recognize its pre-tokenizer"


def convert_command(
    script: Path, checkpoint: Path, out: Path, overrides: Path, *, vocabulary: bool = False
) -> list[str]:
    """The command line that converts a checkpoint folder to one F16 GGUF file, or its `vocabulary` alone, which needs
    no weights.

    `overrides` is a JSON file of `general.*` metadata that replaces what the converter derives.
    """
    return [sys.executable, str(script), str(checkpoint), "--outfile", str(out), "--outtype", "f16",
            "--metadata", str(overrides), *(["--vocab-only"] if vocabulary else [])]  # fmt: skip


def run_converter(checkpoint: Path, out: Path, overrides: Path, *, vocabulary: bool = False) -> None:
    """Convert in a process of its own, offline and without the Hub token; raises what `child.call` raises."""
    command = convert_command(converter(), checkpoint, out, overrides, vocabulary=vocabulary)
    child.call(convert_hf_to_gguf, command[1:], imports_torch=True)


def convert_hf_to_gguf(script: Sequence[str]) -> None:
    """Be the converter: run a script with its arguments in this process, which ends with it if it fails."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)  # not as an error, which it might catch
    sys.argv[:] = script
    sys.path.insert(0, str(Path(script[0]).parent))
    code: object = 0
    try:
        runpy.run_path(script[0], run_name="__main__")
    except SystemExit as error:
        code = error.code
    except Exception:
        traceback.print_exc()
        code = 1
    if not code:
        return
    if not isinstance(code, int):
        print(code)
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # without an outcome: the error then has the last lines that were printed, as of any tool


@contextlib.contextmanager
def growing(path: Path, expected: int) -> Iterator[None]:
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


def parsed_module(architecture: str) -> Sequence[ast.stmt]:
    """The source, parsed, of the converter's module for a known architecture."""
    module = _text_models().get(architecture)
    return _parsed(f"{module}.py").body if module else ()


def module_text(architecture: str) -> str:
    """The source of the converter's module for an architecture ('' for an unknown one)."""
    module = _text_models().get(architecture)
    return (converter().parent / "conversion" / f"{module}.py").read_text(encoding="utf-8") if module else ""


@functools.cache
def _text_models() -> dict[str, str]:
    """The converter's TEXT_MODEL_MAP: architecture -> module of `conversion`."""
    for node in ast.walk(_parsed("__init__.py")):
        if isinstance(node, ast.AnnAssign) and getattr(node.target, "id", "") == "TEXT_MODEL_MAP" and node.value:
            return dict(ast.literal_eval(node.value))
    raise PackagerError("The converter has no TEXT_MODEL_MAP.", "check version in vendor/llama.cpp.lock")


@functools.cache
def _pretokenizers() -> tuple[str, frozenset[str]]:
    """The check text of the converter's `get_vocab_base_pre`, and the hashes it knows."""
    text, hashes = "", set()
    for function in ast.walk(_parsed("base.py")):
        if not (isinstance(function, ast.FunctionDef) and function.name == "get_vocab_base_pre"):
            continue
        for node in ast.walk(function):
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "chktxt":
                text = ast.literal_eval(node.value)
            elif isinstance(node, ast.Compare) and getattr(node.left, "id", "") == "chkhsh":
                hashes.add(ast.literal_eval(node.comparators[0]))
    if not (text and hashes):
        raise PackagerError("The converter has no get_vocab_base_pre.", "check version in vendor/llama.cpp.lock")
    return text, frozenset(hashes)


def _parsed(name: str) -> ast.Module:
    return ast.parse((converter().parent / "conversion" / name).read_text(encoding="utf-8"))
