"""Children that need not import torch and transformers, as the process that they are forked from has.

To import them takes 3 to 10 seconds, and a build needs them in four processes. `process` starts the one that
imports (`forking.py`), beside what the build does first; `fork` asks it for a child, from the build or from a child
of it. Where it is not to be had (another system than Linux, no build, it died), `fork` says so, and `child.call`
starts a process that imports for itself: only time is lost.

A request is a message with the descriptors that the child is to have. Over a socket of its own come two answers: the
child's number, and how it ended. When this end of that socket is closed, the child is killed.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO

REQUESTS = "PACKAGER_REQUESTS"
"""The environment variable that tells a child the descriptor of the socket for requests."""
READ = (
    "CUDA",
    "GOMP",
    "KMP",
    "LD_",
    "MKL",
    "NUMEXPR",
    "NVIDIA",
    "OMP",
    "OPENBLAS",
    "PYTHON",
    "PYTORCH",
    "TORCH",
    "TRANSFORMERS",
)
"""How the variables begin that importing reads, where another value is another process. (Those of the Hub are read too,
but no such child asks it.)"""
NUMBER = struct.Struct("q")
"""A process's number, or its exit code (minus the signal), as they are answered."""


@dataclass(frozen=True)
class Source:
    """Where this process can ask for children."""

    requests: socket.socket
    read: Mapping[str, str] | None = None
    """What importing read of the environment."""


_source: Source | None = None
peak_ram = 0
"""The most memory that a forked child of this process held at once, in bytes; the system counts it as another's."""


@contextlib.contextmanager
def process(environment: Mapping[str, str]) -> Iterator[None]:
    """Have a process to fork for the duration of the block; one that is there and read the same will do."""
    global _source
    before, read = _source, {k: v for k, v in environment.items() if k.startswith(READ)}
    if sys.platform != "linux" or (before and before.read == read):
        yield
        return
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        with its:
            started = subprocess.Popen(
                [sys.executable, "-m", "packager.process.forking", str(its.fileno()), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                # With this PyTorch counts GPUs without starting CUDA, after which a process cannot be forked.
                env={**environment, "PYTORCH_NVML_BASED_CUDA_CHECK": "1"},
                pass_fds=(its.fileno(),),
            )
        _source = Source(ours, read)
        try:
            yield
        finally:
            _source = before
            started.kill()
            started.wait()


def take(requests: int) -> None:
    """In a child of the process that forks: ask over this descriptor."""
    global _source
    _source = Source(socket.socket(fileno=requests))


def requests() -> socket.socket | None:
    """A socket for requests, to be closed: of this process, or the one that it was started with."""
    if _source:
        return _source.requests.dup()
    with contextlib.suppress(KeyError, ValueError, OSError):
        return socket.socket(fileno=os.dup(int(os.environ[REQUESTS])))
    return None


@dataclass
class Forked:
    """A child of the process that forks, asked as `subprocess.Popen` is."""

    pid: int
    stdin: IO[bytes]
    line: socket.socket = field(repr=False)
    returncode: int | None = None

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            self.line.settimeout(timeout)
            try:
                answer = self.line.recv(NUMBER.size)
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0) from None
            except ConnectionError:
                answer = b""
            # No answer: the process that forks was killed, and its children with it.
            (self.returncode,) = NUMBER.unpack(answer) if answer else (-signal.SIGKILL,)
            self.line.close()
        return self.returncode

    def terminate(self) -> None:
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        self._send(signal.SIGKILL)

    def _send(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


def fork(environment: Mapping[str, str], sender: int, output: int, keep_fds: Sequence[int]) -> Forked | None:
    """A worker (`worker.main`) in this folder with this environment and these descriptors, which has imported; None if
    there is no process to fork."""
    asked = requests()
    if asked is None:
        return None
    line, its = socket.socketpair()
    stdin, written = os.pipe()
    here = os.open(".", os.O_RDONLY)
    given = (its.fileno(), here, stdin, output, sender, asked.fileno(), *keep_fds)
    try:
        with asked, its:
            socket.send_fds(asked, [b"fork"], given)
        pid = line.recv(NUMBER.size)  # after the imports
    except ConnectionError:
        pid = b""
    except BaseException:
        line.close()
        raise
    finally:
        os.close(stdin)
        os.close(here)
    if not pid:
        line.close()
        os.close(written)
        return None
    forked = Forked(NUMBER.unpack(pid)[0], os.fdopen(written, "wb"), line)
    with contextlib.suppress(BrokenPipeError):
        pickle.dump(environment, forked.stdin)
    return forked
