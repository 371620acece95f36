"""The batch files and `clinica.exe` under wine. PACKAGER_BUNDLE names a bundle that has them.

Under wine there is neither PowerShell nor certutil, and its cmd is not Microsoft's: what runs here needs none of them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import clinic_bundle
import pytest

from packager.package.verify import IN_BUNDLE

pytestmark = pytest.mark.slow
TARGET = "windows-x86_64"


@pytest.fixture(scope="module")
def bundle() -> Path:
    folder = os.environ.get("PACKAGER_BUNDLE")
    if not folder:
        pytest.skip("PACKAGER_BUNDLE names no bundle with a real server")
    if not shutil.which("wine"):
        pytest.skip("wine is not installed")
    if not Path(folder, "runtime", TARGET).is_dir():
        pytest.skip("the bundle has nothing for Windows")
    return Path(folder).resolve()


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return os.environ | {"WINEPREFIX": str(tmp_path_factory.mktemp("wine")), "WINEDEBUG": "-all", "LANG": "C.UTF-8"}


@pytest.fixture
def small(bundle: Path, tmp_path: Path) -> Path:
    """The bundle without its weights and servers, under a path that cmd has to quote."""
    copy = tmp_path / "Área de trabalho" / "meu aps"
    shutil.copytree(bundle, copy, ignore=shutil.ignore_patterns("*.gguf", "llama-server*"))
    for weights in (bundle / IN_BUNDLE).glob("*.gguf"):
        (copy / IN_BUNDLE / weights.name).write_bytes(b"GGUF")
    clinic_bundle.close(copy)
    return copy


def batch(folder: Path, name: str, env: dict[str, str], *arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        ["wine", "cmd", "/c", name, *arguments], cwd=folder, env=env, capture_output=True, stdin=subprocess.DEVNULL,
        timeout=600,
    )  # fmt: skip
    return done.returncode, (done.stdout + done.stderr).decode("utf-8", "replace").replace("\r", "")


def test_every_fault_is_named(small: Path, env: dict[str, str]) -> None:
    (small / IN_BUNDLE / "README.md").write_text("x")
    (small / IN_BUNDLE / "LICENSE").unlink()
    (small / "runtime" / "ação.txt").write_text("x")
    code, said = batch(small, "autoteste.bat", env)
    assert code == 3
    assert "pacote/README.md: foi alterado" in said
    assert "pacote/LICENSE: está faltando" in said
    assert "runtime/ação.txt: não faz parte do pacote" in said


def test_a_missing_program_is_said(small: Path, env: dict[str, str]) -> None:
    (small / "runtime" / TARGET / "clinica.exe").unlink()
    code, said = batch(small, "iniciar.bat", env)
    assert code == 3
    assert "Falta o arquivo" in said


def needs_a_server(bundle: Path) -> None:
    """Skips a test that ends where the server is missed, in a bundle that does without."""
    if json.loads((bundle / "runtime" / "config.json").read_text(encoding="utf-8"))["mode"] == "approved":
        pytest.skip("the page of this bundle answers from approved material, without a server")


def test_on_top_of_a_stick(small: Path, env: dict[str, str]) -> None:
    needs_a_server(small)
    shutil.copy(small / "iniciar.bat", small.parent)
    code, said = batch(small.parent, "iniciar.bat", env, "--sem-navegador")
    assert code == 4  # whole, but its server was left out
    assert "não pode ser executado" in said


def test_on_top_of_a_stick_with_several_folders(small: Path, env: dict[str, str]) -> None:
    needs_a_server(small)
    stick = small.parent
    whole = small.rename(stick / "meu_aps-20261125.2155")
    for folder in (stick, stick / "meu_aps-20261126.0900"):  # the newer one's copying was broken off
        folder.mkdir(exist_ok=True)
        shutil.copy(whole / "iniciar.bat", folder)
    (stick / "zero").mkdir()  # somebody else's
    (stick / "zero" / "SHA256SUMS").touch()
    code, said = batch(stick, "iniciar.bat", env, "--sem-navegador")
    assert code == 4
    assert f"a partir de Z:{whole}" in said
    shutil.copytree(whole, stick / "meu_aps-2-20261125.2155")
    code, said = batch(stick, "iniciar.bat", env)
    assert code == 2
    assert "mais de um assistente" in said
    listed = [line for line in said.splitlines() if '"' in line]
    assert set(listed[0].split()) == {'"meu_aps-20261125.2155"', '"meu_aps-2-20261125.2155"'}


def test_the_self_test(bundle: Path, env: dict[str, str]) -> None:
    code, said = batch(bundle, "autoteste.bat", env)
    print(said)
    assert code == 0
    assert "APROVADO" in said


def test_start_and_the_end_of_the_program(bundle: Path, env: dict[str, str], tmp_path: Path) -> None:
    command = ["wine", "cmd", "/c", "iniciar.bat", "--sem-navegador"]
    with (tmp_path / "said.txt").open("w+b") as said:
        process = subprocess.Popen(command, cwd=bundle, env=env, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        try:
            url = _until_ready(tmp_path / "said.txt")
            with urllib.request.urlopen(url) as page:
                assert "<title>Assistente</title>" in page.read().decode()
            subprocess.run(["wine", "taskkill", "/f", "/im", "clinica.exe"], env=env, check=True, capture_output=True)
            process.wait(timeout=120)
            until = time.monotonic() + 60
            while _answers(url):  # the server ends with it
                assert time.monotonic() < until
                time.sleep(0.1)
        finally:
            subprocess.run(["wineserver", "-k"], env=env, capture_output=True)  # whatever is left of it
            process.wait(timeout=120)


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url).close()
    except urllib.error.URLError:
        return False
    return True


def _until_ready(said: Path) -> str:
    for _ in range(1200):
        text = said.read_text("utf-8", "replace")
        if "Para encerrar" in text:
            return next(word for word in text.split() if word.startswith("http://127.0.0.1:")).partition("#")[0]
        time.sleep(0.1)
    raise AssertionError(said.read_text("utf-8", "replace"))
