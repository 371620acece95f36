"""llama-server for clinics: every flag is stated, what was built is found again, and only as it was built."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from packager.artifacts.files import sha256_of
from packager.clinic import cross_compile
from packager.clinic.targets import TARGETS
from packager.errors import MissingResource, StageCrash
from packager.llamacpp import vendored
from packager.llamacpp.vendored import VENDOR
from packager.recipe.loading import ROOT

TOOLS = {"cmake": Path("/w/cmake"), "ninja": Path("/w/ninja"), "ziglang": Path("/w/zig")}


def options(name: str) -> dict[str, str]:
    command = cross_compile.configure_command(TARGETS[name], TOOLS, Path("/src"), Path("/made"))
    assert command[:7] == ["/w/cmake", "-S", "/src", "-B", "/made/out", "-G", "Ninja"]
    return dict(word.removeprefix("-D").split("=", 1) for word in command[7:])


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_is_taken_from_the_building_machine(name: str) -> None:
    stated = options(name)
    off = ("GGML_NATIVE", "GGML_OPENMP", "BUILD_SHARED_LIBS", "LLAMA_OPENSSL", "LLAMA_USE_PREBUILT_UI",
           "LLAMA_SUBPROCESS")  # fmt: skip
    assert {stated[option] for option in off} == {"OFF"}
    assert stated["CMAKE_EXE_LINKER_FLAGS"] == "-static"
    assert stated["CMAKE_C_FLAGS"] == stated["CMAKE_CXX_FLAGS"] == "-ffile-prefix-map=/src=llama.cpp"
    assert len(stated["LLAMA_BUILD_COMMIT"]) == 9  # else that of the repository around the source
    assert vendored.commit().startswith(stated["LLAMA_BUILD_COMMIT"])
    assert stated["LLAMA_BUILD_NUMBER"] == "0"
    assert stated["CMAKE_TOOLCHAIN_FILE"] == str(ROOT / "vendor" / "zig-toolchain.cmake")


@pytest.mark.parametrize("name", ["windows-x86_64", "linux-x86_64"])
def test_every_x86_feature_that_llamacpp_knows_is_stated(name: str) -> None:
    stated = options(name)
    on = {option for option, value in stated.items() if value == "ON"}
    assert on - {"GGML_LLAMAFILE", "GGML_CPU_REPACK"} == {
        "GGML_SSE42", "GGML_AVX", "GGML_AVX2", "GGML_FMA", "GGML_F16C", "GGML_BMI2"
    }  # fmt: skip
    lists = VENDOR / "llama.cpp" / "ggml" / "CMakeLists.txt"
    if not lists.is_file():
        pytest.skip("vendor/llama.cpp is not fetched: make setup")
    words = lists.read_text(encoding="utf-8").replace("(", " ").split()
    known = {
        w for w in words if w.startswith(("GGML_AVX", "GGML_SSE", "GGML_AMX", "GGML_FMA", "GGML_F16C", "GGML_BMI"))
    }
    assert known <= stated.keys()
    assert TARGETS[name].cpu_features == ("sse4_2", "avx", "avx2", "fma", "f16c", "bmi2")


def test_arm_is_for_every_64_bit_arm() -> None:
    assert options("linux-arm64")["GGML_CPU_ARM_ARCH"] == ""
    assert TARGETS["linux-arm64"].compiler_flags == ("-mcpu=generic",)


def test_the_compilers_are_wrapped_for_the_target(tmp_path: Path) -> None:
    cross_compile._wrap_compilers(TARGETS["linux-arm64"], Path("/my tools/zig"), tmp_path / "tools")
    assert sorted(p.name for p in (tmp_path / "tools").iterdir()) == ["ar", "c++", "cc", "ranlib", "rc"]
    written = (tmp_path / "tools" / "c++").read_text()
    assert written == "#!/bin/sh\nexec '/my tools/zig' c++ -target aarch64-linux-musl -s -mcpu=generic \"$@\"\n"


def test_what_was_built_is_found_as_long_as_it_is_as_it_was(tmp_path: Path) -> None:
    target = TARGETS["linux-x86_64"]
    assert cross_compile.built(target, tmp_path) is None
    home = tmp_path / cross_compile.server_key(target)
    home.mkdir()
    (home / target.binary).write_bytes(b"program")
    (home / "LICENCES.txt").write_text("MIT")
    (home / "server.json").write_text(json.dumps({"sha256": sha256_of(home / target.binary)}))
    assert cross_compile.built(target, tmp_path) == home / target.binary
    found = cross_compile.servers([target.name], tmp_path, jobs=1, required=True)
    assert found.binaries == {target.name: f"{home.name}/llama-server"}
    (home / target.binary).write_bytes(b"Program")
    assert cross_compile.built(target, tmp_path) is None


def test_the_key_follows_source_flags_and_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {cross_compile.server_key(target) for target in TARGETS.values()}
    assert len(keys) == len(TARGETS)
    monkeypatch.setitem(cross_compile.OPTIONS, "GGML_LLAMAFILE", "OFF")
    assert not keys & {cross_compile.server_key(target) for target in TARGETS.values()}


def test_what_cannot_be_built_here_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cross_compile.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingResource, match="cmake, ninja, ziglang not installed") as caught:
        cross_compile.servers(["linux-arm64"], tmp_path, jobs=1, required=True)
    assert "make runtime" in caught.value.fix
    with pytest.raises(MissingResource, match="no server for any machine"):
        cross_compile.servers(list(TARGETS), tmp_path, jobs=1, required=False)


def elf(machine: int, *kinds: int) -> bytes:
    """The head of a 64-bit ELF program with program headers of these kinds."""
    head = bytearray(64)
    head[:5] = b"\x7fELF\x02"
    struct.pack_into("<H", head, 18, machine)
    struct.pack_into("<Q", head, 32, 64)
    struct.pack_into("<HH", head, 54, 56, len(kinds))
    return bytes(head) + b"".join(struct.pack("<I52x", kind) for kind in kinds)


def pe(machine: int) -> bytes:
    return b"MZ".ljust(60, b"\0") + struct.pack("<I", 64) + b"PE\0\0" + struct.pack("<H", machine)


@pytest.mark.parametrize(
    ("name", "data", "right"),
    [
        ("linux-x86_64", elf(0x3E, 1, 1), True),
        ("linux-x86_64", elf(0x3E, 1, 3), False),  # needs a loader
        ("linux-x86_64", elf(0xB7, 1), False),
        ("linux-arm64", elf(0xB7, 1), True),
        ("windows-x86_64", pe(0x8664), True),
        ("windows-x86_64", pe(0x14C), False),
        ("windows-x86_64", elf(0x3E), False),
        ("linux-x86_64", elf(0x3E, 1) + b"/home/me/llama.cpp/src", False),
    ],
)
def test_a_program_of_another_kind_is_refused(tmp_path: Path, name: str, data: bytes, right: bool) -> None:
    path = tmp_path / "llama-server"
    path.write_bytes(data)
    if right:
        cross_compile._check_kind(path, TARGETS[name], Path("/home/me/llama.cpp"))
        return
    with pytest.raises(StageCrash):
        cross_compile._check_kind(path, TARGETS[name], Path("/home/me/llama.cpp"))
