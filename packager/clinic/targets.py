"""The kinds of machines that a bundle has programs for, and what makes the compiler build for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_AVX2 = {f"GGML_{name}": "ON" for name in ("SSE42", "AVX", "AVX2", "FMA", "F16C", "BMI2")} | {
    f"GGML_{name}": "OFF"
    for name in ("AVX_VNNI", "AVX512", "AVX512_VBMI", "AVX512_VNNI", "AVX512_BF16", "AMX_TILE", "AMX_INT8", "AMX_BF16")
}
_AVX2_FEATURES = ("sse4_2", "avx", "avx2", "fma", "f16c", "bmi2")


@dataclass(frozen=True)
class Target:
    """A kind of machine that a server is built for."""

    name: str
    triple: str
    """As zig names it."""
    system: str
    processor: str
    """As CMake names them."""
    options: Mapping[str, str]
    cpu_features: tuple[str, ...]
    """What the machine must have, as /proc/cpuinfo names it."""
    compiler_flags: tuple[str, ...] = ()
    suffix: str = ""

    @property
    def binary(self) -> str:
        return f"llama-server{self.suffix}"


TARGETS = {
    target.name: target
    for target in (
        Target("windows-x86_64", "x86_64-windows-gnu", "Windows", "x86_64", _AVX2, _AVX2_FEATURES, suffix=".exe"),
        Target("linux-x86_64", "x86_64-linux-musl", "Linux", "x86_64", _AVX2, _AVX2_FEATURES),
        # zig knows no -march=armv8-a, which GGML_CPU_ARM_ARCH would become; its generic CPU is just that.
        Target("linux-arm64", "aarch64-linux-musl", "Linux", "aarch64", {"GGML_CPU_ARM_ARCH": ""}, ("asimd",),
               compiler_flags=("-mcpu=generic",)),
    )
}  # fmt: skip
"""The clinic's usual machine comes first."""
