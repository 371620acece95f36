"""A bundle's folder -> its server, running on this machine as the clinic's program starts it.

For who builds the package: what the program that ships renders, answers and takes is asked of that program itself. Its
command line is the start program's (`clinica comando`), so that the two cannot differ. Fails with `MissingResource` if
the bundle has no program for this machine, `StageCrash` with its last lines if the server ends or does not answer.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import platform
import secrets
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packager.clinic import starter
from packager.clinic.targets import TARGETS, Target
from packager.errors import MissingResource, StageCrash
from packager.process import child
from packager.process.background import Background, running

LOAD_SECONDS, ANSWER_SECONDS = 900.0, 900.0
PROMPT_TOKENS = 600
"""More than llama.cpp computes at once (512), so that all of what it computes with has been touched."""
_MACHINES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}


@dataclass(frozen=True)
class HostServer:
    """A running server; nobody else knows its port and key."""

    program: str
    """The variant that was chosen for this processor."""
    process: Background
    port: int
    key: str

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """The answer to a JSON body, as JSON. Raises `StageCrash` for any other than 200."""
        status, answer = self.ask("POST", path, json.dumps(body).encode())
        if status != 200:
            raise StageCrash(f"{self.program} answers {path} with {status}: {answer[:300]!r}", "report this")
        return json.loads(answer)

    def rendered(self, messages: Sequence[Mapping[str, str]]) -> str:
        """The prompt that it makes of a conversation, without generating."""
        return str(self.post("/apply-template", {"messages": list(messages)})["prompt"])

    def tokens(self, text: str) -> list[int]:
        """The token ids of a rendered prompt, as it computes them."""
        body = {"content": text, "add_special": True, "parse_special": True}
        return [int(token) for token in self.post("/tokenize", body)["tokens"]]

    def peak_ram(self) -> int:
        """The most memory that it held at once, in bytes; 0 where the system does not tell."""
        return self.process.peak_ram()

    def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        """Status and body."""
        head = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_SECONDS)
        with contextlib.closing(connection):
            try:
                connection.request(method, path, body, head)
                reply = connection.getresponse()
                return reply.status, reply.read()
            except (OSError, http.client.HTTPException) as error:
                if not self.process.ended():
                    raise StageCrash(f"{self.program} does not answer {path}: {error}", "report this") from error
                raise StageCrash(
                    f"{self.program} ended by itself:\n{self.process.last_lines()}", "report this"
                ) from error


def host_target() -> Target | None:
    """The kind of machine that this one is, if bundles have programs for it."""
    system = {"linux": "linux", "win32": "windows"}.get(sys.platform, sys.platform)
    return TARGETS.get(f"{system}-{_MACHINES.get(platform.machine().lower(), platform.machine())}")


@contextlib.contextmanager
def serving(bundle: Path, *, options: Sequence[str] = ()) -> Iterator[HostServer]:
    """The server of the bundle in the folder `bundle`, ready to answer, during the block.

    Of the folder it takes the programs, `runtime/config.json` and the model; SHA256SUMS need not be there yet.
    `options` are added to the command line, where later ones win.
    """
    command = [*_command(bundle), *options]
    key = secrets.token_urlsafe(16)
    with _free_port() as port, tempfile.TemporaryDirectory(prefix="packager-") as folder:
        command[command.index("--port") + 1] = str(port)
        log = Path(folder) / "server.log"
        with running(command, log=log, cwd=bundle, env={"LLAMA_API_KEY": key}) as process:
            server = HostServer(Path(command[0]).name, process, port, key)
            _until_ready(server)
            yield server


def measured(bundle: Path, context: int, requests: Sequence[Mapping[str, Any]]) -> tuple[int, tuple[str, ...]]:
    """What the bundle's server takes and says on this machine: the most memory, in bytes, after a prompt that it has to
    compute in more than one piece (or one that fills the context), and its answers to the `requests` of chat."""
    with serving(bundle) as server:
        replies = [server.post("/v1/chat/completions", body) for body in requests]
        said = tuple(str(reply["choices"][0]["message"]["content"] or "").strip() for reply in replies)
        prompt = [1] * max(1, min(PROMPT_TOKENS, context - 16))
        server.post("/completion", {"prompt": prompt, "n_predict": 8, "ignore_eos": True})
        return server.peak_ram(), said


def _command(bundle: Path) -> list[str]:
    target = host_target()
    program = bundle / "runtime" / target.name / starter.name(target) if target else None
    if not program or not program.is_file():
        here = target.name if target else f"{sys.platform} {platform.machine()}"
        raise MissingResource(f"The bundle has no program for this machine ({here}).", "packager runtime")
    return child.run([program, "comando", "--pasta", bundle.resolve()]).splitlines()


def _until_ready(server: HostServer) -> None:
    until = time.monotonic() + LOAD_SECONDS
    while time.monotonic() < until:
        if server.process.ended():
            raise StageCrash(f"{server.program} does not start:{server.process.last_lines()}", "report this")
        with contextlib.suppress(StageCrash):
            if server.ask("GET", "/v1/models")[0] == 200:
                return
        time.sleep(0.1)
    raise StageCrash(f"{server.program} was not ready in {LOAD_SECONDS:.0f} s.", "try on a quiet machine")


@contextlib.contextmanager
def _free_port() -> Iterator[int]:
    """A port that a server, which reuses addresses, may take; on Linux the system gives it to nobody else meanwhile."""
    with socket.socket() as held:
        if sys.platform == "linux":
            for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
                held.setsockopt(socket.SOL_SOCKET, option, 1)
        held.bind(("127.0.0.1", 0))
        port = int(held.getsockname()[1])
        if sys.platform != "linux":
            held.close()
        yield port
