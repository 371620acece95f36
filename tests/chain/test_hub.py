"""Base models from the Hub, through the command line and the real client: revisions, refusals, broken
downloads, no network.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from command_line import here
from hub_server import COMMIT, Hub, environment, serve

from packager.recipe.loading import ROOT

PHI3, TWIN, CODE = "microsoft/Phi-3-mini-4k-instruct", "unsloth/Phi-3-mini-bnb-4bit", "org/code"
LLAMA = "meta-llama/Llama-3.2-1B"
TOKEN = "hf_" + "Zz9" * 11


@dataclass(frozen=True)
class Builder:
    """Runs the command line with a cache of its own against a Hub."""

    hub: Hub
    folder: Path

    def __call__(self, command: str, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        words = (command, "phi3_aps", "--build-dir", str(self.folder / "build"), *words)
        environ = environment(self.hub, self.folder / "cache", HF_TOKEN=TOKEN, **env)
        if "HF_HUB_OFFLINE" in env:  # which is read once a process
            program = [sys.executable, "-m", "packager", *words]
            done = subprocess.run(program, env=environ, cwd=ROOT, capture_output=True, text=True, timeout=600)
        else:
            done = here(words, environ)
        assert "Traceback" not in done.stderr
        assert TOKEN not in done.stderr + done.stdout
        return done

    def base(self, *words: str, **env: str) -> dict[str, str]:
        """Build the base stage and return its record."""
        done = self("build", "--until", "base", *words, **env)
        assert done.returncode == 0, done.stderr
        record = json.loads((self.folder / "build/phi3_aps/base/stage.json").read_text("utf-8"))
        artifact: dict[str, str] = record["artifact"]
        return artifact


@pytest.fixture(scope="module")
def hub(standin: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    phi3 = standin("phi3")
    quantized, code = tmp_path_factory.mktemp("repos") / "quantized", tmp_path_factory.mktemp("repos") / "code"
    for folder, settings in (
        (quantized, {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}}),
        (code, {"model_type": "phi9", "architectures": ["Phi9ForCausalLM"]}),
    ):
        shutil.copytree(phi3, folder)
        config = json.loads((folder / "config.json").read_text("utf-8"))
        (folder / "config.json").write_text(json.dumps(config | settings), encoding="utf-8")
    (quantized / "README.md").write_text("---\nlicense: mit\nbase_model: microsoft/Phi-3-mini-4k-instruct\n---\n")
    with serve({PHI3: phi3, TWIN: quantized, CODE: code, LLAMA: standin("llama3")}) as server:
        yield server


@pytest.fixture
def builder(hub: Hub, tmp_path: Path) -> Iterator[Builder]:
    yield Builder(hub, tmp_path)
    hub.requests.clear()
    hub.tokens.clear()
    hub.refused.clear()
    hub.breaks.clear()
    hub.moved.clear()
    hub.gone.clear()


def test_the_commit_is_recorded_and_pinned(builder: Builder) -> None:
    assert builder.base()["revision"] == COMMIT
    assert builder.hub.tokens == {TOKEN}
    fetched = [line for line in builder.hub.requests if "/resolve/" in line]
    assert fetched
    assert all(f"/resolve/{COMMIT}/" in line for line in fetched)
    names = {line.rpartition("/")[2] for line in fetched}
    assert {"model.safetensors", "tokenizer.model", "config.json"} <= names
    assert builder.base("--set", "base.revision=v1")["revision"] == COMMIT
    for path in builder.folder.rglob("*"):
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes(), path


@pytest.mark.parametrize(
    ("repo", "refused", "words", "code"),
    [
        ("org/none", None, ("org/none", "check the name"), 2),
        (PHI3, (403, "GatedRepo", "Access is restricted"), ("is gated", f"https://huggingface.co/{PHI3}", "login"), 2),
        (PHI3, (401, "GatedRepo", "Access is restricted"), ("is gated", "HF_TOKEN"), 2),
        (PHI3, (401, "", "Invalid credentials in Authorization header"), ("refused", "401", "hf auth whoami"), 2),
        (PHI3, (403, "", "Forbidden"), ("refused", "403"), 2),
        (PHI3, (500, "", ""), ("run again",), 4),
        (TWIN, None, ("already quantized (bitsandbytes)", "full-precision twin", PHI3), 2),
        (CODE, None, ("its own model code", "auto_map"), 2),
        ("no name at all", None, ("no name at all", "hf:org/name"), 2),
    ],
    ids=["missing", "gated", "gated-401", "bad-token", "forbidden", "broken-hub", "quantized", "own-code", "no-name"],
)
def test_a_refusal_says_what_to_do(
    builder: Builder, repo: str, refused: tuple[int, str, str] | None, words: tuple[str, ...], code: int
) -> None:
    if refused:
        builder.hub.refused[repo] = refused
    done = builder("check", "--base", f"hf:{repo}")
    assert done.returncode == code, done.stderr
    for word in words:
        assert word in done.stderr


def damage(folder: Path, out: Path, head: float | None = None, **settings: object) -> Path:
    """A copy of a checkpoint with other fields in config.json, and a head that is the embedding times `head`."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(folder, out)
    config = json.loads((out / "config.json").read_text("utf-8"))
    (out / "config.json").write_text(json.dumps(config | settings), encoding="utf-8")
    if head is not None:
        tensors = load_file(out / "model.safetensors")
        tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"] * head
        save_file(tensors, out / "model.safetensors", {"format": "pt"})
    return out


