"""The child's side of `child.call`: read a function and its arguments, run it, send the outcome.

Started as `python -m packager.process.worker FD PARENT`, or forked (`forking.py`); stdin holds the pickled work, FD
takes progress events (dicts) and then one outcome: `Finished`, a `PackagerError`, or a traceback as text.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import resource
import sys
import traceback
from multiprocessing.connection import Connection
from pathlib import Path

from packager.errors import explain
from packager.process import child, preloaded, progress, stopping


def main(descriptor: int, parent: int) -> None:
    child.die_with_parent()
    if os.getppid() != parent:  # it died before we asked to die with it
        return
    sender: Connection[object, object] = Connection(descriptor, readable=False)
    with stopping.interruptible(), progress.route(sender.send):
        try:
            sys.path[:] = pickle.load(sys.stdin.buffer)
            function, args, memory_limit = pickle.load(sys.stdin.buffer)
            if memory_limit:
                resource.setrlimit(resource.RLIMIT_AS, (memory_limit, memory_limit))
            value = function(*args)
            outcome: object = child.Finished(value, peak_ram())
        except BaseException as error:
            outcome = explain(error) or traceback.format_exc()
            traceback.print_exc()
        sender.send(outcome)


def peak_ram() -> int:
    """The most memory that this process, or a child that it waited for, held at once, in bytes.

    On Linux the process's own is VmHWM: its ru_maxrss would include what the parent held when it
    started us.
    """
    unit = 1 if sys.platform == "darwin" else 1024
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                own = int(line.split()[1]) * 1024
    return max(own, preloaded.peak_ram, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit)


if __name__ == "__main__":
    if descriptor := os.environ.pop(preloaded.REQUESTS, ""):
        preloaded.ask_over(int(descriptor))
    main(int(sys.argv[1]), int(sys.argv[2]))
