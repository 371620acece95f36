"""The folder for the clinic: made of a real package; with real servers it runs offline, on old processors, on ARM
and on Windows.

The slow ones take the servers that `make runtime` left in build/runtime; what they need to be run here
(qemu-user, wine, `unshare`) may be absent. Each skips visibly.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import clinic_bundle
import pytest
from command_line import packager

from packager.artifacts.kinds import Bundle, Servers
from packager.clinic import cross_compile, host_server, starter
from packager.clinic.cross_compile import LICENCES
from packager.clinic.targets import TARGETS
from packager.errors import InputError, ProofFailed
from packager.llamacpp.model import GgufModel
from packager.package import signing
from packager.package.bom import BOM
from packager.package.verify import IN_BUNDLE, verify
from packager.pipeline import bundling, plan
from packager.prompt.ollama.modelfile import parse_modelfile
from packager.recipe import loading
from packager.recipe.loading import ROOT
from packager.recipe.sections import Serve
from packager.stages import bundle as stage

SERVERS = ROOT / "build" / "runtime"
LOADS_SECONDS = 300


def needs(*programs: str) -> None:
    for program in programs:
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")


@pytest.fixture(scope="module")
def targets() -> list[str]:
    made = [name for name, target in TARGETS.items() if cross_compile.built(target, SERVERS)]
    if not made:
        pytest.skip("no server is built: make runtime")
    return made


@pytest.fixture(scope="module")
def builds(built: Path, targets: list[str], tiny_recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build folder with a bundle of the tiny model in it."""
    folder = tmp_path_factory.mktemp("bundled") / "build"
    shutil.copytree(built, folder, symlinks=True)
    (folder / "runtime").symlink_to(SERVERS)
    done = packager("bundle", tiny_recipe, "--build-dir", folder, "--targets", ",".join(targets))
    assert done.returncode == 0, done.stderr + done.stdout
    return folder


@pytest.fixture
def bundle(builds: Path, tmp_path: Path) -> Path:
    """A copy of the bundle, with one version of its own."""
    shutil.copytree(builds / "tiny" / "bundle", tmp_path / "tiny")
    return tmp_path / "tiny"


@pytest.fixture
def made(built: Path, tiny_recipe: Path) -> dict[str, Any]:
    """What every stage of the finished build made, by its folder."""
    return dict(plan.finished(loading.load(str(tiny_recipe), []), built / "tiny"))