@pytest.mark.slow
def test_weights_are_known_by_their_headers_before_they_are_fetched(
    tmp_path: Path, standin: Callable[[str], Path]
) -> None:
    qwen2 = standin("qwen2")
    short = damage(qwen2, tmp_path / "short")
    with (short / "model.safetensors").open("r+b") as file:
        file.truncate((short / "model.safetensors").stat().st_size - 1)
    bases = {
        "org/whole": (qwen2, 0, "all right"),
        "org/copy": (damage(qwen2, tmp_path / "copy", head=1.0), 0, "all right"),
        "org/own-head": (damage(qwen2, tmp_path / "own", head=2.0), 2, "a lm_head.weight that differs from it"),
        "org/layers": (damage(qwen2, tmp_path / "layers", num_hidden_layers=3), 2, "layer 2 is missing"),
        "org/rows": (damage(qwen2, tmp_path / "rows", vocab_size=99), 2, "config.json says vocab_size: 99"),
        "org/short": (short, 2, "is cut short"),
    }
    with serve({name: folder for name, (folder, _, _) in bases.items()}) as hub:
        for name, (folder, code, words) in bases.items():
            hub.requests.clear()
            done = Builder(hub, tmp_path / name)("check", "--base", f"hf:{name}")
            assert done.returncode == code, done.stderr
            assert words in done.stdout + done.stderr
            asked = [line for line in hub.requests if "model.safetensors" in line and line.startswith("GET")]
            ranges = [line.rpartition("bytes=")[2].split("-") for line in asked if "bytes=" in line]
            assert len(ranges) == len(asked) - sum(".index.json" in line for line in asked)
            size = sum(int(last) + 1 - int(first) for first, last in ranges)
            assert size < (folder / "model.safetensors").stat().st_size / 4


def test_a_revision_that_is_not_there_is_named(builder: Builder) -> None:
    done = builder("check", "--set", "base.revision=v9")
    assert done.returncode == 2
    assert "no revision 'v9'" in done.stderr
    assert "base.revision" in done.stderr


def test_a_broken_download_goes_on_where_it_broke(builder: Builder, standin: Callable[[str], Path]) -> None:
    builder.hub.breaks["model.safetensors"] = 1
    words = ("--base", f"hf:{LLAMA}", "--set", "data.template=recipes/data/alpaca.jinja")  # a base model has none
    assert builder.base(*words)["revision"] == COMMIT
    asked = [line for line in builder.hub.requests if line.startswith("GET") and line.count("model.safetensors")]
    weights = [line for line in asked if "bytes=0-" not in line and ".index.json" not in line]
    assert len(weights) == 2
    assert int(weights[1].partition("bytes=")[2].rstrip("-")) > 10_000_000
    made = builder.folder / "build/phi3_aps/base/model.safetensors"
    assert made.read_bytes() == (standin("llama3") / "model.safetensors").read_bytes()


