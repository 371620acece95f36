"""A deadline for everything that is asked of the Hub, in place of the client's endless patience.

Within `connection` every request fails after a minute in which no byte moves, and whatever is under
way fails with `MissingResource` once the deadline has passed: a server that stalls, one that sends a
byte now and then, and one that asks to wait for too long. What is sent is reported as progress.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from packager.errors import MissingResource
from packager.process import progress

if TYPE_CHECKING:
    import httpx2

CONNECT_SECONDS = 15.0
STALL_SECONDS = 60.0
"""As long may no byte move before a request is given up and tried again."""
PASSING = (408, 429, 500, 502, 503, 504)
"""Answers that may be another one a moment later."""


@dataclass
class RequestWatch:
    """Looks at every request and answer of the client, from whatever thread."""

    until: float
    """On the monotonic clock."""
    total: int = 0
    """Bytes to send, for the progress."""
    finished: int = 0
    """Bytes that the Hub has of them, sent now or before."""
    sent: dict[str, int] = field(default_factory=dict)
    """Bytes sent of what is under way, by the address of each upload."""
    doing: str = ""
    """The file that is under way."""

    def left(self) -> float:
        """Seconds until the deadline; raises `MissingResource` once it has passed."""
        left = self.until - time.monotonic()
        if left <= 0:
            raise MissingResource(
                "The Hub did not finish in time.",
                "run the same command again (what was sent is not sent again), with a longer --deadline if need be",
            )
        return left

    def pause(self, seconds: float) -> None:
        """Sleep, if the deadline is not nearer."""
        if seconds > self.left():
            raise MissingResource(
                f"The Hub asks to wait {seconds:.0f} s, which is longer than the deadline allows.",
                "run the same command again later; what was sent is not sent again",
            )
        time.sleep(seconds)

    def on_request(self, request: httpx2.Request) -> None:
        """Bound the request in time, and count what it sends if it is an upload."""
        left = self.left()
        stall = min(STALL_SECONDS, left)
        request.extensions = {
            **request.extensions,
            "timeout": {"connect": min(CONNECT_SECONDS, left), "read": stall, "write": stall, "pool": stall},
        }
        if request.method == "PUT":
            # What one address stands for is begun anew when it is tried again.
            request.stream = _watched(request.stream, self, str(request.url))  # type: ignore[arg-type]

    def on_response(self, response: httpx2.Response) -> None:
        """Say that the Hub is busy; refuse to wait beyond the deadline; watch the body as it comes."""
        if response.status_code in PASSING:
            asked = response.headers.get("retry-after", "")
            wait = float(asked) if asked.isdigit() else 0.0
            progress.note(
                f"the Hub answers {response.status_code}" + (f" and asks to wait {wait:.0f} s" if wait else "")
            )
            if wait >= self.left():
                self.pause(wait)
        response.stream = _watched(response.stream, self)  # type: ignore[arg-type]

    def count(self, upload: str, sent: int) -> None:
        self.sent[upload] = sent
        if self.total:
            done = min(self.finished + sum(self.sent.values()), self.total)
            progress.update(done / 1e6, self.total / 1e6, "MB", **{"of": self.doing} if self.doing else {})

    def finish(self, size: int) -> bool:
        """What was under way, of so many bytes, is on the Hub; returns whether any of it was sent now."""
        was_sent = bool(self.sent)
        self.finished += size
        self.sent.clear()
        return was_sent


_watch = RequestWatch(until=float("inf"))


def watch() -> RequestWatch:
    """The watch of the connection that is open (without one: no deadline)."""
    return _watch


@contextlib.contextmanager
def connection(seconds: float) -> Iterator[RequestWatch]:
    """Talk to the Hub for at most so many seconds, quietly, with files as plain uploads.

    Plain, because the other way (Xet) sends them with code of its own that knows neither our deadline
    nor our errors. The client's log lines and bars are silenced: they show addresses that are signed.
    """
    global _watch
    from huggingface_hub import constants, set_client_factory
    from huggingface_hub.utils import _http
    from huggingface_hub.utils import logging as client_logging
    from huggingface_hub.utils.tqdm import disable_progress_bars

    def client() -> httpx2.Client:
        made = _http.default_client_factory()
        made.event_hooks["request"].append(mine.on_request)
        made.event_hooks["response"].append(mine.on_response)
        return made

    mine = RequestWatch(time.monotonic() + seconds)
    before = _watch, constants.HF_HUB_DISABLE_XET, client_logging.get_verbosity()
    _watch, constants.HF_HUB_DISABLE_XET = mine, True
    client_logging.set_verbosity(logging.CRITICAL)
    disable_progress_bars()
    set_client_factory(client)
    try:
        yield mine
    finally:
        _watch, constants.HF_HUB_DISABLE_XET = before[:2]
        client_logging.set_verbosity(before[2])
        set_client_factory(_http.default_client_factory)


def _watched(stream: httpx2.SyncByteStream, watch: RequestWatch, upload: str = "") -> httpx2.SyncByteStream:
    """The same bytes, looked at one block after the other."""
    import httpx2

    class Watched(httpx2.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            sent = 0
            for block in stream:
                watch.left()
                yield block
                sent += len(block)
                if upload:
                    watch.count(upload, sent)

        def close(self) -> None:
            stream.close()

    return Watched()
