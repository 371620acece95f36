"""llama-server for clinics: every flag is stated, what was built is found again, and only as it was built."""

from __future__ import annotations

import itertools
import json
import struct
from pathlib import Path

import pytest

from packager.artifacts.files import sha256_of
from packager.clinic import cross_compile, program_kind, version_resource
from packager.clinic.compile_work import AGAIN, Work
from packager.clinic.targets import TARGETS, Target
from packager.errors import MissingResource, StageCrash
from packager.llamacpp import vendored
from packager.llamacpp.vendored import VENDOR
from packager.process import progress
from packager.recipe.loading import ROOT

TOOLS = {"cmake": Path("/w/cmake"), "ninja": Path("/w/ninja"), "ziglang": Path("/w/zig")}


def options(name: str, variant: int = 0) -> dict[str, str]:
    target = TARGETS[name]
    command = cross_compile.configure_command(target, target.variants[variant], TOOLS, Path("/src"), Path("/made"))
    assert command[:7] == ["/w/cmake", "-S", "/src", "-B", "/made/out", "-G", "Ninja"]
    return dict(word.removeprefix("-D").split("=", 1) for word in command[7:])


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_is_taken_from_the_building_machine(name: str) -> None:
    stated = options(name)
    off = ("GGML_NATIVE", "GGML_OPENMP", "BUILD_SHARED_LIBS", "LLAMA_OPENSSL", "LLAMA_USE_PREBUILT_UI",
           "LLAMA_SUBPROCESS")  # fmt: skip
    assert {stated[option] for option in off} == {"OFF"}
    resource = " /made/tools/version.res" if name.startswith("windows") else ""
    assert stated["CMAKE_EXE_LINKER_FLAGS"] == f"-static{resource}"
    assert stated["CMAKE_C_FLAGS"] == stated["CMAKE_CXX_FLAGS"] == "-ffile-prefix-map=/src=llama.cpp"
    assert len(stated["LLAMA_BUILD_COMMIT"]) == 9  # else that of the repository around the source
    assert vendored.commit().startswith(stated["LLAMA_BUILD_COMMIT"])
    assert stated["GIT_EXE"] == "OFF"  # ggml's own look-up of a commit
    assert stated["LLAMA_BUILD_NUMBER"] == "0"
    assert stated["CMAKE_TOOLCHAIN_FILE"] == str(ROOT / "vendor" / "zig-toolchain.cmake")


@pytest.mark.parametrize("name", ["windows-x86_64", "linux-x86_64"])
@pytest.mark.parametrize(
    ("variant", "sets", "features"),
    [
        (0, "SSE42 AVX AVX2 FMA F16C BMI2", ("sse4_2", "avx", "avx2", "fma", "f16c", "bmi2")),
        (1, "SSE42 AVX", ("sse4_2", "avx")),
        (2, "SSE42", ("sse4_2",)),
    ],
)
def test_every_x86_feature_that_llamacpp_knows_is_stated(
    name: str, variant: int, sets: str, features: tuple[str, ...]
) -> None:
    stated = options(name, variant)
    on = {option for option, value in stated.items() if value == "ON"}
    assert on - {"GGML_LLAMAFILE", "GGML_CPU_REPACK"} == {f"GGML_{one}" for one in sets.split()}
    assert TARGETS[name].variants[variant].cpu_features == features
    lists = VENDOR / "llama.cpp" / "ggml" / "CMakeLists.txt"
    if not lists.is_file():
        pytest.skip("vendor/llama.cpp is not fetched: make setup")
    words = lists.read_text(encoding="utf-8").replace("(", " ").split()
    known = {
        w for w in words if w.startswith(("GGML_AVX", "GGML_SSE", "GGML_AMX", "GGML_FMA", "GGML_F16C", "GGML_BMI"))
    }
    assert known <= stated.keys()


@pytest.mark.parametrize("target", TARGETS.values(), ids=lambda target: target.name)
def test_a_later_variant_asks_for_less(target: Target) -> None:
    """The start program takes the first that fits; and nothing but ggml-cpu is compiled again for the next."""
    for better, next_best in itertools.pairwise(target.variants):
        assert set(next_best.cpu_features) < set(better.cpu_features)
        assert better.options.keys() == next_best.options.keys()


