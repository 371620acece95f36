"""Reading from the Hub.

Repo and revision -> files in the Hub's own cache, at a resolved commit. What a revision stood for is
remembered, so that a base that was fetched once needs no network. The Hub's errors become errors for
people; a token never reaches a message.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from packager.artifacts.files import cache_folder, key_of, write_json
from packager.errors import InputError, MissingResource, PackagerError
from packager.errors import explain as explain_system
from packager.hub.explanations import bug
from packager.process import progress

T = TypeVar("T")

INDEX = "model.safetensors.index.json"


@dataclass(frozen=True)
class Repo:
    """A model repo at one commit."""

    name: str
    commit: str
    parameters: int
    weights: tuple[str, ...]
    """Its safetensors files."""


def fetch_small(name: str, revision: str | None, files: Sequence[str]) -> tuple[Repo, Path]:
    """A model repo at its resolved commit, and the folder in the cache with the named small files.

    Without network, the commit that the revision stood for when it was last fetched. Raises
    `InputError` (no such repo or revision, no access) or `MissingResource` (no network, nothing cached).
    """
    from huggingface_hub import HfApi, snapshot_download

    def question() -> tuple[Repo, Path]:
        info = HfApi().model_info(name, revision=revision)
        weights = _weights([s.rfilename for s in info.siblings or ()])
        parameters = info.safetensors.total if info.safetensors else 0
        repo = Repo(name, info.sha or "", parameters, weights)
        return repo, Path(snapshot_download(name, revision=repo.commit, allow_patterns=list(files), tqdm_class=_bar()))

    record = _record(name, revision)
    try:
        repo, folder = ask(question, name, revision)
        write_json(record, asdict(repo))
    except MissingResource:
        if not record.is_file():
            raise
        known = json.loads(record.read_text(encoding="utf-8"))
        repo = Repo(name, known["commit"], known["parameters"], tuple(known["weights"]))
        folder = _cached(repo)
        progress.note(f"the Hub cannot be reached; {name} is taken from the local cache ({repo.commit[:9]})")
    return repo, folder


def _weights(names: Sequence[str]) -> tuple[str, ...]:
    """Of a repo's files, the weights that transformers loads: not those of another format beside them
    (consolidated.safetensors, original/)."""
    found = sorted(name for name in names if name.endswith(".safetensors") and "/" not in name)
    return tuple(name for name in found if name.startswith("model")) or tuple(found)


def fetch_weights(repo: Repo) -> Path:
    """The safetensors of a model repo, in the local cache.

    A connection that breaks is taken up again where it broke; after a stop, files that were whole are kept.
    """
    from huggingface_hub import snapshot_download

    try:
        folder = _cached(repo)
    except MissingResource:
        folder = None
    if folder and all((folder / weight).is_file() for weight in repo.weights):
        return folder
    folder = ask(
        lambda: Path(
            snapshot_download(repo.name, revision=repo.commit, allow_patterns=[*repo.weights, INDEX], tqdm_class=_bar())
        ),
        repo.name,
        repo.commit,
    )
    if missing := [weight for weight in repo.weights if not (folder / weight).is_file()]:
        raise MissingResource(
            f"{missing[0]} of {repo.name} is not in the local cache and the Hub cannot be reached.",
            "connect to the network and run again; files that are whole are kept",
        )
    return folder


def _bar() -> type[Any]:
    """The client's progress bars as our own: megabytes of all files together."""
    from tqdm.auto import tqdm  # type: ignore[import-untyped]

    class Bar(tqdm):  # type: ignore[misc, type-arg, unused-ignore]
        def __init__(self, *args: Any, **settings: Any) -> None:
            super().__init__(*args, **settings | {"file": io.StringIO()})

        def display(self, *args: Any, **settings: Any) -> None:
            if self.unit == "B" and self.n and self.total:  # not the bar that counts files
                progress.update(self.n / 1e6, self.total / 1e6, "MB")

    return Bar


