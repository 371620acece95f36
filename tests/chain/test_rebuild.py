"""`packager attest` and `packager verify --rebuild`: the same bytes elsewhere, and a changed tensor is named."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import packager

from packager.artifacts.files import sha256_of
from packager.checkpoint import tensor_hashes
from packager.clinic import cross_compile, starter
from packager.clinic.targets import TARGETS
from packager.errors import MissingResource, ProofFailed
from packager.package.bom import BOM
from packager.pipeline import rebuilding
from packager.recipe.loading import ROOT

pytestmark = pytest.mark.slow


def on_one_core(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "packager", *map(str, words)]
    if hasattr(os, "sched_getaffinity"):
        command = ["taskset", "-c", str(min(os.sched_getaffinity(0))), *command]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)


@pytest.fixture(scope="module")
def kit(built: Path, tiny_recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A package and its attestation, away from the run folder that they came from."""
    folder = tmp_path_factory.mktemp("elsewhere")
    shutil.copytree(built, folder / "build", symlinks=True)
    done = packager("attest", tiny_recipe, "--build-dir", folder / "build")
    assert done.returncode == 0, done.stderr
    for name in ("package", "attest"):
        (folder / "build" / "tiny" / name).rename(folder / name)
    shutil.rmtree(folder / "build")
    return folder / "package", folder / "attest"


def test_nothing_of_the_data_or_of_this_machine_is_in_the_attestation(
    kit: tuple[Path, Path], taught_base: Path
) -> None:
    package, folder = kit
    names = {path.name for path in folder.iterdir()}
    assert names == {"attestation.json", "adapter_model.safetensors", "adapter_config.json", "chat_template.jinja",
                     "imatrix.gguf"}  # fmt: skip
    text = (folder / "attestation.json").read_text("utf-8")
    assert str(taught_base.parent) not in text
    assert str(package.parent) not in text


def test_another_folder_and_another_number_of_threads_give_the_same_bytes(
    kit: tuple[Path, Path], taught_base: Path
) -> None:
    package, folder = kit
    done = on_one_core("verify", package, "--rebuild", folder, "--base", taught_base)
    assert done.returncode == 0, done.stderr + done.stdout
    assert "Made again, and equal byte for byte:" in done.stdout
    for step in ("merged: ", "f16: sha256", "Q8_0: sha256", "Q4_K_M: sha256"):
        assert step in done.stdout
    assert "(but " not in done.stdout


def test_a_changed_tensor_is_named(kit: tuple[Path, Path], taught_base: Path, tmp_path: Path) -> None:
    package, folder = kit
    shutil.copytree(package, tmp_path / "package")
    changed = tmp_path / "package" / "tiny-Q8_0.gguf"
    name = _plant(changed)
    _reseal(tmp_path / "package", changed)
    assert packager("verify", tmp_path / "package").returncode == 0, (
        "sums, manifest and bill agree: only a rebuild sees"
    )
    done = packager("verify", tmp_path / "package", "--rebuild", folder, "--base", taught_base)
    assert done.returncode == 3
    assert "rebuild.Q8_0: 1 of" in done.stderr
    assert name in done.stderr


def test_another_base_and_an_altered_attestation_are_refused(
    kit: tuple[Path, Path], taught_base: Path, tmp_path: Path
) -> None:
    package, folder = kit
    shutil.copytree(folder, tmp_path / "attest")
    with (tmp_path / "attest" / "adapter_model.safetensors").open("ab") as file:
        file.write(b"\0")
    done = packager("verify", package, "--rebuild", tmp_path / "attest", "--base", taught_base)
    assert done.returncode == 3
    assert "adapter_model.safetensors is not the file that was attested" in done.stderr
    other = tmp_path / "base"
    shutil.copytree(taught_base, other)
    data = bytearray((other / "model.safetensors").read_bytes())
    data[-2] ^= 1
    (other / "model.safetensors").write_bytes(data)
    done = packager("verify", package, "--rebuild", folder, "--base", other)
    assert done.returncode == 3
    assert "rebuild.base: its weights are not those" in done.stderr
    done = packager("verify", package, "--rebuild", package)
    assert done.returncode == 2
    assert "holds no attestation" in done.stderr


def test_a_program_that_its_source_does_not_compile_to_is_named(tmp_path: Path) -> None:
    target, compiled = TARGETS["linux-x86_64"], ROOT / "build" / "runtime"
    servers = cross_compile.built(target, compiled)
    if not servers:
        pytest.skip("no programs for linux-x86_64 in build/runtime: make runtime")
    try:
        front = starter.built(target, compiled)
    except MissingResource as error:
        pytest.skip(error.message)
    folder = tmp_path / "runtime" / target.name
    folder.mkdir(parents=True)
    for program in (*servers, front):
        shutil.copy(program, folder)
    assert rebuilding.programs(tmp_path, compiled) == (
        "linux-x86_64: llama-server-avx2, llama-server-avx, llama-server-sse42, clinica",
    )
    with (folder / "llama-server-avx").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(ProofFailed, match="runtime/linux-x86_64/llama-server-avx is not what its source compiles to"):
        rebuilding.programs(tmp_path, compiled)
    assert rebuilding.programs(tmp_path / "package", compiled) == ()


def _plant(path: Path) -> str:
    """Flip a bit in the middle of one tensor; returns its name."""
    from gguf import GGUFReader

    before = tensor_hashes.of_gguf(path)
    tensor = next(t for t in GGUFReader(path).tensors if t.name == "blk.1.ffn_up.weight")
    with path.open("r+b") as file:
        file.seek(int(tensor.data_offset) + int(tensor.n_bytes) // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))
    assert tensor_hashes.differing(before, tensor_hashes.of_gguf(path)) == [tensor.name]
    return str(tensor.name)


def _reseal(package: Path, changed: Path) -> None:
    """Manifest, bill and checksums say what now lies there, as somebody who swaps a file would have them say."""
    sums = dict(reversed(line.split("  ")) for line in (package / "SHA256SUMS").read_text().splitlines())
    manifest, bill = package / "manifest.json", package / BOM
    manifest.write_text(manifest.read_text("utf-8").replace(sums[changed.name], sha256_of(changed)), "utf-8")
    text = bill.read_text("utf-8")
    for path in (changed, manifest):
        text = text.replace(sums[path.name], sha256_of(path))
    bill.write_text(text, "utf-8")
    (package / "SHA256SUMS").write_text("".join(f"{sha256_of(package / name)}  {name}\n" for name in sums))
