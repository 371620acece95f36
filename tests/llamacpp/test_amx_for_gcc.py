"""vendor/amx-for-gcc.h: GCC keeps what the tile instructions read, which its own intrinsics let it drop."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

HEADER = Path(__file__).parents[2] / "vendor" / "amx-for-gcc.h"
FIRST_ARGUMENT = "%rdi"
PROGRAM = """
#include <cstdint>
#include <immintrin.h>
#define TMM0 0
struct config_t { uint8_t palette = 0, start = 0, reserved[14] = {}; uint16_t bytes[16] = {}; uint8_t rows[16] = {}; };
void configure(const uint16_t *given) {
    alignas(64) config_t config;
    config.palette = 1;
    for (int i = 0; i < 16; i++) config.bytes[i] = given[i];
    _tile_loadconfig(&config);
}
void load(const char *given) {
    alignas(64) char tile[1024];
    for (int i = 0; i < 1024; i++) tile[i] = given[i] ^ 77;
    _tile_loadd(TMM0, tile, 64);
}
"""


def compiled(compiler: str, folder: Path, *options: str) -> str:
    """The program's assembly."""
    source = folder / "tiles.cpp"
    source.write_text(PROGRAM)
    command = [compiler, "-O3", "-march=sapphirerapids", *options, "-S", "-o", "-", str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "sapphirerapids" in done.stderr:
        pytest.skip("this compiler does not know Intel AMX")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_is_loaded_is_written_first(tmp_path: Path) -> None:
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("there is no g++")
    kept = compiled(compiler, tmp_path, "-include", str(HEADER))
    for instruction, function in (("ldtilecfg", "configure"), ("tileloadd", "load")):
        before, _, _ = kept.partition(f"{function}P")[2].partition(instruction)
        assert FIRST_ARGUMENT in before, f"{function} reads nothing of what it is given"
