"""`packager verify`: every way in which a package can be wrong has its file named; a whole one passes offline."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from packager.__main__ import main
from packager.artifacts.files import sha256_of
from packager.errors import ProofFailed
from packager.package import signing
from packager.package.verify import left_behind, render_verified, verify
from packager.prompt.ollama.hub_files import hub_files
from packager.prompt.ollama.modelfile import commands_of, with_from, with_parts, write_modelfile
from packager.recipe.sections import Serve

WEIGHTS = b"GGUF" + bytes(range(256)) * 40
CHECK = {"id": "smoke.stops", "passed": True}
TEMPLATE = "{{ range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant\n"


def seal(folder: Path) -> None:
    """SHA256SUMS over all that lies there."""
    names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    names = [name for name in names if name != "SHA256SUMS"]
    (folder / "SHA256SUMS").write_text("".join(f"{sha256_of(folder / n)}  {n}\n" for n in names))


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A folder of the right structure; its weights are none."""
    folder = tmp_path / "package"
    folder.mkdir()
    (folder / "m-Q8_0.gguf").write_bytes(WEIGHTS)
    commands = commands_of(TEMPLATE, "Responda.", Serve(), ["<|im_end|>", "<|im_start|>"], "m-Q8_0.gguf")
    (folder / "Modelfile").write_text(write_modelfile(commands))
    for name, text in hub_files((folder / "Modelfile").read_text()).items():
        (folder / name).write_text(text)
    entry = {"name": "m-Q8_0.gguf", "size": len(WEIGHTS), "sha256": sha256_of(folder / "m-Q8_0.gguf")}
    manifest = {"name": "m", "files": [entry], "proof": {"passed": True, "failed": [], "checks": [CHECK]}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "runtime").mkdir()
    (folder / "runtime" / "start.sh").write_text("#!/bin/sh\n")
    seal(folder)
    return folder


def test_a_whole_package_passes_without_network(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no(*args: object) -> None:
        raise AssertionError("verify used the network")

    monkeypatch.setattr(socket.socket, "connect", no)
    found = verify(package)
    assert (found.name, found.files, found.checks) == ("m", 8, 1)
    assert found.version == sha256_of(package / "SHA256SUMS")[:12]
    done = CliRunner().invoke(main, ["verify", str(package), "--json"])
    assert done.exit_code == 0
    assert json.loads(done.stdout)["version"] == found.version


def test_a_modelfile_names_every_part_of_its_weights(package: Path) -> None:
    own = (package / "Modelfile").read_text()
    parts = [f"m-Q8_0-0000{n}-of-00002.gguf" for n in (1, 2)]
    for part in parts:
        (package / part).write_bytes(WEIGHTS)
    for text, fault in ((with_parts(own, parts), False), (with_from(own, parts[0]), True)):
        (package / "Modelfile").write_text(text)
        seal(package)
        with pytest.raises(ProofFailed) as refused:  # the manifest lists no parts
            verify(package)
        assert ("Modelfile: names 1 of the 2 parts of its weights" in refused.value.message) is fault


def test_what_was_waived_is_said(package: Path) -> None:
    waived = CHECK | {"id": "smoke.ram", "passed": False, "subject": "Q8_0", "waived": "It is not for this device."}
    manifest_with(proof={"passed": True, "checks": [CHECK, waived]})(package)
    found = verify(package)
    assert (found.checks, found.waived) == (1, ("smoke.ram of Q8_0",))
    assert "its proof passed (1 checks; failed and waived: smoke.ram of Q8_0)." in render_verified(found)


def test_what_the_hub_and_its_client_add_is_no_fault(package: Path) -> None:
    (package / ".gitattributes").write_text("*.gguf filter=lfs\n")
    (package / ".cache/huggingface/download").mkdir(parents=True)
    (package / ".cache/huggingface/download/x.metadata").write_text("x")
    verify(package)


@pytest.mark.skipif(not os.geteuid(), reason="root lists every folder")
def test_a_folder_that_cannot_be_listed_is_a_fault_but_for_the_disk_s_own(package: Path) -> None:
    (package / "lost+found").mkdir(mode=0o0)
    verify(package)
    (package / "more").mkdir(mode=0o0)
    with pytest.raises(ProofFailed, match="more"):
        verify(package)


def test_a_program_among_what_the_client_adds_is_a_fault(package: Path) -> None:
    (package / ".cache/huggingface/download").mkdir(parents=True)
    (package / ".cache/huggingface/download/run.exe").write_bytes(b"MZ")
    with pytest.raises(ProofFailed, match=r"download/run\.exe: does not belong"):
        verify(package)


@pytest.mark.parametrize("name", ["pacote/a.wsh", "a.exe ", "a.VBE.", "b.AppImage"])
def test_what_starts_something_is_no_harmless_leftover(name: str) -> None:
    assert not left_behind(name)
    assert left_behind("Atalho.lnk"), "people make shortcuts"


@pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="ssh-keygen is not installed")
def test_a_signature_of_other_checksums_is_none(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True)
    by = signing.sign(package, tmp_path / "key")
    found = verify(package)
    assert (found.signed, found.checked) == (by, False)
    assert "give --key" in render_verified(found)
    with monkeypatch.context() as bare:
        bare.setenv("PATH", str(tmp_path))
        unchecked = verify(package)
    assert (unchecked.signed, unchecked.numbers) == ("", "")
    assert "was not checked: ssh-keygen is not installed" in render_verified(unchecked)
    signature = (package / "SHA256SUMS.sig").read_bytes()
    (package / "SHA256SUMS.sig").unlink()
    (package / "runtime" / "start.sh").write_text("#!/bin/sh\necho outro\n")
    seal(package)
    (package / "SHA256SUMS.sig").write_bytes(signature)
    with pytest.raises(ProofFailed, match="is not a signature of this SHA256SUMS"):
        verify(package)


