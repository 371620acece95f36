"""Children that need not import torch and transformers, as the process that they are forked from has.

To import them takes 3 to 10 seconds, and a build needs them in four processes. `importing_process` starts the one that
imports (`forking.py`), beside what the build does first; `fork` asks it for a child, from the build or from a child
of it. Where it is not to be had (another system than Linux, no build, it died), `fork` says so, and `child.call`
starts a process that imports for itself: only time is lost.

A request is a message with the descriptors that the child is to have. Over a socket of its own come two answers: the
child's number, and how it ended. A byte sent there asks the child to stop; when this end is closed, it is killed.
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
READ_BY_IMPORTS = (
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
    environment_read: Mapping[str, str] | None = None
    """What importing read of the environment."""


_source: Source | None = None
peak_ram = 0
"""The most memory that a forked child of this process held at once, in bytes; the system counts it as another's."""


@contextlib.contextmanager
def importing_process(environment: Mapping[str, str]) -> Iterator[None]:
    """Have a process to fork for the duration of the block; one that is there and read the same will do."""
    global _source
    before, read = _source, {k: v for k, v in environment.items() if k.startswith(READ_BY_IMPORTS)}
    if sys.platform != "linux" or (before and before.environment_read == read):
        yield
        return
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        with theirs:
            started = subprocess.Popen(
                [sys.executable, "-m", "packager.process.forking", str(theirs.fileno()), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                # With this PyTorch counts GPUs without starting CUDA, after which a process cannot be forked.
                env={**environment, "PYTORCH_NVML_BASED_CUDA_CHECK": "1"},
                pass_fds=(theirs.fileno(),),
            )
        _source = Source(ours, read)
        try:
            yield
        finally:
            _source = before
            started.kill()
            started.wait()


def ask_over(descriptor: int) -> None:
    """In a child: ask over the socket that it was given."""
    global _source
    _source = Source(socket.socket(fileno=descriptor))


def requests() -> socket.socket | None:
    """The socket to ask over."""
    return _source.requests if _source else None


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
        with contextlib.suppress(OSError):
            self.line.send(b"t")

    def kill(self) -> None:
        with contextlib.suppress(OSError):
            self.line.shutdown(socket.SHUT_WR)


def count(child: object, most: int) -> None:
    """Note in `peak_ram` the most memory, in bytes, that `child` held, if it was forked."""
    global peak_ram
    if isinstance(child, Forked):
        peak_ram = max(peak_ram, most)


def fork(environment: Mapping[str, str], sender: int, output: int, keep_fds: Sequence[int]) -> Forked | None:
    """A worker (`worker.main`) in this folder with this environment and these descriptors, which has imported; None if
    there is no process to fork. Its limits, umask and processors are those of the process that it is forked from."""
    if _source is None:
        return None
    with contextlib.ExitStack() as ours:
        try:
            with contextlib.ExitStack() as theirs:
                line, answering = socket.socketpair()
                ours.enter_context(line)
                theirs.enter_context(answering)
                read, written = os.pipe()
                theirs.callback(os.close, read)
                stdin = ours.enter_context(os.fdopen(written, "wb"))
                here = os.open(".", os.O_PATH)
                theirs.callback(os.close, here)
                given = (answering.fileno(), here, read, output, sender, _source.requests.fileno(), *keep_fds)
                socket.send_fds(_source.requests, [b"fork"], given)
            pid = line.recv(NUMBER.size)  # after the imports
        except OSError:
            return None
        if not pid:
            return None
        with contextlib.suppress(BrokenPipeError):
            pickle.dump(environment, stdin)
        ours.pop_all()
        return Forked(NUMBER.unpack(pid)[0], stdin, line)