def _record(name: str, revision: str | None) -> Path:
    """Where it is remembered what a revision stood for."""
    folder = cache_folder("hub")
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{key_of(name, revision)[:16]}.json"


def _cached(repo: Repo) -> Path:
    """The folder of that commit in the Hub's cache, whatever is in it; raises `MissingResource`."""
    from huggingface_hub import snapshot_download

    return ask(
        lambda: Path(snapshot_download(repo.name, revision=repo.commit, local_files_only=True)),
        repo.name,
        repo.commit,
    )


def cached_small(name: str, revision: str | None) -> Path | None:
    """The folder of a model repo in the Hub's cache, at the commit that was fetched last; None if it never was."""
    record = _record(name, revision)
    if not record.is_file():
        return None
    known = json.loads(record.read_text(encoding="utf-8"))
    try:
        return _cached(Repo(name, known["commit"], known["parameters"], tuple(known["weights"])))
    except PackagerError:
        return None


def model_commit(name: str, revision: str | None) -> str:
    """The commit that a revision of a model repo stands for; without network, what it stood for last time."""
    return fetch_small(name, revision, ("config.json",))[0].commit


def dataset_commit(repo: str, revision: str | None) -> str:
    """The commit that a revision of a data set stands for; without network, what it stood for last time."""
    from huggingface_hub import HfApi

    name = f"datasets/{repo}"
    record = _record(name, revision)
    try:
        commit = ask(lambda: HfApi().dataset_info(repo, revision=revision).sha or "", name, revision, "data.revision")
        write_json(record, {"commit": commit})
    except MissingResource:
        if not record.is_file():
            raise
        commit = str(json.loads(record.read_text(encoding="utf-8"))["commit"])
        progress.note(f"the Hub cannot be reached; {name} is taken at the commit known here ({commit[:9]})")
    return commit


def ask(question: Callable[[], T], repo: str, revision: str | None, field: str = "base.revision") -> T:
    """The client's answer; raises the explanation of its error, in which nothing of the request is left."""
    try:
        return question()
    except Exception as error:
        explained = _explained(error, repo, revision, field)
    raise explained


def _explained(error: Exception, repo: str, revision: str | None, field: str) -> PackagerError:
    import httpx2
    from huggingface_hub import errors

    if isinstance(error, errors.HFValidationError):
        return InputError(f"'{repo}' is not the name of a repo.", "give hf:org/name")
    if isinstance(error, errors.GatedRepoError):
        return InputError(
            f"{repo} is gated: its licence must be accepted first.",
            f"accept it at https://huggingface.co/{repo}, then `hf auth login` or set HF_TOKEN",
        )
    if isinstance(error, errors.RevisionNotFoundError):
        if re.fullmatch(r"[0-9a-f]{40}", revision or ""):
            return InputError(
                f"{repo} has no commit {revision}: it is gone from the Hub.",
                f"correct {field}, or take the newest commit with --update",
            )
        return InputError(f"{repo} has no revision '{revision}'.", f"correct {field}")
    if isinstance(error, errors.RepositoryNotFoundError):
        return InputError(
            f"The Hub has no repo {repo}, or it is private and you are not logged in.",
            "check the name, or `hf auth login`",
        )
    if isinstance(error, (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled)):
        return MissingResource(
            f"{repo} is not in the local cache and the Hub cannot be reached.",
            "connect to the network, or give base= a folder or a .gguf file",
        )
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403):
        return InputError(f"The Hub refused access to {repo} ({status}).", "check your token with `hf auth whoami`")
    if status is None and (known := explain_system(error)):
        return known
    # A RuntimeError is what Xet, which fetches large files, makes of every fault of the network.
    if not isinstance(error, (OSError, httpx2.HTTPError, json.JSONDecodeError, RuntimeError)):
        return bug(error)
    return MissingResource(
        f"Could not reach the Hub for {repo} ({type(error).__name__}).",
        "check the network and run again (files that are whole are kept), or give a local copy with base= or data=",
    )
