"""A whole bundle with the real server and weights, without network: PACKAGER_BUNDLE names its folder.

    packager bundle smollm2_aps
    PACKAGER_BUNDLE=build/smollm2_aps/bundle pytest -m slow tests/chain/test_clinic_offline.py

The network namespace has nothing up but loopback, and the same test shows that a connection out of it fails.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import browser
import clinic_bundle
import pytest

ELSEWHERE = "192.0.2.1"
"""An address that belongs to nobody (RFC 5737)."""
SECONDS_TO_FIRST_TOKEN = 20
"""What the clinic is promised for the default package."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bundle() -> Path:
    folder = os.environ.get("PACKAGER_BUNDLE")
    if not folder:
        pytest.skip("PACKAGER_BUNDLE names no bundle with a real server")
    return Path(folder).resolve()


def loopback_only(*script: str) -> list[str]:
    """A command in a network namespace of its own; skips the test where none can be made."""
    if not shutil.which("unshare") or subprocess.run(["unshare", "-rn", "true"], capture_output=True).returncode:
        pytest.skip("network namespaces cannot be made here")
    return ["unshare", "-rn", "env", f"PYTHONPATH={':'.join(sys.path)}", sys.executable, __file__, *script]


def test_nothing_leaves_the_namespace() -> None:
    with socket.create_server(("127.0.0.1", 0)) as outside:
        port = str(outside.getsockname()[1])
        with socket.create_connection(outside.getsockname()):  # from here it answers
            done = subprocess.run(loopback_only("control", port), capture_output=True, text=True)
    assert done.stdout.split() == ["ENETUNREACH", "ECONNREFUSED"], done.stderr


def test_the_self_test_without_network(bundle: Path) -> None:
    done = subprocess.run(
        loopback_only("sh", str(bundle / "autoteste.sh")), capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    print(done.stdout)
    assert done.returncode == 0, done.stderr
    assert "APROVADO" in done.stdout


def needs_the_model(bundle: Path) -> None:
    """Skips a test of answers that the model writes, where the bundle's model is silent."""
    if json.loads((bundle / "runtime" / "config.json").read_text(encoding="utf-8"))["mode"] != "free":
        pytest.skip("the page of this bundle answers from approved material")


def test_from_start_to_first_token_without_network(bundle: Path) -> None:
    needs_the_model(bundle)
    done = subprocess.run(loopback_only("first-token", str(bundle)), capture_output=True, text=True)
    print(done.stdout)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split()[-2]) < SECONDS_TO_FIRST_TOKEN


@pytest.fixture(scope="module")
def page() -> Iterator[browser.Browser]:
    with browser.chromium() as opened:
        yield opened


def test_the_page_with_the_approved_material(bundle: Path, page: browser.Browser, tmp_path: Path) -> None:
    if json.loads((bundle / "runtime" / "config.json").read_text(encoding="utf-8"))["mode"] != "approved":
        pytest.skip("the model of this bundle is not silent")
    with clinic_bundle.started(["sh", str(bundle / "iniciar.sh"), "--sem-navegador"]) as running:
        page.size(360, 640)
        page.open("about:blank")
        page.open(running.page)
        page.until(lambda: page.run("document.activeElement.id") == "question")
        page.type("#question", "ate q temperatura guarda vacina na sala" + browser.ENTER)
        page.until(lambda: page.text("#status").startswith("Encontrado no material "))
        page.picture(Path(os.environ.get("PAGE_PICTURES", tmp_path)) / "real-approved-360.png")
        assert "Fonte: " in page.text("article.approved footer")
        assert running.children() == []
        assert running.stop()[0] == 0


