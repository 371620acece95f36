"""llama.cpp's source -> `llama-server` for the machines of clinics, cross-compiled and portable.

The ziglang wheel's compiler, cmake and ninja (extra `runtime`) make one static binary a target, with every
CPU feature stated. It is kept in a folder named by the hash of source, flags and tools, written aside and
renamed. Fails with `MissingResource` where the tools are not installed, `StageCrash` with the compiler's
last lines.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import importlib.util
import json
import re
import shlex
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path

from packager.artifacts.files import key_of, sha256_of, write_json
from packager.artifacts.kinds import Servers
from packager.clinic.targets import TARGETS, Target
from packager.errors import MissingResource, StageCrash
from packager.llamacpp.vendored import VENDOR, converter, lock
from packager.process import child, progress

TOOLS = ("cmake", "ninja", "ziglang")
TOOLCHAIN = VENDOR / "zig-toolchain.cmake"
RECORD = "server.json"
LICENCES = "LICENCES.txt"
"""Beside the binary: what the authors of its parts ask to be passed on."""
INSTALL = "make runtime, or .venv/bin/pip install -c constraints.txt -e '.[runtime]'"
BUILD_SECONDS = 3 * 3600.0
_PT_INTERP = 3
"""The ELF program header that asks for a dynamic loader."""
OPTIONS = {
    "CMAKE_BUILD_TYPE": "Release",
    "CMAKE_EXE_LINKER_FLAGS": "-static",
    "BUILD_SHARED_LIBS": "OFF",
    "GGML_NATIVE": "OFF",
    "GGML_OPENMP": "OFF",
    "GGML_CCACHE": "OFF",
    "GGML_LLAMAFILE": "ON",
    "GGML_CPU_REPACK": "ON",
    "GGML_BACKEND_DL": "OFF",
    "LLAMA_OPENSSL": "OFF",
    "LLAMA_SUBPROCESS": "OFF",
    "LLAMA_BUILD_UI": "OFF",
    "LLAMA_USE_PREBUILT_UI": "OFF",
    "LLAMA_BUILD_TESTS": "OFF",
    "LLAMA_BUILD_EXAMPLES": "OFF",
    "LLAMA_BUILD_APP": "OFF",
}
"""No TLS, no page of its own, no processes started: it answers on one port and does nothing else."""
ALWAYS = ("-s",)
"""For every compiler call, CMake's trials included: zig builds its C libraries anew for unstripped programs."""


@contextlib.contextmanager
def compiling(folder: Path) -> Iterator[None]:
    """Hold `folder` for the block; another build that needs the same programs waits for them."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def servers(names: Sequence[str], folder: Path, *, jobs: int, required: bool) -> Servers:
    """The servers for these targets, built into `folder` where they are not there yet; `jobs` compilers run
    at once. Unless they are `required`, one that cannot be built here is left out, with a note."""
    binaries, hashes = {}, []
    for name in names:
        target = TARGETS[name]
        try:
            path = built(target, folder) or build_server(target, folder, jobs)
        except MissingResource as error:
            if required:
                raise
            progress.note(f"{name}: left out; there Ollama remains the way. {error.message}")
            continue
        binaries[name] = path.relative_to(folder).as_posix()
        hashes.append((name, sha256_of(path)))
    if not binaries:
        raise MissingResource("There is no server for any machine.", INSTALL)
    return Servers(folder=folder, content=key_of(hashes), binaries=binaries)


def built(target: Target, folder: Path) -> Path | None:
    """The server of this source and these flags in `folder`, if it was built and is as it was written."""
    home = folder / server_key(target)
    try:
        sha256 = str(json.loads((home / RECORD).read_text(encoding="utf-8"))["sha256"])
        intact = sha256_of(home / target.binary) == sha256 and (home / LICENCES).is_file()
    except (OSError, ValueError, KeyError):
        return None
    return home / target.binary if intact else None


def build_server(target: Target, folder: Path, jobs: int) -> Path:
    """Compile the server for `target` into `folder`; returns where it is. What an interrupted try has compiled
    is kept: the folder's name says that source, flags and tools are the same."""
    tools = _tools()
    source = converter().parent
    key = server_key(target)
    partial = folder / f"{key}.partial"
    partial.mkdir(parents=True, exist_ok=True)
    log = folder / f"{key}.log"
    log.unlink(missing_ok=True)
    began = time.monotonic()
    _wrap_compilers(target, tools["ziglang"], partial / "tools")
    # zig builds its C and C++ libraries for each target once; targets share them.
    cache = {f"ZIG_{which}_CACHE_DIR": str((folder / "zig-cache").resolve()) for which in ("GLOBAL", "LOCAL")}
    progress.note(f"{target.name}: asking the compiler what it can do")
    configure = configure_command(target, tools, source, partial.resolve())
    child.run(configure, log=log, env=cache, timeout=BUILD_SECONDS)
    compiling: list[str | Path] = [tools["ninja"], "-C", partial / "out", "-j", str(jobs), "llama-server"]
    child.run(compiling, log=log, env=cache, timeout=BUILD_SECONDS, watch=_show(target))
    binary = partial / "out" / "bin" / target.binary
    if not binary.is_file():
        raise StageCrash(f"The compiler made no {target.binary} for {target.name}.", f"see {log}")
    _check_kind(binary, target, source)
    (partial / LICENCES).write_text(_licences(source, tools["ziglang"].parent / "lib", target), encoding="utf-8")
    return _commit(target, binary, partial, folder / key, time.monotonic() - began)


def server_key(target: Target) -> str:
    """The hash of everything that decides the binary's bytes."""
    parts = (lock().sha256, OPTIONS, dict(target.options), target.triple, ALWAYS + target.compiler_flags)
    return key_of(*parts, sha256_of(TOOLCHAIN), {name: _version(name) for name in TOOLS})[:16]