@pytest.fixture
def dummies(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Servers:
    """Servers and start programs that are none; those for this machine are a stand-in and the real one."""
    for target in TARGETS.values():
        (tmp_path / "runtime" / target.name).mkdir(parents=True)
        for name in (*map(target.binary, target.variants), starter.name(target), LICENCES):
            (tmp_path / "runtime" / target.name / name).write_text(f"{name} for {target.name}")
    here = tmp_path / "runtime" / clinic_bundle.TARGET
    shutil.copy(clinic_bundle.program_of(tmp_path_factory), here / "clinica")
    for variant in TARGETS[clinic_bundle.TARGET].variants:
        clinic_bundle.write_server(here / TARGETS[clinic_bundle.TARGET].binary(variant), engine=True)
    monkeypatch.setattr(starter, "built", lambda target, folder: folder / target.name / starter.name(target))
    binaries = {n: tuple(f"{n}/{t.binary(variant)}" for variant in t.variants) for n, t in TARGETS.items()}
    return Servers(folder=tmp_path / "runtime", content="k", binaries=binaries)


def bundled(made: dict[str, Any], servers: Servers, tiny_recipe: Path, out: Path, **settings: Any) -> Bundle:
    """The stage itself, in this process."""
    out.mkdir()
    config = stage.Bundling(recipe=loading.load(str(tiny_recipe), []), **settings)
    names = ("base", "data", "adapter", "merged", "gguf", "modelfile", "proof", "evaluation", "package", "knowledge")
    return stage.bundle(config, *(made.get(name) for name in names), servers, out)


def test_a_bundle_holds_the_package_and_what_runs_it(
    made: dict[str, Any], dummies: Servers, tiny_recipe: Path, tmp_path: Path
) -> None:
    bundle = bundled(made, dummies, tiny_recipe, tmp_path / "out")
    assert f"All {verify(bundle.folder).checks} checks passed" == made["package"].proof
    told = json.loads((bundle.folder / "runtime" / "config.json").read_text(encoding="utf-8"))
    assert (bundle.folder / IN_BUNDLE / told["model"]).samefile(made["package"].folder / told["model"])
    assert {path.name for path in bundle.folder.iterdir()} == {
        "LEIA-ME.txt", "SHA256SUMS", "autoteste.bat", "autoteste.sh", "dossie.html", "dossie.pdf", "iniciar.bat",
        "iniciar.sh", "pacote", "runtime",
    }  # fmt: skip
    changed = ("LEIA-ME.txt", "dossie.html", "dossie.pdf", "SHA256SUMS")
    for name in made["package"].files:
        inside, before = bundle.folder / IN_BUNDLE / name, (made["package"].folder / name).read_bytes()
        if name in changed:
            assert not inside.exists(), name
            assert (bundle.folder / name).read_bytes() != before, name
        else:
            assert (inside.read_bytes() == before) == (name != BOM), name
    for target in TARGETS.values():
        for variant, said in zip(target.variants, told["targets"][target.name], strict=True):
            assert os.access(bundle.folder / "runtime" / target.name / target.binary(variant), os.X_OK)
            assert said == {"program": target.binary(variant), "cpu_features": list(variant.cpu_features)}
    assert f"versão {told['version']}" in (bundle.folder / "LEIA-ME.txt").read_text(encoding="utf-8")
    assert told["version"] in (bundle.folder / "dossie.html").read_text(encoding="utf-8")
    proven = json.loads((bundle.folder / "runtime" / "prova.json").read_text(encoding="utf-8"))
    assert [q["answer"] for q in proven["questions"]] == [
        a.answer for a in made["proof"].answers if a.file == "model-Q8_0.gguf"
    ]
    assert proven["ram_mb"] > 0


def test_a_program_that_serves_another_prompt_makes_no_bundle(
    made: dict[str, Any], dummies: Servers, tiny_recipe: Path, tmp_path: Path
) -> None:
    """The stand-in without the file's own template renders the messages as they are."""
    for variant in TARGETS[clinic_bundle.TARGET].variants:
        path = dummies.folder / clinic_bundle.TARGET / TARGETS[clinic_bundle.TARGET].binary(variant)
        clinic_bundle.write_server(path)
    with pytest.raises(ProofFailed, match=r"bundle\.prompts: the program that ships serves another prompt"):
        bundled(made, dummies, tiny_recipe, tmp_path / "out")
    assert not (tmp_path / "out" / "SHA256SUMS").exists()


def test_a_package_of_another_recipe_is_not_bundled(dummies: Servers, copied: Path, tiny_recipe: Path) -> None:
    recipe = loading.load(str(tiny_recipe), ["serve.temperature=0.9"])
    with pytest.raises(InputError, match="not what its recipe says now"):
        bundling.bundle(recipe, copied / "tiny", dummies)
    assert not (copied / "tiny" / "bundle").exists()


def test_weights_too_large_for_a_stick_are_split_and_still_run(
    made: dict[str, Any], dummies: Servers, tiny_recipe: Path, tmp_path: Path
) -> None:
    # Nearly all of so small a model is its vocabulary, which cannot be split.
    largest = max(file.size for file in made["gguf"].files) - 20_000
    bundle = bundled(made, dummies, tiny_recipe, tmp_path / "out", largest_file=largest)
    assert max(p.stat().st_size for p in bundle.folder.rglob("*")) <= largest
    assert verify(bundle.folder).files == bundle.files
    told = json.loads((bundle.folder / "runtime" / "config.json").read_text(encoding="utf-8"))
    assert told["model"].startswith("tiny-Q8_0-00001-of-")
    commands = parse_modelfile((bundle.folder / IN_BUNDLE / "Modelfile").read_text(encoding="utf-8"))
    parts = sorted(p.name for p in (bundle.folder / IN_BUNDLE).glob("tiny-Q8_0-*-of-*.gguf"))
    assert [c.value for c in commands if c.name == "model"] == [f"./{name}" for name in parts]
    assert told["ollama_minimum"] == "0.30.0"
    with GgufModel.open(bundle.folder / IN_BUNDLE / told["model"], context=256) as model:
        ids = model.prompt_ids([{"role": "user", "content": "O que é vacina?"}])
        said = model.text([t for t in model.generate(ids, Serve(temperature=0), 42) if t not in model.eog_tokens])
    assert said.strip() == next(a.answer for a in made["proof"].answers if a.ask == "O que é vacina?")


def emulated(words: list[str]) -> list[str]:
    """What runs a program as another processor would; skips the test where it is not installed."""
    if not words:
        return []
    found = shutil.which(words[0]) or shutil.which(f"{words[0]}-static")
    if not found:
        pytest.skip(f"{words[0]} is not installed")
    return [found, *words[1:]]


def command_of(prefix: list[str], bundle: Path, target: str, env: dict[str, str] | None = None) -> list[str]:
    """The server's command line, as the start program says it on the processor that `prefix` emulates."""
    program = bundle / "runtime" / target / starter.name(TARGETS[target])
    if not program.is_file():
        pytest.skip(f"the programs for {target} are not built: make runtime")
    words = [*prefix, str(program), "comando", "--pasta", str(bundle)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=LOADS_SECONDS, env=os.environ | (env or {}))
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.replace("\r", "").splitlines()


@contextmanager
def serving(prefix: list[str], command: list[str], bundle: Path, env: dict[str, str] | None = None) -> Iterator[str]:
    """The server on a port of its own, once it answers; `prefix` is what runs it here."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command[command.index("--port") + 1] = str(port)
    with (bundle.parent / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [*prefix, *command], cwd=bundle, stdout=log, stderr=log, start_new_session=True,
            env=os.environ | (env or {}),
        )  # fmt: skip
    try:
        until = time.monotonic() + LOADS_SECONDS
        while not alive(port):
            said = (bundle.parent / "server.log").read_text(errors="replace")[-2000:]
            assert process.poll() is None, f"it ended with {process.returncode}:\n{said}"
            assert time.monotonic() < until, f"it does not answer:\n{said}"
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def alive(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def answers(url: str, bundle: Path) -> list[tuple[str, dict[str, Any]]]:
    """What the server answers to each smoke question, and the question as prova.json has it."""
    said = []
    for question in json.loads((bundle / "runtime" / "prova.json").read_text(encoding="utf-8"))["questions"]:
        body = json.dumps(question["request"]).encode()
        request = urllib.request.Request(f"{url}/v1/chat/completions", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=LOADS_SECONDS) as reply:
            choice = json.load(reply)["choices"][0]
        assert choice["finish_reason"] == "stop"
        said.append((choice["message"]["content"].strip(), question))
    return said


@pytest.mark.slow
def test_a_bundle_is_made_signed_copied_and_kept(builds: Path, tiny_recipe: Path, targets: list[str]) -> None:
    needs("ssh-keygen")
    work = builds.parent
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", work / "key"], check=True)
    (work / "stick").mkdir()
    words = ("bundle", tiny_recipe, "--build-dir", builds, "--targets", ",".join(targets))
    made = packager(*words, "--sign", work / "key", "--to", work / "stick")
    assert made.returncode == 0, made.stderr + made.stdout
    (copied,) = (p for p in (work / "stick").iterdir() if p.is_dir())
    assert verify(copied, work / "key.pub").checked
    assert (copied / signing.SIGNATURE).read_bytes() == (builds / "tiny" / "bundle" / signing.SIGNATURE).read_bytes()
    again = packager(*words, "--sign", work / "key", "--to", work / "stick")
    assert "unchanged" in again.stderr
    assert [p for p in (work / "stick").iterdir() if p.is_dir()] == [copied]
    for name in targets:
        for variant in TARGETS[name].variants:
            assert (copied / "runtime" / name / TARGETS[name].binary(variant)).is_file()


SAYS = {
    "avx2": ("AVX = 1", "AVX2 = 1"), "avx": ("AVX = 1",), "sse42": ("SSE3 = 1", "SSSE3 = 1"),
    "i8mm": ("DOTPROD = 1", "MATMUL_INT8 = 1"), "dotprod": ("DOTPROD = 1",), "generic": ("NEON = 1",),
}  # fmt: skip
"""What the server of each variant says of itself when it starts."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("emulator", "target", "variant"),
    [
        ("", "linux-x86_64", ""),
        ("qemu-x86_64 -cpu Nehalem", "linux-x86_64", "sse42"),
        ("qemu-x86_64 -cpu Westmere", "linux-x86_64", "sse42"),
        ("qemu-x86_64 -cpu SandyBridge", "linux-x86_64", "avx"),
        ("qemu-x86_64 -cpu Haswell", "linux-x86_64", "avx2"),
        ("qemu-x86_64 -cpu max", "linux-x86_64", "avx2"),
        ("qemu-aarch64 -cpu cortex-a53", "linux-arm64", "generic"),
        ("qemu-aarch64 -cpu cortex-a76", "linux-arm64", "dotprod"),
        ("qemu-aarch64 -cpu max", "linux-arm64", "i8mm"),
        ("wine", "windows-x86_64", ""),
    ],
)
def test_the_best_program_for_each_processor_answers_as_it_was_proven(
    bundle: Path, emulator: str, target: str, variant: str
) -> None:
    """`variant` is "" where it is this machine's own processor that decides."""
    prefix = emulated(emulator.split())
    # At 4 the server says which instructions it was built with.
    quiet = {"WINEDEBUG": "-all", "WINEPREFIX": str(bundle.parent / "wine"), "LLAMA_ARG_LOG_VERBOSITY": "4"}
    command = command_of(prefix, bundle, target, quiet)
    name = command[0].replace("\\", "/").rpartition("/")[2].removesuffix(".exe")
    assert not variant or name == f"llama-server-{variant}"
    with serving(prefix, command, bundle, quiet) as url:
        for said, question in answers(url, bundle):
            assert said.strip().startswith(question["begins"])
    log = (bundle.parent / "server.log").read_text(errors="replace")
    of_it = SAYS[name.removeprefix("llama-server-")]
    assert all(words in log for words in of_it), log[-2000:]
    faster = [one.name for one in TARGETS[target].variants]
    better = {words for one in faster[: faster.index(name.removeprefix("llama-server-"))] for words in SAYS[one]}
    assert not [words for words in better - set(of_it) if words in log], f"{name} has what a faster one is for"


