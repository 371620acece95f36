"""The only room that imports huggingface_hub.

`reading` fetches models at a resolved commit. `writing` makes repos, commits and tags. `connection` bounds
every request in time. `explaining` turns the client's errors into errors for people; no token reaches one.
"""

from __future__ import annotations

from packager.hub.connection import connection
from packager.hub.explaining import scrubbed
from packager.hub.login import endpoint, token
from packager.hub.reading import Repo, dataset_commit, fetch_small, fetch_weights
from packager.hub.writing import (
    Account,
    RemoteFile,
    RemoteRepo,
    account,
    check_card,
    commit,
    create,
    look,
    read,
    tag,
    upload,
)

__all__ = [
    "Account",
    "RemoteFile",
    "RemoteRepo",
    "Repo",
    "account",
    "check_card",
    "commit",
    "connection",
    "create",
    "dataset_commit",
    "endpoint",
    "fetch_small",
    "fetch_weights",
    "look",
    "read",
    "scrubbed",
    "tag",
    "token",
    "upload",
]
