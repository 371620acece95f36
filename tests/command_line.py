"""The command line in the test's own process: what a child would need two seconds for, in a tenth of one.

The environment is what the child's would be, and so is what huggingface_hub took from it when it was imported.
Waits are cut short. What a test says of the process itself (a kill, offline mode, debugging) needs a real one.
"""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from packager.__main__ import main

LONGEST_WAIT = 0.02


def packager(*words: str | Path, check: bool = False) -> subprocess.CompletedProcess[str]:
    """Run `packager` with these words; with `check`, it has to end well. Its stages are processes as always, forked
    from the worker's one that has imported torch."""
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as ended,
    ):
        main([str(word) for word in words])
    done = subprocess.CompletedProcess(words, int(ended.value.code or 0), out.getvalue(), err.getvalue())
    assert not check or done.returncode == 0, done.stderr + done.stdout
    return done


def here(
    words: Sequence[str], environment: Mapping[str, str], waited: list[float] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `packager` with these words; `waited` takes the seconds that it asked to sleep."""
    from huggingface_hub import constants

    sleep = time.sleep
    endpoint, home = environment["HF_ENDPOINT"], Path(environment["HF_HOME"])

    def short(seconds: float) -> None:
        if waited is not None:
            waited.append(seconds)
        sleep(min(seconds, LONGEST_WAIT))

    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name not in environment]:
            patch.delenv(name)
        for name, value in environment.items():
            patch.setenv(name, value)
        patch.setattr(constants, "ENDPOINT", endpoint)
        patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + "/{repo_id}/resolve/{revision}/{filename}")
        patch.setattr(constants, "HF_TOKEN_PATH", str(home / "token"))
        patch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
        patch.setattr(time, "sleep", short)
        return packager(*words)
