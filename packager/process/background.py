"""An external tool that runs during a block: started, watched, and stopped at the end however that comes.

What it prints goes to a log. Fails with `MissingResource` if the tool is not there or may not be run here.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packager.errors import MissingResource
from packager.process.child import die_with_parent, environment, log_file, stop
from packager.process.deaths import last_lines


@dataclass(frozen=True)
class Background:
    """A running tool."""

    _process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        return self._process.pid

    def ended(self) -> bool:
        return self._process.poll() is not None

    def last_lines(self) -> str:
        """What it wrote last."""
        with self.log.open("rb") as text:
            return last_lines(text, 0)

    def peak_ram(self) -> int:
        """The most memory that it held at once, in bytes, mapped files included; 0 where the system does not tell."""
        try:
            status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        except OSError:
            return 0
        found = re.search(r"VmHWM:\s+(\d+)", status)
        return int(found[1]) * 1024 if found else 0


@contextlib.contextmanager
def running(
    command: Sequence[str | Path], *, log: Path, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> Iterator[Background]:
    """`command` during the block; its output is added to `log`."""
    words = [str(word) for word in command]
    with log_file(log) as output:
        output.write(f"$ {' '.join(words)}\n".encode())
        output.flush()
        try:
            process = subprocess.Popen(
                words,
                cwd=cwd,
                env=environment(env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=die_with_parent,
            )
        except OSError as error:
            raise MissingResource(f"{words[0]} cannot be run here: {os.strerror(error.errno or 0)}",
                                  "see that it is there and may be run") from error  # fmt: skip
        try:
            yield Background(process, log)
        finally:
            stop(process)
