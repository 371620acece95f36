"""The run folder: what a stage made is committed here, found again and kept from others.

A stage writes into `<stage>.partial/`; when it is done its outputs are hashed and the folder takes its
place in one step (`commit`). So a folder without the suffix is whole, whatever killed the program. A
stage is done when its record has the key that is wanted now (`key`) and the files are there with their
sizes (`verify`: with their hashes).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from packager.artifacts import commit
from packager.artifacts.files import fresh, sha256_of, write_atomically
from packager.artifacts.key import change, content_of, depends, stage_key
from packager.artifacts.kinds import Artifact
from packager.artifacts.stage import Stage
from packager.errors import Busy, InputError, ProofFailed
from packager.process import child, progress
from packager.recipe.recipe import Recipe

A = TypeVar("A", bound=Artifact)

ENDING_SECONDS = 20.0
"""How long what a killed build started may take to end: the system first takes its memory back, some GB a second."""


@dataclass(frozen=True)
class RunFolder:
    """`build/<recipe>/`, held by one build at a time."""

    path: Path
    lock_fd: int
    verify: bool = False
    display: progress.Display = field(default_factory=progress.Display)
    hashed: dict[tuple[int, int, int, int], str] = field(default_factory=dict)
    """Files hashed in this build, under whatever name: device, inode, size and time of change -> sha256."""

    def make(self, stage: Stage[A], recipe: Recipe, inputs: Sequence[Artifact | None]) -> A:
        """The artifact of a stage: the committed one if its key is right, else made now.

        Raises what the stage raises, `ProofFailed` if an input's bytes changed since they were committed.
        """
        name, section = stage.name, stage.section(recipe)
        needs = depends(stage, section, inputs, stage.sources(recipe))
        key = stage_key(name, needs)
        commit.settle(self.path, name)
        commit.finish_if_whole(self.path, name, key)
        done, why = self.committed(stage, needs)
        if done is not None:
            self.display.cached(name)
            return done
        self.display.begin(name, why)
        self._refuse_altered(inputs)
        partial = self.path / f"{name}.partial"
        if not (stage.resumable and _read(partial / "key") == key):
            fresh(partial)
            write_atomically(partial / "key", key)
        began = time.monotonic()
        with progress.route(self.display):
            finished = child.call(
                stage.door,
                section,
                *inputs,
                partial,
                log=self.path / "build.log",
                keep_fds=(self.lock_fd,),
                online=stage.online,
                imports_torch="torch" in stage.versions,
            )
        made = finished.value.model_dump(mode="json", exclude={"folder", "content"})
        self.hashed.update({_identity(partial / name): found for name, found in finished.value.hashed.items()})
        files = commit.listed(partial, self._sha256)
        record = needs | {
            "stage": name,
            "key": key,
            "content": content_of(made, files),
            "seconds": round(time.monotonic() - began, 3),
            "peak_ram_bytes": finished.peak_ram,
            "artifact": made,
            "files": files,
        }
        commit.commit(self.path, name, record, beside=stage.deliverable)
        artifact = finished.value.model_copy(update={"folder": self.path / name, "content": record["content"]})
        self.display.end(stage.says(artifact))
        return artifact

    def kept(self, stage: Stage[A], recipe: Recipe, inputs: Sequence[Artifact | None]) -> A | None:
        """What `earlier` finds; what is there but of something else, or not whole, is passed over, and that is said."""
        found, why = self.earlier(stage, recipe, inputs)
        if found is not None:
            self.display.cached(stage.name)
        elif why:
            self.display.begin(stage.name, f"left out until asked for again: {why.removeprefix('rebuilt: ')}")
        return found

    def earlier(self, stage: Stage[A], recipe: Recipe, inputs: Sequence[Artifact | None]) -> tuple[A | None, str]:
        """What the stage made of the same settings and inputs, whatever else its key held; or None, and why
        it cannot be taken if it is there."""
        record = self._record(stage.name)
        if record is None:
            return None, ""
        now = depends(stage, stage.section(recipe), inputs, None)
        if any(record.get(part) != now[part] for part in ("config", "inputs")):
            return None, f"rebuilt: {change(record | {'sources': None}, now)}"
        return self._whole(stage, record)

    def committed(self, stage: Stage[A], needs: dict[str, Any]) -> tuple[A | None, str]:
        """The committed artifact of what the stage needs now, or None and why it has to run."""
        record = self._record(stage.name)
        if record is None or not (self.path / stage.name).is_dir():
            interrupted = (self.path / f"{stage.name}.partial").exists()
            return None, "not finished yet (it was interrupted)" if interrupted else "not built yet"
        if record["key"] != stage_key(stage.name, needs):
            return None, f"rebuilt: {change(record, needs)}"
        found, why = self._whole(stage, record)
        if found is not None and not found.reusable:
            return None, "again: it failed last time"
        return found, why

    def _whole(self, stage: Stage[A], record: dict[str, Any]) -> tuple[A | None, str]:
        """The artifact of a record if its files are there."""
        folder = self.path / stage.name
        for file in record["files"]:
            path = folder / file["name"]
            if not path.is_file() or path.stat().st_size != file["size"]:
                return None, f"rebuilt: {stage.name}/{file['name']} is missing or has another size"
            if self.verify and sha256_of(path) != file["sha256"]:
                return None, f"rebuilt: {stage.name}/{file['name']} was altered"
        try:
            made = record["artifact"] | {"folder": folder, "content": record["content"]}
            return stage.returns.model_validate(made), "unchanged"
        except (ValidationError, KeyError):
            return None, "rebuilt: its record is of another version"

    def _refuse_altered(self, inputs: Sequence[Artifact | None]) -> None:
        """Nothing is made from bytes that changed since they were committed."""
        for artifact in filter(None, inputs):
            for file in (self._record(artifact.folder.name) or {"files": ()})["files"]:
                if self._sha256(artifact.folder / file["name"]) != file["sha256"]:
                    name = f"{artifact.folder.name}/{file['name']}"
                    raise ProofFailed(
                        f"{artifact.folder.name}.bytes: {name} was altered since it was built.",
                        "build again with --verify to make it anew; if it happens again, check the disk",
                    )

    def _sha256(self, path: Path) -> str:
        """The file's hash; computed once a build, as long as its time and size stay."""
        known = _identity(path)
        if known not in self.hashed:
            self.hashed[known] = sha256_of(path)
        return self.hashed[known]

    def content(self, name: str, needs: dict[str, Any]) -> str:
        """The hash of what the stage made of the same needs when it was last built here; empty if it was not."""
        record = self._record(name) or {}
        return str(record.get("content", "")) if record.get("key") == stage_key(name, needs) else ""

    def last_cost(self, name: str) -> tuple[float | None, int | None]:
        """Seconds and peak bytes of memory of the stage's last build here, if there was one."""
        record = self._record(name) or {}
        return record.get("seconds"), record.get("peak_ram_bytes")

    def _record(self, name: str) -> dict[str, Any] | None:
        """The stage's record; none while a commit of it is unfinished."""
        if (self.path / f"{name}.next.json").is_file():
            return None
        beside = commit.read_record(self.path / f"{name}.{commit.RECORD}")
        return commit.read_record(self.path / name / commit.RECORD) or beside


