"""The package in a real Ollama: it is created there, and renders and counts training's prompts.

Needs an `ollama` on the PATH that renders without generating and without cutting off (0.33 does). It listens on
loopback, keeps models and home in folders of the test, and is told to ask nobody else (OLLAMA_NO_CLOUD=1).
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from packager.artifacts.kinds import Dataset
from packager.data.conversations import HELDOUT
from packager.llamacpp.split import split_file
from packager.prompt.corpus import CORPUS, read_conversations
from packager.prompt.ollama.modelfile import REQUIRES_OF_PARTS, with_parts
from packager.prompt.template import load_template, load_tokenizer, token_ids
from packager.proof.prompt_parity import served_conversations

pytestmark = pytest.mark.ollama
STARTS_SECONDS, ANSWER_SECONDS = 60, 300
COUNTED = 8
"""Conversations whose tokens are counted, which runs the model."""


@dataclass(frozen=True)
class Ollama:
    url: str
    env: dict[str, str]

    def create(self, name: str, modelfile: Path) -> None:
        done = subprocess.run(
            ["ollama", "create", name, "-f", modelfile.name],
            cwd=modelfile.parent, env=self.env, capture_output=True, text=True, timeout=ANSWER_SECONDS, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr + done.stdout

    def ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        data = json.dumps(body).encode() if body else None
        request = urllib.request.Request(f"{self.url}{path}", data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as reply:
            return json.load(reply)

    def version(self) -> tuple[int, ...]:
        return _numbers(self.ask("/api/version")["version"])


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.partition("-")[0].split("."))


@pytest.fixture(scope="module")
def ollama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ollama]:
    if not shutil.which("ollama"):
        pytest.skip("ollama is not on the PATH")
    home = tmp_path_factory.mktemp("ollama")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{free.getsockname()[1]}"
    own = {"OLLAMA_HOST": host, "OLLAMA_MODELS": str(home / "models"), "HOME": str(home), "OLLAMA_NO_CLOUD": "1"}
    found = Ollama(f"http://{host}", {**{k: v for k, v in os.environ.items() if "OLLAMA" not in k}, **own})
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(["ollama", "serve"], env=found.env, stdout=log, stderr=log)
    try:
        until = time.monotonic() + STARTS_SECONDS
        while True:
            try:
                found.ask("/api/version")
                break
            except (urllib.error.URLError, OSError):
                assert process.poll() is None, (home / "log").read_text(errors="replace")[-2000:]
                assert time.monotonic() < until, "ollama serve does not answer"
                time.sleep(0.2)
        yield found
    finally:
        process.terminate()
        process.wait(timeout=30)


@pytest.fixture
def data(copied: Path) -> Dataset:
    record = json.loads((copied / "tiny" / "data" / "stage.json").read_text(encoding="utf-8"))
    return Dataset.model_validate(record["artifact"] | {"folder": copied / "tiny" / "data"})


def test_it_renders_and_counts_training_s_prompts(ollama: Ollama, copied: Path, data: Dataset) -> None:
    ollama.create("tiny", copied / "tiny" / "package" / "Modelfile")
    template, tokenizer = load_template(data.folder), load_tokenizer(data.folder)
    known = [messages for name in (CORPUS, HELDOUT) for messages in read_conversations(data.folder / name)]
    conversations = list(served_conversations(known, data.system))
    differing = []
    for number, one in enumerate(conversations):
        trained = template.render(one.trained, add_generation_prompt=True)
        body = {"model": "tiny", "messages": list(one.sent), "stream": False}
        whole = {"_debug_render_only": True, "truncate": False}  # otherwise what is longer than num_ctx loses messages
        served = ollama.ask("/api/chat", body | whole)["_debug_info"]["rendered_template"]
        if served not in (trained, trained.removeprefix(template.bos_token)):
            differing.append((served, trained))
        expected = len(token_ids(tokenizer, trained))
        if number % (len(conversations) // COUNTED + 1) == 0 and expected < 200:
            counted = ollama.ask("/api/chat", body | {"options": {"num_predict": 1}})["prompt_eval_count"]
            assert counted == expected, trained
    assert not differing, differing[0]
    assert len(conversations) > 50


def test_weights_in_parts_are_joined(ollama: Ollama, copied: Path) -> None:
    if ollama.version() < _numbers(REQUIRES_OF_PARTS):
        pytest.skip(f"this Ollama is older than {REQUIRES_OF_PARTS}")
    package = copied / "tiny" / "package"
    text = (package / "Modelfile").read_text(encoding="utf-8")
    whole = next(package.glob("tiny-Q8_0.gguf"))
    parts = split_file(whole, package, whole.stat().st_size - 20_000)
    (package / "Modelfile").write_text(with_parts(text, [part.name for part in parts]), encoding="utf-8")
    ollama.create("parts", package / "Modelfile")
    body = {"model": "parts", "messages": [{"role": "user", "content": "O que é vacina?"}], "stream": False}
    assert "vacina" in ollama.ask("/api/chat", body)["message"]["content"]
