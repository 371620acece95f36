"""The run folder: how what a stage made is committed, found again and kept from others.

A stage writes into `<stage>.partial/`; when it is done its outputs are hashed, `stage.json` is
written last, everything is synced and the folder is renamed. So a folder without the suffix is
whole, whatever killed the program. Its key is the hash of its config section, the keys of its
inputs and the versions that matter; a stage is done when `stage.json` has the wanted key and the
files are there with their sizes (`verify`: with their hashes).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from packager import __version__
from packager.artifacts.files import fresh, key_of, sha256_of, write_atomically, write_json
from packager.artifacts.kinds import Artifact
from packager.errors import Busy, InputError, ProofFailed
from packager.process import child, progress

RECORD = "stage.json"

A = TypeVar("A", bound=Artifact)


@dataclass(frozen=True)
class RunFolder:
    """`build/<recipe>/`, held by one build at a time."""

    path: Path
    lock_fd: int
    verify: bool = False
    display: progress.Display = field(default_factory=progress.Display)
    hashed: dict[tuple[Path, int, int], str] = field(default_factory=dict)
    """Files hashed in this build: path, size and time of change -> sha256."""

    def stage(
        self,
        name: str,
        returns: type[A],
        function: Callable[..., A],
        config: BaseModel | None,
        *inputs: Artifact | None,
        versions: Sequence[str] = (),
        extra: object = None,
        resumable: bool = False,
        online: bool = False,
        record_beside: bool = False,
        says: Callable[[A], str] = lambda artifact: "",
    ) -> A:
        """The artifact of stage `name`: the committed one if its key is right, else made now.

        `function(config, *inputs, out)` runs in a child process and writes into `out`. `versions`
        name the distributions whose version is part of the key; `extra` is anything else that is.
        A `resumable` stage finds what it left when it was interrupted. With `record_beside` the
        record is not written into the folder, which is a deliverable.
        """
        key = stage_key(name, config, inputs, versions, extra)
        if self._key_in(self.path / f"{name}.partial" / RECORD) == key:  # killed just before the rename
            for left in ("key", "checkpoints"):
                _delete(self.path / f"{name}.partial" / left)
            self._put_in_place(name)
        done, why = self.committed(name, returns, key)
        if done is not None:
            self.display.cached(name)
            return done
        self.display.begin(name, why)
        self._refuse_altered(inputs)
        partial = self.path / f"{name}.partial"
        if not (resumable and _read(partial / "key") == key):
            fresh(partial)
            write_atomically(partial / "key", key)
        began = time.monotonic()
        with progress.route(self.display):
            finished = child.call(
                function,
                config,
                *inputs,
                partial,
                log=self.path / "build.log",
                keep_fds=(self.lock_fd,),
                online=online,
            )
        seconds = time.monotonic() - began
        made = finished.value.model_dump(mode="json", exclude={"folder", "key"})
        if not finished.value.reusable:
            key = _key_of_failure(key, made)
        artifact = finished.value.model_copy(update={"folder": self.path / name, "key": key})
        record = {
            "stage": name,
            "key": key,
            "config": _section(config),
            "inputs": _keys(inputs),
            "versions": versions_of(versions),
            "seconds": round(seconds, 3),
            "peak_ram_bytes": finished.peak_ram,
            "artifact": made,
        }
        self._commit(name, record, record_beside)
        self.display.end(says(artifact))
        return artifact

    def kept(
        self,
        name: str,
        returns: type[A],
        function: Callable[..., A],
        config: BaseModel | None,
        *inputs: Artifact | None,
        **options: Any,
    ) -> A | None:
        """What `earlier` finds; what is there but not whole is passed over, and that is said."""
        found, why = self.earlier(name, returns, config, inputs)
        if found is not None:
            self.display.cached(name)
        elif why:
            self.display.begin(name, f"left out: {why.removeprefix('rebuilt: ')}")
        return found

    def earlier(
        self, name: str, returns: type[A], config: BaseModel | None, inputs: Sequence[Artifact | None]
    ) -> tuple[A | None, str]:
        """What stage `name` made of the same settings and inputs, whatever else its key held; or None, and why
        it cannot be taken if it is there."""
        record = self._record(name) or {}
        if (record.get("config"), record.get("inputs")) != (_section(config), _keys(inputs)):
            return None, ""
        return self.committed(name, returns, str(record["key"]))

    def committed(self, name: str, returns: type[A], key: str) -> tuple[A | None, str]:
        """The committed artifact with this key, or None and why the stage has to run."""
        folder = self.path / name
        record = self._record(name)
        if record is None or not folder.is_dir():
            interrupted = (self.path / f"{name}.partial").exists()
            return None, "not finished yet (it was interrupted)" if interrupted else "not built yet"
        if record["key"] == _key_of_failure(key, record["artifact"]):
            return None, "again: it failed last time"
        if record["key"] != key:
            return None, "rebuilt: its settings or inputs changed"
        for file in record["files"]:
            path = folder / file["name"]
            if not path.is_file() or path.stat().st_size != file["size"]:
                return None, f"rebuilt: {name}/{file['name']} is missing or has another size"
            if self.verify and sha256_of(path) != file["sha256"]:
                return None, f"rebuilt: {name}/{file['name']} was altered"
        try:
            return returns.model_validate(record["artifact"] | {"folder": folder, "key": key}), "unchanged"
        except ValidationError:
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
        status = path.stat()
        known = (path, status.st_size, status.st_mtime_ns)
        if known not in self.hashed:
            self.hashed[known] = sha256_of(path)
        return self.hashed[known]

    def _put_in_place(self, name: str) -> None:
        shutil.rmtree(self.path / name, ignore_errors=True)
        (self.path / f"{name}.partial").rename(self.path / name)

    def last_cost(self, name: str) -> tuple[float | None, int | None]:
        """Seconds and peak bytes of memory of the stage's last build here, if there was one."""
        record = self._record(name) or {}
        return record.get("seconds"), record.get("peak_ram_bytes")

    @staticmethod
    def _key_in(path: Path) -> str | None:
        try:
            key: str = json.loads(path.read_text(encoding="utf-8"))["key"]
        except (OSError, ValueError, KeyError):
            return None
        return key

    def _record(self, name: str) -> dict[str, Any] | None:
        for path in (self.path / name / RECORD, self.path / f"{name}.{RECORD}"):
            try:
                record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError):
                continue
            return record
        return None

    def _commit(self, name: str, record: dict[str, Any], beside: bool) -> None:
        """Hash, sync, record, rename: in that order, so that a whole folder is a finished one.

        What a resumed stage would need goes last: a kill before the record repeats the end of the
        stage, a kill after it leaves only the rename to be done.
        """
        partial = self.path / f"{name}.partial"
        scratch = (partial / "key", partial / "checkpoints")
        not_made = {*scratch, partial / RECORD}  # a record: of a try that was killed just before the rename
        files = sorted(p for p in partial.rglob("*") if p.is_file() and not {p, *p.parents} & not_made)
        record["files"] = [
            {"name": p.relative_to(partial).as_posix(), "size": p.stat().st_size, "sha256": sha256_of(p)} for p in files
        ]
        for path in files:
            _sync(path)
        if not beside:
            write_json(partial / RECORD, record)
        scratch[0].unlink()
        shutil.rmtree(scratch[1], ignore_errors=True)
        _sync(partial)
        self._put_in_place(name)
        if beside:
            write_json(self.path / f"{name}.{RECORD}", record)
        _sync(self.path)


