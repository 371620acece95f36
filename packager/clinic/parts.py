"""The programs of a bundle -> parts of its bill of materials: source, compiler, flags, licence."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata

from packager.clinic import cross_compile, starter
from packager.clinic.targets import Target
from packager.llamacpp.vendored import lock
from packager.package.bom import Part


def programs(targets: Sequence[Target], sums: Mapping[str, str]) -> Iterator[Part]:
    """Each target's servers, a variant each, and the program that starts them; `sums` are the bundle's checksums."""
    try:
        compiler = f"zig {metadata.version('ziglang')} (clang)"
    except metadata.PackageNotFoundError:
        compiler = "zig"
    yield Part("musl", "library", "musl and mingw-w64 libraries of zig", licence="mit",
               says="Linked into the programs, with libc++ and libunwind; texts in LICENCES.txt.")  # fmt: skip
    for target in targets:
        common = {"compiler": compiler, "target": target.triple}
        flags = " ".join((*cross_compile.ALWAYS, *target.compiler_flags))
        for variant in target.variants:
            server = f"runtime/{target.name}/{target.binary(variant)}"
            options = json.dumps(cross_compile.OPTIONS | dict(variant.options), sort_keys=True)
            facts = {**common, "cpu": ", ".join(variant.cpu_features), "flags": flags, "cmake": options}
            if server in sums:
                yield Part(f"file:{server}", "program", server, lock().commit, "mit", sums[server],
                           "llama-server: runs the model.", facts, ("llama.cpp", "musl"))  # fmt: skip
        front = f"runtime/{target.name}/{starter.name(target)}"
        if front in sums:
            own = " ".join((*target.compiler_flags, "-static", "-s", *starter.FLAGS))
            yield Part(f"file:{front}", "program", front, licence="apache-2.0", sha256=sums[front],
                       says="Checks the files, starts the server, serves the page.", facts={**common, "flags": own},
                       made_of=("musl",))  # fmt: skip