def configure_command(target: Target, tools: Mapping[str, Path], source: Path, work: Path) -> list[str]:
    """The command line of cmake: every option stated, no path of this machine in the binary."""
    flags = f"-ffile-prefix-map={source.resolve()}=llama.cpp"
    options = {
        # Stated, or llama.cpp would take those of whatever git repository its source lies in.
        "LLAMA_BUILD_NUMBER": "0",
        "LLAMA_BUILD_COMMIT": lock().commit[:9],
        "CMAKE_MAKE_PROGRAM": str(tools["ninja"]),
        "CMAKE_TOOLCHAIN_FILE": str(TOOLCHAIN.resolve()),
        "ZIG_TOOLS": str(work / "tools"),
        "ZIG_SYSTEM": target.system,
        "ZIG_CPU": target.processor,
        "CMAKE_C_FLAGS": flags,
        "CMAKE_CXX_FLAGS": flags,
        **OPTIONS,
        **target.options,
    }
    command = [str(tools["cmake"]), "-S", str(source), "-B", str(work / "out"), "-G", "Ninja"]
    return command + [f"-D{name}={value}" for name, value in options.items()]


def missing_tools() -> list[str]:
    """What has to be installed before a server can be built here."""
    return [name for name in TOOLS if importlib.util.find_spec(name) is None]


def _tools() -> dict[str, Path]:
    """The programs inside the wheels; raises `MissingResource`."""
    if missing := missing_tools():
        raise MissingResource(
            f"No server for clinics can be built here: {', '.join(missing)} not installed.",
            INSTALL,
        )
    cmake, ninja, zig = (importlib.import_module(name) for name in TOOLS)
    return {
        "cmake": Path(cmake.CMAKE_BIN_DIR, "cmake"),
        "ninja": Path(ninja.BIN_DIR, "ninja"),
        "ziglang": Path(str(zig.__file__)).with_name("zig"),
    }


def _wrap_compilers(target: Target, zig: Path, folder: Path) -> None:
    """Programs with the names CMake expects, each of which is a subcommand of zig."""
    folder.mkdir(exist_ok=True)
    for name in ("cc", "c++", "ar", "ranlib", "rc"):
        words = [str(zig), name]
        if name in ("cc", "c++"):
            words += ["-target", target.triple, *ALWAYS, *target.compiler_flags]
        wrapper = folder / name
        wrapper.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n', encoding="utf-8")
        wrapper.chmod(0o755)


def _show(target: Target) -> Callable[[str], None]:
    """ninja's `[12/300] …` as progress."""

    def show(line: str) -> None:
        if found := re.match(r"\[(\d+)/(\d+)\]", line):
            progress.update(int(found[1]), int(found[2]), "compiled", target=target.name)

    return show


def _check_kind(binary: Path, target: Target, source: Path) -> None:
    """That it is a program for the target, needs no loader, and tells nothing of this machine."""
    data = binary.read_bytes()
    if target.system == "Windows":
        at = int.from_bytes(data[0x3C:0x40], "little")
        right = data[:2] == b"MZ" and data[at : at + 6] == b"PE\0\0\x64\x86"
    else:
        machine = {"x86_64": 0x3E, "aarch64": 0xB7}[target.processor]
        right = data[:5] == b"\x7fELF\x02" and int.from_bytes(data[18:20], "little") == machine
        start, size, count = (int.from_bytes(data[a:b], "little") for a, b in ((32, 40), (54, 56), (56, 58)))
        kinds = {int.from_bytes(data[start + i * size :][:4], "little") for i in range(count)}
        right = right and _PT_INTERP not in kinds
    if not right:
        raise StageCrash(f"{binary.name} is no static program for {target.name}.", "this is our bug: please report it")
    if str(source.resolve()).encode() in data:
        raise StageCrash(f"{binary.name} names a folder of this machine.", "this is our bug: please report it")


def _licences(source: Path, zig: Path, target: Target) -> str:
    """The licences of llama.cpp, of what it carries, and of the C and C++ libraries linked in."""
    libc = "libc/mingw/COPYING" if target.system == "Windows" else "libc/musl/COPYRIGHT"
    carried = [source / "LICENSE", *sorted((source / "licenses").iterdir()), *sorted(source.glob("vendor/*/LICENSE*"))]
    linked = [zig / name for name in (libc, "libcxx/LICENSE.TXT", "libunwind/LICENSE.TXT", "../LICENSE")]
    texts = [
        f"{'=' * 72}\n{path.resolve().relative_to(root.resolve())}\n{'=' * 72}\n\n{path.read_text(encoding='utf-8')}"
        for root, paths in ((source, carried), (zig.parent, linked))
        for path in paths
        if path.is_file()
    ]
    return "\n\n".join(texts)


def _commit(target: Target, binary: Path, partial: Path, home: Path, seconds: float) -> Path:
    """Keep the binary, forget what it was made of."""
    kept = partial / target.binary
    binary.rename(kept)
    for scratch in ("out", "tools"):
        shutil.rmtree(partial / scratch)
    sha256 = sha256_of(kept)
    size = kept.stat().st_size
    record = {"target": target.name, "commit": lock().commit, "sha256": sha256, "size": size}
    record |= {"seconds": round(seconds, 1), "options": OPTIONS | dict(target.options)}
    write_json(partial / RECORD, record)
    shutil.rmtree(home, ignore_errors=True)
    partial.rename(home)
    progress.note(f"{target.name}: {size / 1e6:.1f} MB in {progress.duration(seconds)}")
    return home / target.binary


def _version(distribution: str) -> str:
    """Installed version; '' if it is not (then nothing can have been built with it here)."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""