@pytest.mark.slow
def test_a_processor_without_sse42_is_named_before_anything_crashes(bundle: Path) -> None:
    emulator = emulated(["qemu-x86_64", "-cpu", "core2duo"])
    program = bundle / "runtime" / "linux-x86_64" / "clinica"
    if not program.is_file():
        pytest.skip("the programs for linux-x86_64 are not built: make runtime")
    command = [*emulator, program, "iniciar", "--pasta", bundle, "--sem-navegador"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LOADS_SECONDS, stdin=subprocess.DEVNULL)
    assert done.returncode == 4
    assert "sse4_2" in done.stdout + done.stderr


@pytest.mark.slow
def test_the_second_question_waits_a_third_of_the_first(bundle: Path) -> None:
    """What was computed for the first is used again; and the first uses what was read before anybody asked."""
    command = command_of([], bundle, clinic_bundle.TARGET)
    talk = [{"role": "user", "content": "O que é a atenção primária à saúde? " * 6}]
    with serving([], command, bundle) as url:
        waits = []
        for _ in range(2):
            body = json.dumps({"messages": talk, "max_tokens": 8, "temperature": 0}).encode()
            request = urllib.request.Request(f"{url}/v1/chat/completions", body, {"Content-Type": "application/json"})
            with urllib.request.urlopen(request, timeout=LOADS_SECONDS) as reply:
                said = json.load(reply)
            waits.append(said["timings"]["prompt_n"])
            talk += [said["choices"][0]["message"], {"role": "user", "content": "E depois?"}]
    assert 3 * waits[1] <= waits[0], waits  # tokens that had to be computed: no clock, so no chance


