"""Every shipped recipe, unchanged, through the whole line: its base from a Hub on loopback, where the
stand-in with the real vocabulary answers under the real name.

Random weights cannot answer, so no question is asked; everything else must hold.
"""

from __future__ import annotations

import json
import math
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import linting
import pytest
from hub_server import COMMIT, environment, serve

from packager.llamacpp import gguf_file
from packager.prompt.ollama.modelfile import parse_modelfile
from packager.recipe import loading
from packager.recipe.loading import ROOT, SHIPPED, shipped
from packager.recipe.recipe import Recipe

STANDINS = {
    "microsoft/Phi-3-mini-4k-instruct": "phi3",
    "Qwen/Qwen2.5-1.5B-Instruct": "qwen2",
    "Qwen/Qwen2.5-0.5B-Instruct": "qwen2",
    "unsloth/Meta-Llama-3.1-8B": "llama3",
    "meta-llama/Llama-3.2-1B": "llama3",
}
DATA = {"flwrlabs/medical-meadow-medical-flashcards": "flashcards_sample.jsonl"}
SETS = ("train.max_steps=8", "smoke=[]")
STOPS = {"phi3": "<|end|>", "qwen2": "<|im_end|>", "llama3": "<|end_of_text|>"}
NAMES = [path.stem for path in shipped() if path.stem not in ("smollm2_aps", "gemma3_270m_aps")]  # from PyPI
FLAGSHIP = "phi3_aps"
TOKEN = "hf_" + "aB3" * 11


@dataclass(frozen=True)
class Built:
    """A finished build."""

    recipe: Recipe
    kind: str
    run: Path
    said: str

    @property
    def manifest(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads((self.run / "package" / "manifest.json").read_text("utf-8"))
        return loaded


@pytest.fixture(
    scope="module",
    params=[name if name == FLAGSHIP else pytest.param(name, marks=pytest.mark.slow) for name in NAMES],
)
def built(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, standin: Callable[[str], Path]
) -> Built:
    folder = tmp_path_factory.mktemp(request.param)
    recipe = loading.load(request.param)
    repo = recipe.base.model.removeprefix("hf:")
    datasets = {}
    for name, file in DATA.items():
        datasets[name] = folder / "hub" / name
        datasets[name].mkdir(parents=True)
        (datasets[name] / file).write_bytes((SHIPPED / "data" / file).read_bytes())
    with serve({repo: standin(STANDINS[repo])}, datasets) as hub:
        command = [sys.executable, "-m", "packager", "build", request.param, "--build-dir", folder / "build"]
        for one in SETS:
            command += ["--set", one]
        env = environment(hub, folder / "cache", HF_TOKEN=TOKEN)
        done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return Built(recipe, STANDINS[repo], folder / "build" / request.param, done.stdout + done.stderr)


def shapes(folder: Path) -> dict[str, list[int]]:
    """The tensors of a folder's safetensors and their shapes."""
    found: dict[str, list[int]] = {}
    for path in folder.glob("*.safetensors"):
        with path.open("rb") as file:
            header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        found |= {name: tensor["shape"] for name, tensor in header.items() if name != "__metadata__"}
    return found


FIRST_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}"
    "{{'<|user|>\n' + message['content'] + '<|end|>\n<|assistant|>\n'}}{% elif message['role'] == 'assistant' %}"
    "{{message['content'] + '<|end|>\n'}}{% endif %}{% endfor %}"
)
"""Phi-3's as it was published first, with `add_bos_token: true` (it is in llama.cpp's tests); since July 2024
the repo has `false` and the stand-in's template, which does not begin with it."""


@pytest.mark.slow
@pytest.mark.parametrize("template", [FIRST_TEMPLATE, None], ids=["first-template", "later-template"])
def test_a_phi3_that_begins_with_bos_is_served_as_it_is_trained(
    template: str | None, standin: Callable[[str], Path], tmp_path: Path
) -> None:
    base = tmp_path / "phi3-first"
    shutil.copytree(standin("phi3"), base)
    config = json.loads((base / "tokenizer_config.json").read_text("utf-8")) | {"add_bos_token": True}
    (base / "tokenizer_config.json").write_text(json.dumps(config | ({"chat_template": template} if template else {})))
    tokenizer = json.loads((base / "tokenizer.json").read_text("utf-8"))
    bos = {"SpecialToken": {"id": "<s>", "type_id": 0}}
    tokenizer["post_processor"] |= {
        "single": [bos, {"Sequence": {"id": "A", "type_id": 0}}],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}},
    }
    (base / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    command = [sys.executable, "-m", "packager", "build", FLAGSHIP, "--base", str(base)]
    command += ["--set", "train.method=none smoke=[]", "--build-dir", str(tmp_path / "build")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    if template is None:  # the GGUF would put a token first that training never saw
        assert done.returncode == 3, done.stderr
        assert "modelfile.prompt_parity" in done.stderr
        assert "begin the template with {{ bos_token }}" in done.stderr
        return
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "build" / FLAGSHIP / "prompt" / "stage.json").read_text("utf-8"))
    checks = {check["id"]: check for check in record["artifact"]["checks"]}
    assert checks["modelfile.prompt_parity"]["passed"]
    assert (checks["modelfile.one_bos"]["measured"], checks["modelfile.one_bos"]["passed"]) == (1, True)


def test_every_recipe_has_a_stand_in() -> None:
    loaded = [loading.load(name) for name in NAMES]
    assert {r.base.model.removeprefix("hf:") for r in loaded} == set(STANDINS)
    assert {r.data.source.removeprefix("hf:") for r in loaded if r.data.source.startswith("hf:")} == set(DATA)


