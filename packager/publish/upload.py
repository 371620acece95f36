"""Writing to the Hub: who is logged in, a model repo, files -> one commit and its tag.

Every function raises a `PackagerError` that says what to do, and none that holds a token. Nothing
here starts a process. To be called within `connection`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packager.errors import InputError
from packager.hub.connection import watch
from packager.hub.explanations import TOKENS, ask, scrubbed
from packager.hub.login import endpoint, token, token_place
from packager.process import progress

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

TOGETHER = 4 << 20
"""Files up to so many bytes are asked about and sent together, larger ones one at a time."""


@dataclass(frozen=True)
class Account:
    """Who the token belongs to, and where it may write."""

    name: str
    places: tuple[str, ...]
    """Names before the slash: its own, and the organizations in which it may write."""
    reads_only: tuple[str, ...]
    """Organizations in which it may only read."""


@dataclass(frozen=True)
class RemoteFile:
    size: int
    sha256: str
    """Of its bytes; empty where the Hub keeps the file in git, which names it by `blob`."""
    blob: str


@dataclass(frozen=True)
class RemoteRepo:
    """A model repo as it is at one commit."""

    name: str
    private: bool
    commit: str
    files: Mapping[str, RemoteFile]


def account() -> Account:
    """Who is logged in; raises `InputError` without a token, or with one that cannot write."""
    from huggingface_hub import HfApi

    if not token():
        raise InputError(
            "You are not logged in to the Hub.",
            f"`hf auth login`, or set HF_TOKEN to a token with write access ({TOKENS})",
        )
    who: dict[str, Any] = ask(lambda: HfApi().whoami(), "the account")
    role = ((who.get("auth") or {}).get("accessToken") or {}).get("role")
    if role == "read":
        raise InputError(
            f"Your token (of {who['name']}, from {token_place()}) is read-only.",
            f"make one with write access at {TOKENS}",
        )
    organizations = {str(org["name"]): org.get("roleInOrg") == "read" for org in who.get("orgs") or ()}
    writable = [name for name, reads_only in organizations.items() if not reads_only]
    return Account(
        name=str(who["name"]),
        places=(str(who["name"]), *writable),
        reads_only=tuple(name for name, reads_only in organizations.items() if reads_only),
    )


def look(repo: str, revision: str | None = None) -> RemoteRepo | None:
    """A model repo with its files, or None where the token sees none of that name."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError

    def question() -> Any:
        try:
            return HfApi().model_info(repo, revision=revision, files_metadata=True)
        except RepositoryNotFoundError:
            return None

    info = ask(question, repo)
    if info is None:
        return None
    files = {
        s.rfilename: RemoteFile(
            size=int(s.size or 0), sha256=s.lfs.sha256 if s.lfs else "", blob="" if s.lfs else s.blob_id or ""
        )
        for s in info.siblings or ()
    }
    return RemoteRepo(repo, bool(info.private), info.sha or "", files)


def create(repo: str, *, private: bool) -> RemoteRepo:
    """A new model repo; one that is there by now is taken as it is."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    def question() -> None:
        try:
            HfApi().create_repo(repo, private=private)
        except HfHubHTTPError as error:
            if error.response.status_code != 409 or look(repo) is None:
                raise

    ask(question, repo)
    made = look(repo)
    if made is None:
        raise InputError(f"{repo} was made, but your token may not see it.", f"use a token that may ({TOKENS})")
    return made


def read(repo: RemoteRepo, name: str) -> bytes:
    """The content of one small file of the repo."""
    from huggingface_hub import hf_hub_download

    with tempfile.TemporaryDirectory() as folder:
        path = ask(lambda: hf_hub_download(repo.name, name, revision=repo.commit, local_dir=folder), repo.name)
        return Path(path).read_bytes()


def check_card(repo: str, text: str) -> None:
    """Have the Hub read a model card's metadata; raises `InputError` with what it says against it."""
    from huggingface_hub.utils._http import get_session, hf_raise_for_status

    def question() -> None:
        answer = get_session().post(f"{endpoint()}/api/validate-yaml", json={"repoType": "model", "content": text})
        if answer.status_code == 400:
            faults = [str(fault.get("message")) for fault in answer.json().get("errors", ())]
            raise InputError(
                f"The Hub refuses the model card of {repo}: {scrubbed('; '.join(faults))}",
                "mend the recipe's field it comes from, delete the package folder and build again",
            )
        hf_raise_for_status(answer)

    ask(question, repo)


def upload(repo: str, files: Mapping[str, tuple[Path, str]]) -> list[CommitOperationAdd]:
    """Send files (path on this machine and sha256, by their name in the repo) to the Hub's store.

    They are in the repo only after `commit`. What the store has already is not sent. Large files go one
    after the other and from this thread, so that a stop takes effect at once.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    operations = []
    for name, (path, sha256) in files.items():
        operation = CommitOperationAdd(name, path)
        operation.upload_info.sha256 = bytes.fromhex(sha256)
        operations.append(operation)
    small = [o for o in operations if o.upload_info.size <= TOGETHER]
    for group in (small, *([o] for o in operations if o.upload_info.size > TOGETHER)):
        if not group:
            continue
        name = group[0].path_in_repo if len(group) == 1 else f"{len(group)} small files"
        watch().doing = name
        ask(lambda group=group: HfApi().preupload_lfs_files(repo, group, free_memory=False), repo)  # type: ignore[misc]
        was_sent = watch().finish(sum(o.upload_info.size for o in group))
        if group is not small and not was_sent and group[0]._upload_mode == "lfs":
            progress.note(f"{name} is on the Hub already and is not sent again")
    return operations


def commit(repo: RemoteRepo, add: Sequence[CommitOperationAdd], delete: Sequence[str], message: str) -> str:
    """One commit on top of `repo.commit`, with files that were uploaded; returns its name."""
    from huggingface_hub import CommitOperationDelete, HfApi

    operations: list[CommitOperationAdd | CommitOperationDelete] = [*add]
    operations += [CommitOperationDelete(name, is_folder=False) for name in delete]
    made = ask(
        lambda: HfApi().create_commit(repo.name, operations, commit_message=message, parent_commit=repo.commit),
        repo.name,
    )
    return str(made.oid)


def tag(repo: str, commit: str, name: str) -> None:
    """Tag a commit; a tag of that name that is there already stays where it is."""
    from huggingface_hub import HfApi

    ask(lambda: HfApi().create_tag(repo, tag=name, revision=commit, exist_ok=True), repo)
