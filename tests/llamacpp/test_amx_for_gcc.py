"""vendor/amx-for-gcc.h: GCC keeps what the tile instructions read, which its own intrinsics let it drop."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

HEADER = Path(__file__).parents[2] / "vendor" / "amx-for-gcc.h"
PROGRAM = """
#include <cstdint>
#include <immintrin.h>
#define TMM0 0
struct config_t { uint8_t palette = 0, start = 0, reserved[14] = {}; uint16_t bytes[16] = {}; uint8_t rows[16] = {}; };
void configure() {
    alignas(64) config_t config;
    config.palette = 1;
    config.bytes[0] = 12345;
    _tile_loadconfig(&config);
}
void load(char value) {
    alignas(64) char tile[1024];
    for (int i = 0; i < 1024; i++) tile[i] = value ^ 77;
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
    assert "12345" in kept.partition("ldtilecfg")[0]
    before_load = kept.partition("load")[2].partition("tileloadd")[0]
    assert "77" in before_load or "0x4d" in before_load
    assert kept.count("ldtilecfg") == kept.count("tileloadd") == 1
