"""The whole line on a tiny real model, through the command line, as a builder runs it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import linting
import pytest
from command_line import packager

from packager.pipeline import line

STAGES = tuple(stage for stage in line.STAGES if stage not in ("evaluation", "knowledge", "lessons"))
"""Those of a build: an evaluation is made when it is asked for, and the tiny recipe has no approved material."""
PACKAGE = Path(line.__file__).parents[1]
PACKAGER = [sys.executable, "-m", "packager"]


def plan(recipe: Path, folder: Path, *sets: str) -> dict[str, bool]:
    """Which stages are done."""
    words = [word for s in sets for word in ("--set", s)]
    steps = json.loads(packager("plan", recipe, "--build-dir", folder, "--json", *words, check=True).stdout)
    return {step["stage"]: step["done"] for step in steps}


def waiting(steps: dict[str, bool]) -> Sequence[str]:
    return [stage for stage, done in steps.items() if not done]


def test_package_is_whole_and_checks_out(built: Path) -> None:
    package = built / "tiny" / "package"
    names = {p.name for p in package.iterdir()}
    assert names == {
        "tiny-Q8_0.gguf",
        "tiny-Q4_K_M.gguf",
        "Modelfile",
        "Modelfile.Q4_K_M",
        "manifest.json",
        "metrics.json",
        "report.html",
        "README.md",
        "LEIA-ME.txt",
        "LICENSE",
        "NOTICE",
        "template",
        "params",
        "dossie.html",
        "dossie.pdf",
        "bom.cdx.json",
        "SHA256SUMS",
    }
    subprocess.run(["sha256sum", "--strict", "--quiet", "-c", "SHA256SUMS"], cwd=package, check=True)
    assert (package / "Modelfile").read_text().startswith("FROM ./tiny-Q8_0.gguf\n")
    proof = json.loads((built / "tiny" / "proof" / "proof.json").read_text())
    assert proof["passed"]
    assert {"smoke.stops", "smoke.language", "train.heldout_loss", "merge.delta"} <= {c["id"] for c in proof["checks"]}
    texts = "".join(p.read_text() for p in package.iterdir() if p.suffix not in (".gguf", ".pdf"))
    assert str(built) not in texts
    assert str(Path.home()) not in texts
    manifest = json.loads((package / "manifest.json").read_text())
    assert manifest["recipe"]["base"]["model"] == "tiny-llama"
    assert manifest["recipe"]["data"]["source"] == "perguntas.jsonl"


def test_a_failed_proof_is_reported_before_the_build_stops(tiny_recipe: Path, copied: Path) -> None:
    done = packager("build", tiny_recipe, "--build-dir", copied, "--set", "thresholds.max_kl=0")
    assert done.returncode == 3
    page = copied / "tiny" / "report" / "report.html"
    assert f"see {page}" in done.stderr
    assert "Não passou" in page.read_text()
    assert json.loads(page.with_name("metrics.json").read_text())["failed"] == ["quantize.kl", "quantize.kl"]


def test_held_out_loss_fell(built: Path) -> None:
    manifest = json.loads((built / "tiny" / "package" / "manifest.json").read_text())
    assert manifest["adapter"]["heldout_loss_after"] < 0.8 * manifest["adapter"]["heldout_loss_before"]


def test_llama_cpp_s_own_engine_renders_its_template_alike(built: Path, tmp_path: Path) -> None:
    assert linting.unexplained(built / "tiny" / "package" / "tiny-Q8_0.gguf", tmp_path) == []


def test_nothing_to_do_imports_no_torch(copied: Path, tiny_recipe: Path) -> None:
    program = (
        "import sys; from packager.__main__ import main;"
        f"main(['build', {str(tiny_recipe)!r}, '--build-dir', {str(copied)!r}], standalone_mode=False);"
        "heavy = {'torch', 'transformers', 'llama_cpp', 'numpy'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("unchanged") == len(STAGES)


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys, click.testing; from packager.__main__ import main;"
        "r = click.testing.CliRunner().invoke(main, ['--help']); assert r.exit_code == 0, r.output;"
        "heavy = {'torch', 'numpy', 'transformers'} & set(sys.modules); sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("override", "first", "besides"),
    [
        ("serve.temperature=0.3", "proof", {"modelfile"}),
        ("train.epochs=2", "adapter", set()),
        ("quantize.types=[Q8_0]", "gguf", set()),
        ("data.split.seed=7", "data", set()),
        ("device.ram_gb=3", "proof", set()),
    ],
)
def test_an_override_reruns_its_stage_and_what_follows(
    built: Path, tiny_recipe: Path, override: str, first: str, besides: set[str]
) -> None:
    expected = {*STAGES[STAGES.index(first) :], *besides}
    assert waiting(plan(tiny_recipe, built, override)) == [s for s in STAGES if s in expected]


@pytest.mark.parametrize(
    ("module", "edit", "again"),
    [
        (
            "stages/quantize.py",
            ("share=round(", "share=1 - round("),
            {"gguf", "proof", "report", "package"},
        ),
        ("stages/quantize.py", ('"""', '"""Anew: '), {"gguf"}),
        ("report/body.jinja", ("Todas as verificações", "Todas as conferências"), {"report", "package"}),
        ("process/progress.py", ('"""', '"""Anew: '), set()),
    ],
    ids=["what it makes", "only its text", "a room's words", "what carries results"],
)
def test_changed_code_reruns_its_stage_and_what_it_changes(
    copied: Path, tiny_recipe: Path, tmp_path: Path, module: str, edit: tuple[str, str], again: set[str]
) -> None:
    """`git pull && make`: a copy of the program with one file changed builds on what the other built."""
    shutil.copytree(PACKAGE, tmp_path / "code" / "packager", ignore=shutil.ignore_patterns("__pycache__"))
    for beside in ("vendor", "licences"):
        (tmp_path / "code" / beside).symlink_to(PACKAGE.parent / beside)
    path = tmp_path / "code" / "packager" / module
    text = path.read_text(encoding="utf-8")
    assert edit[0] in text
    path.write_text(text.replace(edit[0], edit[1], 1), encoding="utf-8")
    command = [sys.executable, "-m", "packager", "build", str(tiny_recipe), "--build-dir", str(copied)]
    env = os.environ | {"PYTHONPATH": str(tmp_path / "code")}
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=tmp_path / "code", env=env)
    assert done.returncode == 0, done.stderr
    unchanged = {line.split()[0] for line in done.stderr.splitlines() if line.endswith("unchanged")}
    assert set(STAGES) - unchanged == again, done.stderr


@pytest.mark.parametrize(
    ("file", "stage"),
    [
        pytest.param("adapter/adapter_model.safetensors", "adapter", marks=pytest.mark.slow),
        ("f16/model-F16.gguf", "f16"),
        ("package/tiny-Q8_0.gguf", "package"),
        ("package/manifest.json", "package"),
    ],
)
def test_a_deleted_or_truncated_file_reruns_its_stage(copied: Path, tiny_recipe: Path, file: str, stage: str) -> None:
    path = copied / "tiny" / file
    path.write_bytes(path.read_bytes()[:-1])
    assert waiting(plan(tiny_recipe, copied)) == [stage]
    path.unlink()
    assert waiting(plan(tiny_recipe, copied)) == [stage]
    packager("build", tiny_recipe, "--build-dir", copied, check=True)
    assert waiting(plan(tiny_recipe, copied)) == []


def test_verify_finds_an_altered_file_of_the_same_size(copied: Path, tiny_recipe: Path) -> None:
    path = copied / "tiny" / "modelfile" / "Modelfile"
    path.write_text(path.read_text().replace("PARAMETER", "PARAMETES", 1))
    done = packager("build", tiny_recipe, "--build-dir", copied, "--verify", check=True)
    assert "modelfile/Modelfile was altered" in done.stderr


def start(recipe: Path, folder: Path, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*PACKAGER, "build", str(recipe), "--build-dir", str(folder), *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(path: Path, build: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 900
    while not path.exists():
        assert time.monotonic() < deadline, f"{path.name} never came"
        assert build.poll() is None, build.communicate()[1]
        time.sleep(0.005)


@pytest.mark.parametrize("stages", [("merged",), pytest.param(STAGES, marks=pytest.mark.slow)])
def test_kill_in_a_stage_then_finish(tiny_recipe: Path, tmp_path: Path, stages: Sequence[str]) -> None:
    run = tmp_path / "tiny"
    for stage in stages:
        build = start(tiny_recipe, tmp_path)
        wait_for(run / f"{stage}.partial", build)
        time.sleep(0.3 if stage == "adapter" else 0.02)
        build.send_signal(signal.SIGKILL)
        build.communicate()
        steps = plan(tiny_recipe, tmp_path)
        before = STAGES[: STAGES.index(stage)]
        assert all(steps[s] for s in before), f"killed in {stage}: {steps}"
    packager("build", tiny_recipe, "--build-dir", tmp_path, check=True)
    assert waiting(plan(tiny_recipe, tmp_path)) == []
    assert not list(run.glob("*.partial"))


def states_in_session(session: int) -> list[str]:
    """Of each of its processes; one that has ended, and that nobody has asked about, is in Z."""
    return subprocess.run(["ps", "-o", "stat=", "-s", str(session)], capture_output=True, text=True).stdout.split()


def test_no_child_outlives_a_killed_build(tiny_recipe: Path, tmp_path: Path) -> None:
    build = start(tiny_recipe, tmp_path)
    wait_for(tmp_path / "tiny" / "base.partial", build)
    build.send_signal(signal.SIGKILL)
    build.communicate()
    deadline = time.monotonic() + 120  # a child that was just being started looks for its parent first
    while any(state[0] != "Z" for state in states_in_session(build.pid)):
        assert time.monotonic() < deadline, "a child lives on"
        time.sleep(0.1)


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_stop_is_clean_and_training_resumes(tiny_recipe: Path, tmp_path: Path, number: signal.Signals) -> None:
    slow = ("--set", "train.epochs=400 train.checkpoint_seconds=0.1")
    build = start(tiny_recipe, tmp_path, *slow)
    checkpoints = tmp_path / "tiny" / "adapter.partial" / "checkpoints"
    wait_for(checkpoints, build)
    time.sleep(1)
    os.killpg(build.pid, number)
    _, errors = build.communicate(timeout=300)
    assert build.returncode == 130, errors
    assert "run the same command again to resume" in errors
    assert "Traceback" not in errors
    assert any(checkpoints.iterdir())


def test_the_second_build_says_who_holds_the_folder(tiny_recipe: Path, tmp_path: Path) -> None:
    build = start(tiny_recipe, tmp_path)
    try:
        wait_for(tmp_path / "tiny" / "base.partial", build)
        second = packager("build", tiny_recipe, "--build-dir", tmp_path)
        assert second.returncode == 75
        assert str(build.pid) in second.stderr
    finally:
        build.kill()
        build.communicate()


@pytest.fixture
def small_disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A file system of as many megabytes as the test asks for."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={request.param}m", "tmpfs", str(folder)]
    if os.geteuid() or shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("cannot mount a small file system here (needs root)")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(path: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        while os.write(descriptor, b"\0" * 65536):
            pass
    except OSError:
        pass
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("small_disk", [16], indirect=True)
def test_too_little_disk_is_said_before_the_first_stage(small_disk: Path, tiny_recipe: Path) -> None:
    done = packager("build", tiny_recipe, "--build-dir", small_disk)
    assert done.returncode == 4
    assert "Not enough disk" in done.stderr
    assert not (small_disk / "tiny" / "base").exists()


@pytest.mark.parametrize("small_disk", [300], indirect=True)
@pytest.mark.parametrize(
    "stage", [pytest.param("adapter", marks=pytest.mark.slow), "f16", pytest.param("gguf", marks=pytest.mark.slow)]
)
def test_a_disk_that_fills_up_midway_is_named_and_nothing_is_lost(
    small_disk: Path, built: Path, tiny_recipe: Path, stage: str
) -> None:
    shutil.copytree(built / "tiny", small_disk / "tiny", ignore=shutil.ignore_patterns(*STAGES[STAGES.index(stage) :]))
    build = start(tiny_recipe, small_disk)
    wait_for(small_disk / "tiny" / f"{stage}.partial" / "key", build)
    os.killpg(build.pid, signal.SIGSTOP)  # so that it is full before the stage writes
    fill(small_disk / "ballast")
    os.killpg(build.pid, signal.SIGCONT)
    _, errors = build.communicate(timeout=300)
    assert build.returncode == 4, errors
    assert "disk is full" in errors
    assert "Traceback" not in errors
    assert not (small_disk / "tiny" / stage).exists()
    (small_disk / "ballast").unlink()
    packager("build", tiny_recipe, "--build-dir", small_disk, "--until", stage, check=True)