@pytest.mark.slow
def test_a_hub_that_keeps_breaking_off_is_said_and_the_next_build_goes_on(builder: Builder) -> None:
    builder.hub.breaks["model.safetensors"] = 100
    done = builder("build", "--until", "base")
    assert done.returncode == 4, done.stderr
    assert "run again" in done.stderr
    builder.hub.breaks.clear()
    assert builder.base()["revision"] == COMMIT


@contextlib.contextmanager
def nobody() -> Iterator[str]:
    """An address where nobody listens, nor can meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


@pytest.mark.parametrize("said", [{"HF_HUB_OFFLINE": "1"}, {}], ids=["offline", "unreachable"])
@pytest.mark.parametrize("revision", [None, "v1"])
def test_without_network_a_warm_cache_is_enough(
    hub: Hub, tmp_path: Path, standin: Callable[[str], Path], said: dict[str, str], revision: str | None
) -> None:
    words = ["--set", f"base.revision={revision}"] if revision else []
    with serve({PHI3: standin("phi3")}) as passing:
        builder = Builder(passing, tmp_path)
        warm = builder.base(*words)
    shutil.rmtree(tmp_path / "build")
    with nobody() as passing.endpoint:
        assert builder.base(*words, **said) == warm


def test_without_network_and_cache_the_fix_is_named(tmp_path: Path) -> None:
    with serve({}) as gone:
        pass
    with nobody() as gone.endpoint:
        for said in ({"HF_HUB_OFFLINE": "1"}, {}):
            done = Builder(gone, tmp_path)("check", **said)
            assert done.returncode == 4, done.stderr
            assert "base=" in done.stderr


def test_a_finished_build_asks_nothing(builder: Builder) -> None:
    builder.base()
    builder.hub.requests.clear()
    done = builder("build", "--until", "base")
    assert "unchanged" in done.stderr
    assert builder.hub.requests == []


class TestABranchThatMovedOn:
    """What a run folder was made of is kept in it, whatever the branch stands for now."""

    NEWER = "beef" + "0" * 36

    @pytest.fixture
    def moved(self, builder: Builder, standin: Callable[[str], Path], tmp_path: Path) -> Builder:
        """A base was built; then the branch moved on, and the cache was emptied."""
        assert builder.base()["revision"] == COMMIT
        newer = tmp_path / "newer"
        shutil.copytree(standin("phi3"), newer)
        config = json.loads((newer / "generation_config.json").read_text("utf-8"))
        (newer / "generation_config.json").write_text(json.dumps(config | {"max_length": 7}), encoding="utf-8")
        builder.hub.moved[PHI3] = (self.NEWER, newer)
        shutil.rmtree(tmp_path / "cache")
        return builder

    def test_the_kept_commit_is_fetched_again(self, moved: Builder) -> None:
        assert moved.base()["revision"] == COMMIT
        assert "unchanged" in moved("build", "--until", "base").stderr
        shutil.rmtree(moved.folder / "build/phi3_aps/base")
        assert moved.base()["revision"] == COMMIT

    def test_a_commit_that_is_gone_is_said(self, moved: Builder) -> None:
        shutil.rmtree(moved.folder / "build/phi3_aps/base")
        moved.hub.gone.add(COMMIT)
        done = moved("build", "--until", "base")
        assert done.returncode == 2, done.stderr
        assert f"no commit {COMMIT}: it is gone" in done.stderr
        assert "--update" in done.stderr

    def test_update_takes_the_newest(self, moved: Builder) -> None:
        assert moved.base("--update")["revision"] == self.NEWER
        assert moved.base()["revision"] == self.NEWER

    def test_a_plan_asks_nothing_and_knows_the_commit(self, moved: Builder) -> None:
        moved.hub.requests.clear()
        base = json.loads(moved("plan", "--json").stdout)[0]
        assert "model.safetensors is missing" in base["why"], "it lay in the cache; nothing else changed"
        assert moved.hub.requests == []


def test_the_cache_is_in_its_own_folder(builder: Builder) -> None:
    builder.base()
    weights = builder.folder / "build/phi3_aps/base/model.safetensors"
    assert weights.resolve().is_relative_to(builder.folder / "cache")