@pytest.mark.slow
def test_the_server_renders_what_was_trained(bundle: Path) -> None:
    """With thinking off and the template of the file, whatever the server would choose by itself."""
    with (
        host_server.serving(bundle) as server,
        GgufModel.open(
            bundle / IN_BUNDLE / json.loads((bundle / "runtime" / "config.json").read_text(encoding="utf-8"))["model"],
            vocab_only=True,
        ) as model,
    ):
        for talk in (
            [{"role": "user", "content": "O que é vacina?"}],
            [{"role": "system", "content": "Responda."}, {"role": "user", "content": " E\n dengue? "}],
        ):
            assert server.tokens(server.rendered(talk)) == model.prompt_ids(talk)


OFFLINE = """
set -eu
ip link set lo up
"$1" - <<'PYTHON'
import socket
try:
    socket.create_connection(("1.1.1.1", 443), timeout=5)
except OSError as error:
    print("no network:", error)
else:
    raise SystemExit("there is a network")
PYTHON
"$1" -m packager verify "$2"
cd "$2"
sh autoteste.sh
"""


@pytest.mark.slow
def test_all_of_it_without_a_network(bundle: Path) -> None:
    needs("unshare", "ip")
    if subprocess.run(["unshare", "-n", "true"], capture_output=True).returncode:
        pytest.skip("no network namespace may be made here")
    if not (bundle / "runtime" / "linux-x86_64" / "clinica").is_file():
        pytest.skip("the server for linux-x86_64 is not built: make runtime")
    with socket.socket() as here:  # the control of the control: here a socket can be had
        here.bind(("127.0.0.1", 0))
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    command = ["unshare", "-n", "sh", "-c", OFFLINE, "sh", sys.executable, bundle]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LOADS_SECONDS, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no network:" in done.stdout
    assert "tiny is whole" in done.stdout
    assert "APROVADO" in done.stdout