def test_the_package_is_whole_and_its_proof_passed(built: Built) -> None:
    package, name = built.run / "package", built.recipe.name
    types = built.recipe.quantize.types
    files = {f"{name}-{one}.gguf" for one in types} | {f"Modelfile.{one}" for one in types[1:]}
    texts = {"Modelfile", "manifest.json", "metrics.json", "report.html", "README.md", "LEIA-ME.txt", "SHA256SUMS"}
    names = {p.name for p in package.iterdir()}
    assert names >= files | texts
    assert {name for name in names if name.endswith(".gguf")} <= files
    listed = {line.split(maxsplit=1)[1].lstrip("*") for line in (package / "SHA256SUMS").read_text().splitlines()}
    assert listed == names - {"SHA256SUMS"}
    subprocess.run(["sha256sum", "--strict", "--quiet", "-c", "SHA256SUMS"], cwd=package, check=True)
    assert built.manifest["proof"]["passed"]
    checks = {check["id"] for check in built.manifest["proof"]["checks"]}
    assert {"data.no_leak", "data.end_of_turn", "modelfile.prompt_parity", "smoke.loads", "smoke.ram"} <= checks
    trained = {"train.heldout_loss", "merge.pairs", "merge.delta"}
    assert trained & checks == (set() if built.recipe.train.method == "none" else trained)


def test_llama_cpp_s_own_engine_renders_its_template_alike(built: Built, tmp_path: Path) -> None:
    for type_ in built.recipe.quantize.types:
        assert linting.unexplained(built.run / "package" / f"{built.recipe.name}-{type_}.gguf", tmp_path) == []


def test_the_manifest_says_what_was_built_from(built: Built) -> None:
    manifest = built.manifest
    assert manifest["base"]["source"] == built.recipe.base.model.removeprefix("hf:")
    assert manifest["base"]["revision"] == COMMIT
    assert manifest["licence"] == built.recipe.base.licence
    said, meant = manifest["recipe"], built.recipe.model_dump(mode="json")
    assert said.pop("overrides") == {"train.max_steps": 8, "smoke": []}
    said["train"]["max_steps"], said["smoke"] = meant["train"]["max_steps"], meant["smoke"]
    for section, source in (("base", "model"), ("data", "source")):  # the commit that a branch stood for is kept
        if meant[section][source].startswith("hf:"):
            meant[section]["revision"] = COMMIT
    assert said == {name: value for name, value in meant.items() if name != "overrides"}


def test_the_adapter_is_the_one_that_the_recipe_describes(built: Built) -> None:
    train = built.recipe.train
    if train.method == "none":
        assert not (built.run / "adapter").exists()
        assert built.manifest["adapter"] is None
        return
    config = json.loads((built.run / "adapter" / "adapter_config.json").read_text("utf-8"))
    lora = train.lora
    assert (config["r"], config["lora_alpha"], config["lora_dropout"]) == (lora.rank, lora.alpha, lora.dropout)
    layer = re.compile(r"\.layers\.(\d+)\..*\.(\w+)\.weight")
    adapted = {
        match.groups(): shape
        for name, shape in shapes(built.run / "base").items()
        if (match := layer.search(name)) and len(shape) == 2
        if lora.targets == "all-linear" or match[2] in lora.targets
        if lora.layers == "all" or match[1] == "1"
    }
    names = [name.replace(".lora_A", "") for name in shapes(built.run / "adapter") if ".lora_A." in name]
    assert {layer.search(name).groups() for name in names} == adapted.keys()  # type: ignore[union-attr]
    expected = sum(lora.rank * (rows + columns) for rows, columns in adapted.values())
    assert built.manifest["adapter"]["trainable_parameters"] == expected
    assert math.isfinite(built.manifest["adapter"]["heldout_loss_after"])


def test_only_the_adapted_layers_changed(built: Built) -> None:
    merged = built.manifest["merged"]
    changed = merged["pairs_total"]
    layers = {"all": 2, "last": 1}[str(built.recipe.train.lora.layers)]
    modules = 4 if built.kind == "phi3" else 7
    assert changed == (0 if built.recipe.train.method == "none" else layers * modules)


def test_the_served_prompt_is_the_recipes(built: Built) -> None:
    given = built.recipe.data.template
    template = built.run / "data" / "chat_template.jinja"
    kept = json.loads((built.run / "package" / "manifest.json").read_text("utf-8"))["data"]
    if given:
        assert kept["base_template"] == (ROOT / given).read_text("utf-8")
    assert template.read_text("utf-8") != kept["base_template"]
    for file in (built.run / "package").glob("*.gguf"):
        info = gguf_file.inspect(file)
        assert info.chat_template == template.read_text("utf-8")
        assert ("### " in info.chat_template) == bool(given)
    commands = parse_modelfile((built.run / "package" / "Modelfile").read_text("utf-8"))
    stops = {c.value for c in commands if c.name == "stop"}
    assert STOPS[built.kind] in stops


def test_the_tokenizer_travelled(built: Built) -> None:
    names = ["tokenizer.json", "tokenizer.model"] if built.kind == "phi3" else ["tokenizer.json"]
    for name in names:
        assert (built.run / "merged" / name).read_bytes() == (built.run / "base" / name).read_bytes()
    assert "auto_map" not in (built.run / "merged" / "config.json").read_text("utf-8")


def test_the_token_is_nowhere(built: Built) -> None:
    assert TOKEN not in built.said
    for path in built.run.rglob("*"):
        if path.is_file():
            assert TOKEN.encode() not in path.read_bytes(), path
