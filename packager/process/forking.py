"""The process that has imported torch and transformers and forks for each request (`preloaded.py` asks).

Started as `python -m packager.process.forking FD PARENT`; FD is a SOCK_SEQPACKET socket for requests, each with the
descriptors of `preloaded.fork`. It never computes anything, so that no thread of torch's and no GPU stands in the way
of a fork.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import pickle
import selectors
import signal
import socket
import sys
from collections.abc import Sequence
from typing import Any

from packager.process import child, preloaded, worker

MODULES = ("torch._inductor.compile_fx", "transformers.modeling_utils", "transformers.models.auto.modeling_auto")
"""They bring torch and most of what peft imports; none starts CUDA, as bitsandbytes does."""
STOPS = (signal.SIGINT, signal.SIGTERM)


def main(descriptor: int, parent: int) -> None:
    child.die_with_parent()
    if os.getppid() != parent:
        return
    for number in STOPS:  # sent to a whole group of processes, they are the build's to answer, and training's to save
        signal.signal(number, signal.SIG_IGN)
    for module in MODULES:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()  # else the first collection in a child would copy the pages that it marks
    forking_pid = os.getpid()
    with socket.socket(fileno=descriptor) as requests:
        given = serve(requests)
    if given:
        _work(given, forking_pid)


def serve(requests: socket.socket) -> list[int] | None:
    """Fork for each request until nobody can ask any more. In a child: the descriptors that it is to have."""
    with selectors.DefaultSelector() as ready:
        ready.register(requests, selectors.EVENT_READ)
        while True:
            key = ready.select()[0][0]
            if key.fileobj is requests:
                message, given, _, _ = socket.recv_fds(requests, 16, 16)
                if not message:
                    return None
                try:
                    pid = os.fork()
                except OSError:  # no room for a process: who asked starts one, and says so
                    _close(*given)
                    continue
                line = socket.socket(fileno=given[0])
                if pid == 0:
                    _close(line, *(other.fileobj for other in ready.get_map().values()))
                    return given[1:]
                _close(*given[1:])
                ended = os.pidfd_open(pid)
                ready.register(ended, selectors.EVENT_READ, (pid, line))
                ready.register(line, selectors.EVENT_READ, ended)
                _answer(line, pid)
            elif isinstance(key.fileobj, socket.socket):
                stop = _asked_to_stop(key.fileobj)
                signal.pidfd_send_signal(key.data, signal.SIGTERM if stop else signal.SIGKILL)
                if not stop:
                    ready.unregister(key.fileobj)
            else:
                pid, line = key.data
                _answer(line, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
                for finished in (key.fileobj, line):
                    with contextlib.suppress(KeyError):
                        ready.unregister(finished)
                    _close(finished)


def _asked_to_stop(line: socket.socket) -> bool:
    """Rather than that whoever asked for the child wants it killed, or is gone."""
    try:
        return bool(line.recv(1))
    except OSError:
        return False


def _answer(line: socket.socket, number: int) -> None:
    with contextlib.suppress(OSError):  # nobody there: it is seen when the line is read
        line.send(preloaded.NUMBER.pack(number))


def _close(*descriptors: Any) -> None:
    for descriptor in descriptors:
        os.close(descriptor) if isinstance(descriptor, int) else descriptor.close()


def _work(given: Sequence[int], parent: int) -> None:
    """Be the worker that these descriptors make."""
    for number in STOPS:
        signal.signal(number, signal.SIG_DFL)
    here, stdin, output, sender, requests = given[:5]  # the others are only kept open
    os.fchdir(here)
    for descriptor, standard in ((stdin, 0), (output, 1), (output, 2)):
        os.dup2(descriptor, standard)
    _close(here, stdin, output)
    preloaded.ask_over(requests)
    os.environ.clear()
    os.environ.update(pickle.load(sys.stdin.buffer))
    importlib.invalidate_caches()  # of what was found since the imports
    worker.main(sender, parent)


if __name__ == "__main__":
    os.close(os.pidfd_open(os.getpid()))  # a system without it is known before the first request
    main(int(sys.argv[1]), int(sys.argv[2]))
