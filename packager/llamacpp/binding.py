"""Load the llama_cpp binding once, silence it, and keep the last lines it logged for error messages."""

from __future__ import annotations

import collections
import contextlib
import functools
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

Listener = Callable[[str], None]

_lines: collections.deque[tuple[int, str]] = collections.deque(maxlen=200)
"""What was logged, each line with the thread that called the library."""
_listener: Listener | None = None
_unfinished: dict[int, str] = {}
"""The line that each thread is at."""
_writing = threading.Lock()


@functools.cache
def library() -> Any:
    """The llama_cpp module, initialised, logging into memory instead of to stderr."""
    import ctypes

    # OpenMP's threads wait for each other in a loop of 1000 rounds, not of billions, and then sleep: on a machine
    # that does anything else that is three times as fast (measured on 2 cores).
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    import llama_cpp

    # Kept on the function: ctypes does not keep the callback alive, and the library calls it later.
    callback = llama_cpp.llama_log_callback(_log)
    library.callback = callback  # type: ignore[attr-defined]
    llama_cpp.llama_log_set(callback, ctypes.c_void_p(0))
    llama_cpp.llama_backend_init()
    return llama_cpp


@contextlib.contextmanager
def listening(listener: Listener | None = None) -> Iterator[None]:
    """Forget what was logged before, and hand every further line to `listener` inside the block."""
    global _listener
    _lines.clear()
    _unfinished.clear()
    _listener = listener
    try:
        yield
    finally:
        _listener = None


def complaint(count: int = 4) -> str:
    """The last lines that the library logged for this thread, indented for an error message."""
    own = [line for thread, line in list(_lines) if thread == threading.get_ident()]
    return "\n".join(f"  | {line}" for line in own[-count:])


def _log(level: int, text: bytes, data: object) -> None:
    thread = threading.get_ident()
    with _writing:
        *whole, _unfinished[thread] = (_unfinished.get(thread, "") + text.decode(errors="replace")).split("\n")
        for line in filter(str.strip, whole):
            _lines.append((thread, line.strip()))
            if _listener is not None:
                _listener(line)