@contextlib.contextmanager
def open_run(path: Path, *, verify: bool = False) -> Iterator[RunFolder]:
    """Take the run folder's lock for the duration of the block.

    Raises `Busy` (exit 75) naming the process that holds it, at once while that runs.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise InputError(f"Cannot write to {path}: {error.strerror}", "make it writable, or build elsewhere") from error
    try:
        _lock(descriptor, path)
        with (path / "build.log").open("a", encoding="utf-8") as log:
            yield RunFolder(path, descriptor, verify, progress.Display(log=log))
    finally:
        os.close(descriptor)


def _lock(descriptor: int, path: Path) -> None:
    """Lock the file and write into it who does. The children of a build that was killed hold the lock until the system
    has ended them: that is waited for."""
    deadline = time.monotonic() + ENDING_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip()
            if _runs(holder):
                raise Busy(f"{path} is held by {holder}.", "wait for it to end, or stop it") from None
            if time.monotonic() > deadline:
                left = f"what {holder} started, which has ended itself" if holder else "another program"
                raise Busy(f"{path} is held by {left}.", f"see who has it open: fuser -v {path}/.lock") from None
            time.sleep(0.05)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"process {os.getpid()}, since {time.strftime('%H:%M:%S')}".encode(), 0)


def _runs(holder: str) -> bool:
    """Whether the process that a lock file names is there."""
    found = re.match(r"process (\d+)", holder)
    try:
        if found:
            os.kill(int(found[1]), 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        pass
    return found is not None


def peek(path: Path, *, verify: bool = False) -> RunFolder:
    """The run folder for looking only: no lock, nothing may be built in it."""
    return RunFolder(path, -1, verify)


def _identity(path: Path) -> tuple[int, int, int, int]:
    """What stays of a file when it is renamed or linked, and does not when it is written to."""
    status = path.stat()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
