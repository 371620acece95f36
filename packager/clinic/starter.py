"""`source/*.c` and the search of `packager/knowledge/source` -> `clinica`, the program behind the clinic's scripts.

It runs on every 64-bit processor of its kind, whatever the server needs, so that it can say what is missing. Kept
in a folder named by the hash of source, flags and compiler. Fails with `MissingResource` without the ziglang wheel,
`StageCrash` with the compiler's words.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from packager import __version__
from packager.artifacts.files import fresh, key_of, sha256_of
from packager.clinic import version_resource
from packager.clinic.targets import Target
from packager.errors import MissingResource, StageCrash
from packager.knowledge import engine
from packager.process import child

SOURCES = tuple(sorted(Path(__file__).with_name("source").glob("*.[ch]")))
FLAGS = (*engine.FLAGS, "-Wall", "-Wextra", "-Werror")
"""Those of the search, which computes the same bits here as in the build."""
DESCRIPTION = "Assistente (packager)"
"""What Windows calls it: in its firewall's question, and in the file's properties."""
SECONDS = 1800.0
"""zig builds its C library for a target the first time."""


def built(target: Target, folder: Path) -> Path:
    """The program for `target`, compiled into `folder` unless it is there."""
    zig = _zig()
    source = [*(sha256_of(path) for path in SOURCES), *engine.fingerprint()]
    key = key_of(source, FLAGS, target.triple, target.compiler_flags, zig.stat().st_size, __version__)
    home = folder / f"clinica-{target.name}-{key[:16]}"
    program = home / name(target)
    if program.is_file():
        return program
    partial = fresh(folder / f"{home.name}.partial")
    cache = {f"ZIG_{which}_CACHE_DIR": str((folder / "zig-cache").resolve()) for which in ("GLOBAL", "LOCAL")}
    command = [str(zig), "cc", "-target", target.triple, *target.compiler_flags, "-static", "-s"]
    if target.system == "Windows":
        command.append(str(version_resource.compiled(zig, partial, name(target), DESCRIPTION, __version__)))
    child.run(command + compile_arguments(partial / name(target), target.system), env=cache, timeout=SECONDS)
    if not (partial / name(target)).is_file():
        raise StageCrash(f"The compiler made no {name(target)} for {target.name}.", "this is our bug: please report it")
    partial.rename(home)
    return program


def name(target: Target) -> str:
    """What it is called in `runtime/<target>/`."""
    return f"clinica{target.suffix}"


def compile_arguments(out: Path, system: str) -> list[str]:
    """What any C compiler has to be told, after the machine to compile for."""
    libraries = ["-lws2_32", "-lshell32"] if system == "Windows" else ["-lm"]
    search = engine.compile_arguments(windows=system == "Windows")
    return [*FLAGS, f'-DCLINICA_VERSION="{__version__}"', *_sources(), *search, "-o", str(out), *libraries]


def _sources() -> Sequence[str]:
    return [str(path) for path in SOURCES if path.suffix == ".c"]


def _zig() -> Path:
    found = importlib.util.find_spec("ziglang")
    if found is None or found.origin is None:
        raise MissingResource(
            "The clinic's start program cannot be compiled here: ziglang is not installed.",
            "pip install -c constraints.txt -e '.[runtime]'",
        )
    return Path(found.origin).with_name("zig")