def test_the_last_arm_program_is_for_every_64_bit_arm() -> None:
    architectures = [options("linux-arm64", i)["GGML_CPU_ARM_ARCH"] for i in range(3)]
    assert architectures == ["generic+dotprod+i8mm", "generic+dotprod", "generic"]
    assert [v.cpu_features[1:] for v in TARGETS["linux-arm64"].variants] == [("asimddp", "i8mm"), ("asimddp",), ()]
    assert TARGETS["linux-arm64"].compiler_flags == ("-mcpu=generic",)


def test_the_compilers_are_wrapped_for_the_target(tmp_path: Path) -> None:
    cross_compile._wrap_compilers(TARGETS["linux-arm64"], Path("/my tools/zig"), tmp_path / "tools")
    assert sorted(p.name for p in (tmp_path / "tools").iterdir()) == ["ar", "c++", "cc", "ranlib", "rc"]
    written = (tmp_path / "tools" / "c++").read_text()
    assert written == "#!/bin/sh\nexec '/my tools/zig' c++ -target aarch64-linux-musl -s -mcpu=generic \"$@\"\n"


def put(home: Path, target: Target) -> tuple[Path, ...]:
    """Programs that are none, and their record."""
    home.mkdir()
    paths = tuple(home / target.binary(variant) for variant in target.variants)
    for path in paths:
        path.write_bytes(path.name.encode())
    (home / "LICENCES.txt").write_text("MIT")
    (home / "server.json").write_text(json.dumps({"sha256": {path.name: sha256_of(path) for path in paths}}))
    return paths


def test_what_was_built_is_found_as_long_as_it_is_as_it_was(tmp_path: Path) -> None:
    target = TARGETS["linux-x86_64"]
    assert cross_compile.built(target, tmp_path) is None
    paths = put(tmp_path / cross_compile.server_key(target), target)
    assert cross_compile.built(target, tmp_path) == paths
    found = cross_compile.servers([target.name], tmp_path, jobs=1, required=True)
    assert found.binaries == {target.name: tuple(f"{path.parent.name}/{path.name}" for path in paths)}
    paths[-1].write_bytes(b"another program")
    assert cross_compile.built(target, tmp_path) is None


def test_what_an_interrupted_try_has_finished_is_not_compiled_again(tmp_path: Path) -> None:
    target = TARGETS["linux-x86_64"]
    put(tmp_path / f"{cross_compile.server_key(target)}.partial", target)[1].unlink()
    lacking = cross_compile._to_compile(target, tmp_path)
    assert [variant.name for variant in lacking] == ["avx"]
    assert Work.of([(target, variant) for variant in lacking]).total == sum(AGAIN)
    assert cross_compile.built(target, tmp_path) is None


def test_progress_is_of_all_programs(tmp_path: Path) -> None:
    """The first program of a target is nearly all the work, and no target begins at nothing again."""
    work = Work.of([(target, variant) for target in TARGETS.values() for variant in target.variants])
    assert work.programs == sum(len(target.variants) for target in TARGETS.values())
    told: list[float] = []
    with progress.route(lambda event: told.append(event["done"])):
        for name in list(work.seconds):
            with work.step(name) as step:
                step.configuring()
                for line in ("[1/4] Building", "[4/4] Linking", "no step"):
                    cross_compile._ninja(line, step)
    assert told == sorted(told)
    assert (round(told[0], 3), round(told[-1], 3)) == (0, 100)


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
        program_kind.check(path, TARGETS[name], Path("/home/me/llama.cpp"))
        return
    with pytest.raises(StageCrash):
        program_kind.check(path, TARGETS[name], Path("/home/me/llama.cpp"))


def test_a_windows_program_says_whose_it_is() -> None:
    script = version_resource.text("clinica.exe", "Assistente", "0.3.0")
    assert "FILEVERSION 0,3,0,0\n" in script
    assert 'VALUE "OriginalFilename", "clinica.exe"' in script
    assert "FILEVERSION 20261125,2155" not in version_resource.text("a", "b", "20261125.2155")  # 16 bits each
