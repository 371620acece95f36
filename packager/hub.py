"""The only file that imports huggingface_hub.

Repo and revision -> files in the Hub's own cache, at a resolved commit. The Hub's errors become
errors for people; a token never reaches a message.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from packager.errors import InputError, MissingResource, PackagerError


@dataclass(frozen=True)
class Snapshot:
    """Files of one commit of a repo, in the local cache."""

    folder: Path
    commit: str
    parameters: int
    licence: str


def fetch_small(repo: str, revision: str | None, names: Sequence[str]) -> Snapshot:
    """The named small files of a model repo at its resolved commit."""
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.constants import HF_HUB_OFFLINE

    try:
        if HF_HUB_OFFLINE:
            folder = Path(snapshot_download(repo, revision=revision, allow_patterns=list(names)))
            return Snapshot(folder, folder.name, 0, "")
        info = HfApi().model_info(repo, revision=revision)
        folder = Path(snapshot_download(repo, revision=info.sha, allow_patterns=list(names)))
    except Exception as error:
        raise _explained(error, repo, revision) from error
    licence = info.card_data.license if info.card_data else None
    weights = info.safetensors.total if info.safetensors else 0
    return Snapshot(folder, info.sha or "", weights, str(licence or ""))


def fetch_weights(repo: str, commit: str) -> Path:
    """The safetensors of a model repo, in the local cache; a broken download is resumed."""
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(repo, revision=commit, allow_patterns=["*.safetensors", "*.safetensors.index.json"])
        )
    except Exception as error:
        raise _explained(error, repo, commit) from error


def dataset_commit(repo: str, revision: str | None) -> str:
    """The commit that a revision of a data set stands for."""
    from huggingface_hub import HfApi

    try:
        return HfApi().dataset_info(repo, revision=revision).sha or ""
    except Exception as error:
        raise _explained(error, f"datasets/{repo}", revision, "data.revision") from error


def _explained(error: Exception, repo: str, revision: str | None, field: str = "base.revision") -> PackagerError:
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        return InputError(
            f"{repo} is gated: its licence must be accepted first.",
            f"accept it at https://huggingface.co/{repo}, then `hf auth login` or set HF_TOKEN",
        )
    if isinstance(error, errors.RevisionNotFoundError):
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
    return MissingResource(
        f"Could not reach the Hub for {repo} ({type(error).__name__}).",
        "check the network and run again; what was downloaded is kept",
    )
