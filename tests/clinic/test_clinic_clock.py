"""What depends on how long something takes, with a clock that is moved on: nobody waits."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import clinic_bundle
import pytest

from packager.clinic import starter

SOURCE = starter.SOURCES[0].parent
FILES = ("front", "visit", "request", "json", "mode", "running", "sha256", "say", "posix", "posix_network")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("gcc")
    if not compiler:
        pytest.skip("gcc is not installed")
    out = tmp_path_factory.mktemp("visitors") / "visitors"
    files = [Path(__file__).with_name("visitors.c"), *(SOURCE / f"{name}.c" for name in FILES)]
    command = [
        compiler,
        "-std=gnu11",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-I",
        str(SOURCE),
        "-Wl,--wrap=seconds_now,--wrap=wait_for_sockets",
    ]
    subprocess.run([*command, *map(str, files), "-o", str(out)], check=True)
    return out


@contextmanager
def running(program: Path, what: str, folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process, and the first line that it said."""
    with clinic_bundle.ports(fcntl.LOCK_SH):
        process = subprocess.Popen(
            [str(program), what], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=os.environ | {"TMPDIR": str(folder)},
        )  # fmt: skip
        assert process.stdout is not None
        said = process.stdout.readline().strip()
    try:
        yield process, said
    finally:
        process.kill()
        process.communicate()


def test_who_waits_for_another_s_long_search_is_not_sent_away(program: Path, tmp_path: Path) -> None:
    """Patience is for who says nothing, not for who was not listened to."""
    with running(program, "visitors", tmp_path) as (_, port):
        head = (
            f"POST /buscar HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nX-Chave: chave\r\n"
            "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n"
        )
        with (
            socket.create_connection(("127.0.0.1", int(port))) as waits,
            socket.create_connection(("127.0.0.1", int(port))) as asks,
        ):
            waits.settimeout(60)
            asks.settimeout(60)
            waits.sendall(head[:20].encode())
            asks.sendall(head.encode() + b"{}")
            assert asks.recv(4096).startswith(b"HTTP/1.1 200")
            waits.sendall(head[20:].encode() + b"{}")
            assert waits.recv(4096).startswith(b"HTTP/1.1 200")


def test_who_says_nothing_is_sent_away(program: Path, tmp_path: Path) -> None:
    with (
        running(program, "silence", tmp_path) as (_, port),
        socket.create_connection(("127.0.0.1", int(port))) as silent,
    ):
        silent.settimeout(60)
        assert silent.recv(1) == b""


def test_the_folder_of_one_that_runs_for_days_looks_new(program: Path, tmp_path: Path) -> None:
    with running(program, "place", tmp_path) as (process, said):
        folder = Path(said)
        kept = [folder / "trava", folder / "aberto.json", folder]
        for path in kept:
            os.utime(path, (1, 1))

        def a_day() -> str:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write("\n")
            process.stdin.flush()
            return process.stdout.readline().strip()

        assert a_day() == said
        assert all(path.stat().st_mtime > 1 for path in kept)
        shutil.rmtree(folder)
        assert a_day() == said
        assert folder.stat().st_mode & 0o777 == 0o700
        assert json.loads(kept[1].read_text("utf-8")) == {
            "port": 8180, "key": "chave", "version": "1", "network": False,
        }  # fmt: skip
        process.communicate(timeout=60)
        assert process.returncode == 0
        assert not folder.exists()