def test_the_page_with_the_real_server(bundle: Path, page: browser.Browser, tmp_path: Path) -> None:
    needs_the_model(bundle)
    with clinic_bundle.started(["sh", str(bundle / "iniciar.sh"), "--sem-navegador"]) as running:
        page.size(360, 640)
        page.open("about:blank")
        page.open(running.page)
        page.until(lambda: page.run("!!document.title && document.title != 'Assistente'"))
        page.type("#question", "O que é a Atenção Primária à Saúde?" + browser.ENTER)
        page.until(lambda: page.text("article.theirs .text"))
        page.until(lambda: page.text("#status") == "Resposta completa.", seconds=120)
        page.picture(Path(os.environ.get("PAGE_PICTURES", tmp_path)) / "real-360.png")
        page.run("document.querySelector('#question').value = 'palavra '.repeat(4000)")  # typing it takes minutes
        page.type("#question", browser.ENTER)
        assert "A pergunta é longa demais" in page.until(lambda: page.text("#error"))
        assert all(url.startswith((running.url, "data:")) for url in page.requested())
        assert running.stop()[0] == 0


def test_the_real_server_stopped_and_killed_while_it_answers(
    bundle: Path, page: browser.Browser, tmp_path: Path
) -> None:
    needs_the_model(bundle)
    with clinic_bundle.started(["sh", str(bundle / "iniciar.sh"), "--sem-navegador"]) as running:
        server = running.children()[0]
        page.size(1280, 800)
        page.open("about:blank")
        page.open(running.page)
        page.until(lambda: page.run("!!document.title && document.title != 'Assistente'"))
        for end, said in (("stop", "Resposta interrompida."), ("kill", "O programa que responde parou")):
            page.click("#fresh")
            page.type("#question", "O que é a Atenção Primária à Saúde?" + browser.ENTER)
            page.until(lambda: page.text("article.theirs .text"))
            os.kill(server, signal.SIGSTOP)  # it holds still in the middle of its answer
            assert page.text("#status") == "Respondendo…"
            if end == "stop":
                page.click("#stop")
                page.until(lambda: page.text("#status") == said)  # noqa: B023
                os.kill(server, signal.SIGCONT)
            else:
                os.kill(server, signal.SIGKILL)
                assert said in page.until(lambda: page.text("#error"))
                page.picture(Path(os.environ.get("PAGE_PICTURES", tmp_path)) / "real-1280-killed.png")


def first_token(bundle: Path) -> None:
    """Print the seconds from starting the script until a first piece of an answer has come."""
    began = time.monotonic()
    question = json.loads((bundle / "runtime" / "prova.json").read_text(encoding="utf-8"))["questions"][0]["request"]
    body = json.dumps(question | {"stream": True}).encode()
    with clinic_bundle.started(["sh", str(bundle / "iniciar.sh"), "--sem-navegador"]) as running:
        headers = {"Content-Type": "application/json", "X-Chave": running.key}
        request = urllib.request.Request(running.url + "/perguntar", body, headers)
        with urllib.request.urlopen(request) as answer:
            while not _content(answer.readline()):
                pass
        print(running.said, f"\nfirst token after {time.monotonic() - began:.2f} s")
        running.stop()


def _content(line: bytes) -> str:
    if not line.startswith(b"data: {"):
        return ""
    return str(json.loads(line[6:])["choices"][0]["delta"].get("content") or "")


def control(port: int) -> None:
    """Try to leave: to another machine, and to a server of the namespace this one was made from."""
    for address in ((ELSEWHERE, 443), ("127.0.0.1", port)):
        with socket.socket() as out:
            out.settimeout(3)
            print(errno.errorcode.get(out.connect_ex(address), "reached"))


def bring_loopback_up() -> None:
    """SIOCSIFFLAGS with IFF_UP, as `ip link set lo up`, which not every machine has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        fcntl.ioctl(handle, 0x8914, struct.pack("16sh14x", b"lo", 1))


if __name__ == "__main__":
    bring_loopback_up()
    if sys.argv[1] == "control":
        control(int(sys.argv[2]))
    elif sys.argv[1] == "first-token":
        first_token(Path(sys.argv[2]))
    else:
        os.execvp(sys.argv[1], sys.argv[1:])
