"""Our functions and external tools in processes of their own.

`call` runs one of our own functions in a child, so that its memory is returned and a crash of
native code is named instead of taking the build down; `run` runs an external tool. Both write the
child's output to a log, put its last lines into the error, pass no secret on, and never outlive
the parent.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import IO, Any, Generic, TypeVar

from packager.errors import MissingResource, PackagerError, StageCrash
from packager.process import cgroup, preloaded, progress, secrets
from packager.process.deaths import death, last_lines, oom_kills

T = TypeVar("T")

GRACE_SECONDS = 30.0
WATCH_SECONDS = 0.5


@dataclass(frozen=True)
class Finished(Generic[T]):
    """What a child returned, and the most memory it held at once (bytes)."""

    value: T
    peak_ram: int


def environment(extra: Mapping[str, str] | None = None, *, online: bool = False) -> dict[str, str]:
    """The environment of a child: ours; unless it is `online`, without secrets or calls to the Hub."""
    env = dict(os.environ)
    if not online:
        env = {k: v for k, v in env.items() if k not in secrets.VARIABLES} | {"HF_HUB_OFFLINE": "1"}
    env |= {"TRANSFORMERS_VERBOSITY": "error", "TOKENIZERS_PARALLELISM": "true"}
    return _within_quota(_with_name(env)) | dict(extra or {})


def _with_name(env: dict[str, str]) -> dict[str, str]:
    """torch asks for the user's name, which a container's uid may lack."""
    try:
        getpass.getuser()
    except (KeyError, OSError, ImportError):
        return env | {"LOGNAME": f"user{os.getuid()}"}
    return env


def _within_quota(env: dict[str, str]) -> dict[str, str]:
    """More threads than a container gives processors wait for each other."""
    if cgroup.processors() is None:
        return env
    return {name: str(physical_cores()) for name in ("OMP_NUM_THREADS", "RAYON_NUM_THREADS")} | env


def call(
    function: Callable[..., T],
    *args: Any,
    log: Path | None = None,
    memory_limit: int | None = None,
    timeout: float | None = None,
    keep_fds: Sequence[int] = (),
    online: bool = False,
    imports_torch: bool = False,
) -> Finished[T]:
    """Run `function(*args)` in a child process and return its value and peak memory.

    `function` must be importable by name and its arguments picklable. `memory_limit` bounds the
    child's address space in bytes, `timeout` its wall time in seconds, once it runs. `keep_fds` stay open in the
    child (the run folder's lock: it is then held until the last child is gone). Only an `online` child
    may reach the Hub. One that `imports_torch` is forked from a process that has, where there is one.

    Raises the child's own `PackagerError`; `StageCrash` for a signal or an unexpected exception;
    `MissingResource` when it was killed for memory or ran out of time.
    """
    receiver, sender = Pipe(duplex=False)
    with receiver, log_file(log) as output:
        start, ooms = output.tell(), oom_kills()
        env = environment(online=online)
        with sender:
            child = _start_worker(sender, output, keep_fds, env, forked=imports_torch and not online)
        try:
            assert child.stdin is not None
            with contextlib.suppress(BrokenPipeError), child.stdin as stdin:
                pickle.dump(sys.path, stdin)  # so that the child finds the function where we did
                pickle.dump((function, args, memory_limit), stdin)
            outcome = _receive(receiver, time.monotonic() + timeout if timeout else None)
        except BaseException:
            stop(child)
            raise
        if outcome is _TIMED_OUT:
            stop(child, grace=0)
            raise MissingResource(
                f"{function.__name__} was stopped: not finished after {progress.duration(timeout or 0)}",
                "see the log for how far it came",
            )
        code = child.wait()
        if isinstance(outcome, Finished):
            preloaded.count(child, outcome.peak_ram)
            return outcome
        if isinstance(outcome, PackagerError):
            raise outcome
        if isinstance(outcome, str):
            raise StageCrash(f"{function.__name__} failed:\n{outcome}", "this is our bug: please report it")
        raise death(function.__name__, code, last_lines(output, start), oom_kills() > ooms)


def _start_worker(
    sender: Connection, output: IO[bytes], keep_fds: Sequence[int], env: Mapping[str, str], *, forked: bool
) -> subprocess.Popen[bytes] | preloaded.Forked:
    """The process that takes a function on stdin and answers through `sender`."""
    if forked and (child := preloaded.fork(env, sender.fileno(), output.fileno(), keep_fds)):
        return child
    asked = preloaded.requests()
    told = {preloaded.REQUESTS: str(asked.fileno())} if asked else {}
    return subprocess.Popen(
        [sys.executable, "-m", "packager.process.worker", str(sender.fileno()), str(os.getpid())],
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=subprocess.STDOUT,
        env={**env, **told},
        pass_fds=(sender.fileno(), *keep_fds, *([asked.fileno()] if asked else [])),
    )


def run(
    command: Sequence[str | Path],
    *,
    log: Path | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
    stdin: Path | None = None,
    watch: Callable[[str], None] | None = None,
) -> str:
    """Run an external tool to its end and return what it printed (stdout and stderr together).

    It reads the file `stdin`, or nothing; `watch` is told its newest line twice a second, whether or not it is new.
    Raises `MissingResource` if the tool is not there, `StageCrash` with its last lines if it fails.
    """
    words = [str(word) for word in command]
    with log_file(log) as output:
        output.write(f"$ {' '.join(words)}\n".encode())
        output.flush()
        start = output.tell()
        with (stdin or Path(os.devnull)).open("rb") as given:
            try:
                child = subprocess.Popen(
                    words,
                    cwd=cwd,
                    env=environment(env),
                    stdin=given,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    preexec_fn=die_with_parent,
                )
            except FileNotFoundError as error:
                raise MissingResource(f"{words[0]} is not installed", f"install {words[0]}") from error
        try:
            _wait(child, timeout, output, watch)
        except subprocess.TimeoutExpired as error:
            stop(child, grace=0)
            raise MissingResource(f"{words[0]} did not finish within {timeout:.0f} s", "run again") from error
        except BaseException:
            stop(child)
            raise
        if child.returncode != 0:
            raise death(Path(words[0]).name, child.returncode, last_lines(output, start), False)
        output.seek(start)
        return output.read().decode(errors="replace")


def physical_cores() -> int:
    """Physical cores this process may use, within a container's quota; llama.cpp is slower on hyper-threads than
    without."""
    cores = set()
    for cpu in _allowed():
        topology = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology")
        try:
            cores.add(((topology / "physical_package_id").read_text(), (topology / "core_id").read_text()))
        except OSError:
            cores.add((str(cpu), ""))
    return _within(len(cores))


def processors() -> int:
    """Hyper-threads this process may use, within a container's quota: for work that never waits for other threads."""
    return _within(len(_allowed()))


def _allowed() -> set[int]:
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


def _within(count: int) -> int:
    quota = cgroup.processors()
    return max(1, count if quota is None else min(count, int(quota)))


_TIMED_OUT = object()


def _receive(receiver: Connection, deadline: float | None) -> Any:
    """Hand progress on until the child's outcome arrives; None if it died without one."""
    while True:
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and (left <= 0 or not receiver.poll(left)):
            return _TIMED_OUT
        try:
            message = receiver.recv()
        except EOFError:
            return None
        if isinstance(message, dict):
            progress.forward(message)
        else:
            return message


def _wait(
    child: subprocess.Popen[bytes], timeout: float | None, output: IO[bytes], watch: Callable[[str], None] | None
) -> None:
    """Until the child ends, or `subprocess.TimeoutExpired`; `watch` sees the last line now and then."""
    began = time.monotonic()
    while watch and child.poll() is None and (timeout is None or time.monotonic() - began < timeout):
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(WATCH_SECONDS)
        # The child writes at the same file offset: it must not be moved.
        end = os.fstat(output.fileno()).st_size
        lines = os.pread(output.fileno(), 4096, max(0, end - 4096)).decode(errors="replace").split("\n")
        watch(next((line for line in reversed(lines[:-1]) if line.strip()), ""))
    child.wait(None if timeout is None else max(0, timeout - (time.monotonic() - began)))


def stop(child: subprocess.Popen[bytes] | preloaded.Forked, grace: float = GRACE_SECONDS) -> None:
    if grace and child.poll() is None:
        child.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(grace)
    if child.poll() is None:
        child.kill()
    child.wait()


def die_with_parent() -> None:
    """In the child: be killed when the parent dies, however it dies (Linux)."""
    if sys.platform == "linux":
        import ctypes

        pr_set_pdeathsig = 1  # <sys/prctl.h>
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


@contextlib.contextmanager
def log_file(path: Path | None) -> Iterator[IO[bytes]]:
    with path.open("ab+") if path else tempfile.TemporaryFile() as output:
        yield output
