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
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path

from packager.artifacts.files import key_of, sha256_of, write_json
from packager.artifacts.kinds import Servers
from packager.clinic import program_kind, version_resource
from packager.clinic.compile_work import Step, Work
from packager.clinic.targets import TARGETS, Target, Variant
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
PRODUCT = "llama.cpp server"
"""What Windows calls it."""
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
    "GIT_EXE": "OFF",  # else ggml takes the commit of the git repository around it into the programs
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
    lacking = [TARGETS[name] for name in names if not built(TARGETS[name], folder)]
    work = Work.of([(target, variant) for target in lacking for variant in _to_compile(target, folder)])
    if lacking and not missing_tools():
        progress.note(f"{work.programs} programs, about {progress.duration(work.total / jobs)} with {jobs} at once, "
                      "kept for later bundles; if interrupted, it goes on where it stopped")  # fmt: skip
    for name in names:
        target = TARGETS[name]
        try:
            paths = built(target, folder) or build_servers(target, folder, jobs, work)
        except MissingResource as error:
            if required:
                raise
            progress.note(f"{name}: left out; there Ollama remains the way. {error.message}")
            continue
        binaries[name] = tuple(path.relative_to(folder).as_posix() for path in paths)
        hashes.append((name, [sha256_of(path) for path in paths]))
    if not binaries:
        raise MissingResource("There is no server for any machine.", INSTALL)
    return Servers(folder=folder, content=key_of(hashes), binaries=binaries)


def built(target: Target, folder: Path) -> tuple[Path, ...] | None:
    """The servers of this source and these flags in `folder`, a variant each, if all are as they were written."""
    home = folder / server_key(target)
    try:
        record = json.loads((home / RECORD).read_text(encoding="utf-8"))["sha256"]
        paths = tuple(home / target.binary(variant) for variant in target.variants)
        intact = all(sha256_of(path) == record[path.name] for path in paths) and (home / LICENCES).is_file()
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return paths if intact else None


def build_servers(target: Target, folder: Path, jobs: int, work: Work) -> tuple[Path, ...]:
    """Compile the servers for `target` into `folder`, a variant after the other; returns where they are.

    Variants differ in the options of `ggml-cpu` alone, so that in one build folder only that is compiled again.
    What an interrupted try has compiled is kept: the folder's name says that source, flags and tools are the same.
    """
    tools = _tools()
    source = converter().parent.resolve()  # as -ffile-prefix-map names it, or its path would stand in the programs
    key = server_key(target)
    partial = folder / f"{key}.partial"
    partial.mkdir(parents=True, exist_ok=True)
    log = folder / f"{key}.log"
    log.unlink(missing_ok=True)
    _wrap_compilers(target, tools["ziglang"], partial / "tools")
    for variant in _to_compile(target, folder):
        began = time.monotonic()
        binary = _compile(target, variant, tools, source, partial, log, jobs, work)
        program_kind.check(binary, target, source)
        binary.rename(partial / target.binary(variant))
        took = progress.duration(time.monotonic() - began)
        size = (partial / target.binary(variant)).stat().st_size
        progress.note(f"{target.name}, {variant.name}: {size / 1e6:.1f} MB in {took}")
    (partial / LICENCES).write_text(_licences(source, tools["ziglang"].parent / "lib", target), encoding="utf-8")
    return _commit(target, partial, folder / key)


def server_key(target: Target) -> str:
    """The hash of everything that decides the programs' bytes."""
    variants = [(variant.name, dict(variant.options)) for variant in target.variants]
    parts = (lock().sha256, OPTIONS, variants, target.triple, ALWAYS + target.compiler_flags, PRODUCT)
    return key_of(*parts, sha256_of(TOOLCHAIN), {name: _version(name) for name in TOOLS})[:16]


def _to_compile(target: Target, folder: Path) -> list[Variant]:
    """The variants that an interrupted try has not finished."""
    partial = folder / f"{server_key(target)}.partial"
    return [variant for variant in target.variants if not (partial / target.binary(variant)).is_file()]


def _compile(
    target: Target,
    variant: Variant,
    tools: Mapping[str, Path],
    source: Path,
    partial: Path,
    log: Path,
    jobs: int,
    work: Work,
) -> Path:
    """The server of one variant, as the compiler leaves it."""
    # zig builds its C and C++ libraries for each target once; targets share them.
    cache = {f"ZIG_{which}_CACHE_DIR": str((partial.parent / "zig-cache").resolve()) for which in ("GLOBAL", "LOCAL")}
    if target.system == "Windows":
        version_resource.compiled(tools["ziglang"], partial / "tools", "llama-server.exe", PRODUCT, lock().version)
    name = f"{target.name} {variant.name}"
    with work.step(name) as step:
        configure = configure_command(target, variant, tools, source, partial.resolve())
        child.run(configure, log=log, env=cache, timeout=BUILD_SECONDS, watch=lambda _: step.configuring())
        compiling: list[str | Path] = [tools["ninja"], "-C", partial / "out", "-j", str(jobs), "llama-server"]
        child.run(compiling, log=log, env=cache, timeout=BUILD_SECONDS, watch=lambda line: _ninja(line, step))
    binary = partial / "out" / "bin" / f"llama-server{target.suffix}"
    if not binary.is_file():
        raise StageCrash(f"The compiler made no server for {name}.", f"see {log}")
    return binary


def configure_command(
    target: Target, variant: Variant, tools: Mapping[str, Path], source: Path, work: Path
) -> list[str]:
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
        **variant.options,
    }
    if target.system == "Windows":
        options["CMAKE_EXE_LINKER_FLAGS"] += f" {work / 'tools' / 'version.res'}"
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


def _ninja(line: str, step: Step) -> None:
    """ninja's `[12/300] …` as progress."""
    if found := re.match(r"\[(\d+)/(\d+)\]", line):
        step.compiled(int(found[1]), int(found[2]))


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


def _commit(target: Target, partial: Path, home: Path) -> tuple[Path, ...]:
    """Keep the programs, forget what they were made of."""
    for scratch in ("out", "tools"):
        shutil.rmtree(partial / scratch, ignore_errors=True)
    names = [target.binary(variant) for variant in target.variants]
    record = {"target": target.name, "commit": lock().commit, "sha256": {n: sha256_of(partial / n) for n in names}}
    record |= {"options": OPTIONS, "variants": {v.name: dict(v.options) for v in target.variants}}
    write_json(partial / RECORD, record)
    shutil.rmtree(home, ignore_errors=True)
    partial.rename(home)
    return tuple(home / name for name in names)


def _version(distribution: str) -> str:
    """Installed version; '' if it is not (then nothing can have been built with it here)."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""