def stage_key(
    name: str, config: BaseModel | None, inputs: Sequence[Artifact | None], versions: Sequence[str], extra: object
) -> str:
    """What a stage's result depends on, as one hash."""
    return key_of(name, _section(config), [i.key if i else None for i in inputs], versions_of(versions), extra)


def _key_of_failure(key: str, made: dict[str, Any]) -> str:
    """Of a result that is not reusable: made again, it is another, and so is what is made of it."""
    return key_of(key, made)


def _section(config: BaseModel | None) -> dict[str, Any]:
    return config.model_dump(mode="json") if config else {}


def _keys(inputs: Sequence[Artifact | None]) -> dict[str, str]:
    return {i.folder.name: i.key for i in inputs if i}


def versions_of(distributions: Sequence[str]) -> dict[str, str]:
    """Installed versions, without importing anything."""
    return {"packager": __version__} | {name: metadata.version(name) for name in distributions}


@contextlib.contextmanager
def open_run(path: Path, *, verify: bool = False) -> Iterator[RunFolder]:
    """Take the run folder's lock for the duration of the block.

    Raises `Busy` (exit 75) naming the process that holds it.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise InputError(f"Cannot write to {path}: {error.strerror}", "make it writable, or build elsewhere") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip() or "another build"
            raise Busy(f"{path} is held by {holder}.", "wait for it to end, or stop it") from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()}, since {time.strftime('%H:%M:%S')}".encode(), 0)
        with (path / "build.log").open("a", encoding="utf-8") as log:
            yield RunFolder(path, descriptor, verify, progress.Display(log=log))
    finally:
        os.close(descriptor)


def peek(path: Path, *, verify: bool = False) -> RunFolder:
    """The run folder for looking only: no lock, nothing may be built in it."""
    return RunFolder(path, -1, verify)


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