def test_a_download_in_the_clients_cache_is_links_to_files(package: Path, tmp_path: Path) -> None:
    snapshot = tmp_path / "snapshot"
    for path in [p for p in package.rglob("*") if p.is_file()]:
        link = snapshot / path.relative_to(package)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path)
    verify(snapshot)


def manifest_with(**changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        manifest = json.loads((folder / "manifest.json").read_text())
        (folder / "manifest.json").write_text(json.dumps(manifest | changes))
        seal(folder)

    return change


def written(name: str, content: bytes, *, sealed: bool = False) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).write_bytes(content)
        if sealed:
            seal(folder)

    return change


def params_with(**changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        params = json.loads((folder / "params").read_text()) | changes
        (folder / "params").write_text(json.dumps({k: v for k, v in params.items() if v is not None}))
        seal(folder)

    return change


def removed(name: str, *, sealed: bool = False) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).unlink()
        if sealed:
            seal(folder)

    return change


def sums_with(line: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        with (folder / "SHA256SUMS").open("a") as file:
            file.write(line)

    return change


FAILED = {"passed": False, "failed": ["smoke.stops"], "checks": [CHECK | {"passed": False}]}


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (written("m-Q8_0.gguf", WEIGHTS[:-1] + b"x"), ["m-Q8_0.gguf: its sha256 is"]),
        (written("m-Q8_0.gguf", WEIGHTS[:-1]), ["m-Q8_0.gguf: its sha256 is", "m-Q8_0.gguf: has 10243 bytes"]),
        (removed("runtime/start.sh"), ["runtime/start.sh: is missing"]),
        (written("Thumbs.db", b"x"), ["Thumbs.db: does not belong"]),
        (written("runtime/.env", b"x"), ["runtime/.env: does not belong"]),
        (removed("SHA256SUMS"), ["SHA256SUMS: is missing"]),
        (sums_with("nonsense\n"), ["SHA256SUMS:8"]),
        (sums_with(f"{'0' * 64}  ../m\n"), ["SHA256SUMS:8"]),
        (sums_with(f"{'0' * 64}  /etc/passwd\n"), ["SHA256SUMS:8"]),
        (sums_with(f"{'0' * 64}  params\n"), ["SHA256SUMS:8"]),
        (removed("manifest.json", sealed=True), ["manifest.json: is missing"]),
        (written("manifest.json", b"[]", sealed=True), ["manifest.json: is missing or not a JSON object"]),
        (manifest_with(files=[{"name": "m-Q8_0.gguf"}]), ["manifest.json: lacks"]),
        (manifest_with(files=[]), ["m-Q8_0.gguf: are weights that manifest.json does not know", "names no weights"]),
        (manifest_with(files=[{"name": "m-Q8_0.gguf", "size": len(WEIGHTS), "sha256": "0" * 64}]),
         ["m-Q8_0.gguf: manifest.json and SHA256SUMS give it different checksums"]),
        (manifest_with(proof=FAILED), ["proof did not pass (smoke.stops)"]),
        (manifest_with(proof={"passed": True, "checks": []}), ["no check passed"]),
        (manifest_with(proof={"passed": True, "checks": [CHECK | {"passed": False, "subject": "m", "waived": "So."}]}),
         [f"proof did not pass ({CHECK['id']})"]),
        (manifest_with(files=[{"name": "m-Q8_0.gguf", "type": "Q8_0", "size": len(WEIGHTS), "sha256": "0" * 64}]),
         ["m-Q8_0.gguf: no check of the proof is of it"]),
        (written(".gitattributes.exe", b"MZ"), [".gitattributes.exe: does not belong"]),
        (written("params", b"[1]", sealed=True), ["params: is missing or no JSON object"]),
        (written("n-Q4_0.gguf", b"GGUF", sealed=True), ["n-Q4_0.gguf: are weights that manifest.json does not know"]),
        (written("template", b"x", sealed=True), ["template: does not say what the Modelfile says"]),
        (written("system", b"Responda.\n", sealed=True), ["system: does not say what the Modelfile says"]),
        (removed("system", sealed=True), ["system: does not say what the Modelfile says"]),
        (removed("params", sealed=True), ["params: is missing"]),
        (params_with(temperature=0.3), ["params: temperature not as in the Modelfile"]),
        (params_with(top_k=None), ["params: top_k not as in the Modelfile"]),
        (params_with(stop=["<|im_end|>"]), ["params: stop not as in the Modelfile"]),
        (params_with(stop=["<|im_end|>"] * 2 + ["<|im_start|>"]), ["params: stop not as in the Modelfile"]),
        (written("Modelfile", b"FROM ./other.gguf\n", sealed=True), ["Modelfile: is for other.gguf"]),
        (written("Modelfile", b"FRM x\n", sealed=True), ["Modelfile: Ollama cannot read it"]),
        (removed("Modelfile", sealed=True), ["Modelfile: is missing"]),
    ],
)  # fmt: skip
def test_a_wrong_package_has_its_files_named(package: Path, harm: Callable[[Path], None], words: list[str]) -> None:
    harm(package)
    done = CliRunner().invoke(main, ["verify", str(package)])
    assert done.exit_code == 3
    for word in words:
        assert word in done.output


def test_every_fault_is_named_at_once(package: Path) -> None:
    (package / "params").unlink()
    (package / "extra").write_text("x")
    (package / "template").write_text("x")
    with pytest.raises(ProofFailed) as caught:
        verify(package)
    for name in ("params: is missing", "extra: does not belong", "template: its sha256"):
        assert name in caught.value.message


def test_a_link_to_a_folder_is_no_part_of_a_package(package: Path) -> None:
    (package / "more").symlink_to(package / "runtime")
    with pytest.raises(ProofFailed, match=r"more \(no file\): does not belong"):
        verify(package)


def test_files_for_ollama_are_the_modelfiles_own_words(package: Path) -> None:
    assert (package / "template").read_bytes().decode() == TEMPLATE
    assert (package / "system").read_bytes() == b"Responda."
    params = json.loads((package / "params").read_text())
    assert params["stop"] == ["<|im_end|>", "<|im_start|>"]
    assert (params["num_ctx"], params["temperature"]) == (4096, 0.2)
    assert isinstance(params["num_ctx"], int)
