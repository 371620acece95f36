"""The kinds of machines that a bundle has programs for, and what makes the compiler build for them.

One program runs on every processor of a kind only if it does without what the newer ones are fast by. So a target has
variants: the same source, of which `ggml-cpu` alone is compiled for other instructions. The clinic's start program
asks the processor and takes the first variant that it can run (source/cpu.c).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_X86 = ("SSE42", "AVX", "AVX2", "FMA", "F16C", "BMI2", "AVX_VNNI", "AVX512", "AVX512_VBMI", "AVX512_VNNI",
        "AVX512_BF16", "AMX_TILE", "AMX_INT8", "AMX_BF16")  # fmt: skip
"""Every instruction set of x86-64 that llama.cpp has an option for; each variant states them all."""


@dataclass(frozen=True)
class Variant:
    """One program for a target."""

    name: str
    options: Mapping[str, str]
    """Of CMake; they may concern `ggml-cpu` alone, since nothing else is compiled anew for a variant."""
    cpu_features: tuple[str, ...]
    """What the processor must have, as /proc/cpuinfo names it."""


def _x86(name: str, *sets: str) -> Variant:
    options = {f"GGML_{one}": "ON" if one in sets else "OFF" for one in _X86}
    return Variant(name, options, tuple("sse4_2" if one == "SSE42" else one.lower() for one in sets))


def _arm(name: str, *features: str, architecture: str) -> Variant:
    return Variant(name, {"GGML_CPU_ARM_ARCH": architecture}, ("asimd", *features))


X86_VARIANTS = (
    _x86("avx2", "SSE42", "AVX", "AVX2", "FMA", "F16C", "BMI2"),
    _x86("avx", "SSE42", "AVX"),
    _x86("sse42", "SSE42"),
)
"""Intel since 2013 and AMD since 2015; Intel since 2011; the rest since 2009, and the Celerons and Pentiums of the
N and J series until 2021."""
ARM_VARIANTS = (
    # zig knows no -march=armv8.2-a and takes -march for its own names; its generic CPU is armv8-a.
    _arm("i8mm", "asimddp", "i8mm", architecture="generic+dotprod+i8mm"),
    _arm("dotprod", "asimddp", architecture="generic+dotprod"),
    _arm("generic", architecture="generic"),
)
"""Cortex-A710, Neoverse N2 and later; Cortex-A76 (Raspberry Pi 5) and later; any 64-bit ARM."""


@dataclass(frozen=True)
class Target:
    """A kind of machine that servers are built for."""

    name: str
    triple: str
    """As zig names it."""
    system: str
    processor: str
    """As CMake names them."""
    variants: tuple[Variant, ...]
    """The fastest first."""
    compiler_flags: tuple[str, ...] = ()
    suffix: str = ""

    def binary(self, variant: Variant) -> str:
        """What the program of a variant is called."""
        return f"llama-server-{variant.name}{self.suffix}"


TARGETS = {
    target.name: target
    for target in (
        Target("windows-x86_64", "x86_64-windows-gnu", "Windows", "x86_64", X86_VARIANTS, suffix=".exe"),
        Target("linux-x86_64", "x86_64-linux-musl", "Linux", "x86_64", X86_VARIANTS),
        Target("linux-arm64", "aarch64-linux-musl", "Linux", "aarch64", ARM_VARIANTS,
               compiler_flags=("-mcpu=generic",)),
    )
}  # fmt: skip
"""The clinic's usual machine comes first."""
