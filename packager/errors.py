"""The error tree. Each class of failure has its exit code; every message ends in the next action.

`PackagerError` and its children are for people: the command line prints them without a traceback.
Anything else that escapes is our own bug and keeps its traceback (exit 1).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence

import click


class PackagerError(click.ClickException):
    """A failure that is explained: what happened, and what to do about it."""

    exit_code = 1

    def __init__(self, message: str, fix: str = "") -> None:
        super().__init__(message)
        self.fix = fix

    def format_message(self) -> str:
        return f"{self.message}\n  -> {self.fix}" if self.fix else self.message

    def __reduce__(self) -> tuple[type[PackagerError], tuple[str, str]]:
        return type(self), (self.message, self.fix)


class InputError(PackagerError):
    """The recipe, the data or the command line is wrong."""

    exit_code = 2


class ProofFailed(PackagerError):
    """A check of the proof failed; nothing was packaged."""

    exit_code = 3


class TrainingDiverged(PackagerError):
    """The loss or its gradient is no longer a number, or the loss has run away."""

    exit_code = 3


class MissingResource(PackagerError):
    """A tool, memory, disk space or the network is missing."""

    exit_code = 4


class Busy(PackagerError):
    """Another build holds the run folder (EX_TEMPFAIL)."""

    exit_code = 75


class Interrupted(PackagerError):
    """Ctrl-C or SIGTERM; what was finished is kept."""

    exit_code = 130


class StageCrash(PackagerError):
    """A child process died: by a signal, or by an exception that is our own bug."""

    exit_code = 1


def all_at_once(problems: Sequence[str], heading: str, fix: str = "") -> InputError:
    """One error that shows every problem, a line each."""
    lines = "\n".join(f"  - {problem}" for problem in problems)
    return InputError(f"{heading}\n{lines}", fix)


def together(problems: Sequence[PackagerError]) -> PackagerError:
    """One error that shows every problem with its fix: the user's to mend if any of them is."""
    if len(problems) == 1:
        return problems[0]
    text = "\n".join(f"- {problem.format_message()}" for problem in problems)
    kind = InputError if any(isinstance(problem, InputError) for problem in problems) else MissingResource
    return kind(f"{len(problems)} problems:\n{text}")


def explain(error: BaseException) -> PackagerError | None:
    """The human form of an error of the operating system, or None if it is not one we know."""
    if isinstance(error, PackagerError):
        return error
    text = str(error)
    # Native writers (safetensors, torch) wrap ENOSPC in exceptions of their own.
    full_disk = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    if full_disk or "No space left on device" in text or "os error 28" in text:
        return MissingResource(
            f"The disk is full: {text}",
            "free some space (or set TMPDIR elsewhere, if it is the folder of temporary files), and run the same"
            " command again; finished stages are kept",
        )
    if isinstance(error, MemoryError) or "can't allocate memory" in text:
        return MissingResource(
            f"Out of memory: {text or 'an allocation failed'}",
            "close other programs, or lower train.batch.examples_per_micro_batch or data.max_tokens",
        )
    if "CUDA out of memory" in text or "CUDA error: out of memory" in text:
        return MissingResource(
            f"The GPU's memory is full: {text}",
            "stop what else runs on it (nvidia-smi lists it), or hide it from this build: CUDA_VISIBLE_DEVICES=",
        )
    if isinstance(error, PermissionError) or (isinstance(error, OSError) and error.errno == errno.EROFS):
        if "/.cache/" in text or os.environ.get("XDG_CACHE_HOME", "\0") in text:
            return MissingResource(
                f"The cache cannot be written: {text}", "set XDG_CACHE_HOME to a folder that you may write to"
            )
        return InputError(f"No permission: {text}", "make the file or folder readable and writable")
    if isinstance(error, FileNotFoundError) and "No usable temporary directory" in text:
        return MissingResource(
            "No folder for temporary files can be written to.", "set TMPDIR to a folder that you may write to"
        )
    return None
