"""Parcels -> model repos on the Hub, each at one commit that was compared with what was to be sent.

`ask` reads only: who is logged in, what is there. `push` sends what is missing, in one commit a repo,
compares, tags and records. Every step is a no-op where it was done before, so a push that was broken off
is taken up by running it again.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from packager.artifacts.files import write_json
from packager.errors import InputError, Interrupted, PackagerError, ProofFailed
from packager.hub import login
from packager.package import card
from packager.package.verify import MANIFEST
from packager.process import progress
from packager.publish import upload
from packager.publish.staging import Parcel, Shipment, ShippedFile
from packager.publish.upload import Account, RemoteFile, RemoteRepo, check_card

RECORD = "push.json"
KEPT = (".gitattributes",)
"""What the Hub itself puts into a repo."""
LEAST_SECONDS, SLOWEST_BYTES_PER_SECOND = 600, 100_000


@dataclass(frozen=True)
class RepoReply:
    """What the Hub says to a parcel before anything is sent."""

    parcel: Parcel
    there: RemoteRepo | None
    send: tuple[str, ...]
    """Files that are not there as they are to be."""
    delete: tuple[str, ...]
    """Files of an earlier version."""


@dataclass(frozen=True)
class Pushed:
    """A repo after the push."""

    repo: str
    part: str
    commit: str
    tag: str
    private: bool
    files: int
    size: int
    sent: int
    """Files that this push changed there."""


def deadline(shipment: Shipment) -> float:
    """Seconds after which a push is given up: ten minutes, and as long as a slow line takes."""
    return LEAST_SECONDS + sum(p.size for p in shipment.parcels) / SLOWEST_BYTES_PER_SECOND


def ask(shipment: Shipment) -> tuple[Account, list[RepoReply]]:
    """Who is logged in, and what there is to do; raises for everything that would stop the push later."""
    account = upload.account()
    place = shipment.parcels[0].repo.partition("/")[0]
    if place in account.reads_only:
        raise InputError(f"{account.name} may only read in {place}.", "ask for the right to write there")
    if place not in account.places:
        raise InputError(
            f"There is no organization {place}, or {account.name} is not in it.",
            f"push to one of {', '.join(f'{name}/…' for name in account.places)}, or have yourself added to {place}",
        )
    replies = []
    for parcel in shipment.parcels:
        there = upload.look(parcel.repo)
        if there is not None:
            _must_be_ours(parcel, there, shipment)
        check_card(parcel.repo, (parcel.folder / card.FILE).read_text("utf-8"))
        replies.append(RepoReply(parcel, there, *_differences(parcel, there)))
    return account, replies


def push(shipment: Shipment, replies: Sequence[RepoReply], watch: Any) -> list[Pushed]:
    """Send, compare, tag and record, one repo after the other."""
    watch.total = sum(reply.parcel.items[name].size for reply in replies for name in reply.send)
    return [_push(shipment, reply) for reply in replies]


def _push(shipment: Shipment, reply: RepoReply) -> Pushed:
    parcel = reply.parcel
    there = reply.there or upload.create(parcel.repo, private=shipment.private)
    _must_be_ours(parcel, there, shipment)  # the Hub may have made it otherwise than asked
    send, delete = _differences(parcel, there)
    commit = there.commit
    if send or delete:
        size = sum(parcel.items[name].size for name in send)
        progress.begin("push", f"sending {len(send)} files, {size / 1e6:,.1f} MB, to {parcel.repo}")
        files = {name: (parcel.folder / name, parcel.items[name].sha256) for name in send}
        operations = upload.upload(parcel.repo, files)
        progress.note("making the commit")
        commit = _commit(shipment, parcel, there, operations, delete)
    progress.note(f"comparing what {parcel.repo} holds")
    _compare(parcel, commit)
    tag = f"v{shipment.version}"
    upload.tag(parcel.repo, commit, tag)
    pushed = Pushed(
        repo=parcel.repo,
        part=parcel.part,
        commit=commit,
        tag=tag,
        private=shipment.private,
        files=len(parcel.items),
        size=parcel.size,
        sent=len(send) + len(delete),
    )
    _record(shipment.run / RECORD, pushed)
    return pushed


def _commit(
    shipment: Shipment, parcel: Parcel, there: RemoteRepo, operations: Sequence[Any], delete: Sequence[str]
) -> str:
    """The commit that holds the parcel; found on the Hub if only the answer to it was lost."""
    try:
        return upload.commit(there, operations, delete, f"{shipment.name} {shipment.version}")
    except Interrupted:
        raise
    except PackagerError as error:
        failure = error
    now = upload.look(parcel.repo)
    if now is not None and not any(_differences(parcel, now)):
        progress.note(f"{parcel.repo}: the commit is there; only the answer was lost")
        return now.commit
    raise failure


def _compare(parcel: Parcel, commit: str) -> None:
    """Hold what the Hub says it holds at `commit` against the parcel; raises `ProofFailed`."""
    there = upload.look(parcel.repo, commit)
    wrong, extra = _differences(parcel, there)
    if there is None or wrong or extra:
        names = ", ".join([*wrong, *(f"{name} (not ours)" for name in extra)]) or "everything"
        raise ProofFailed(
            f"{parcel.repo} does not hold what was sent: {names}.",
            "push again; if it stays so, look for a .gitignore in that repo, or take another name",
        )


def _differences(parcel: Parcel, there: RemoteRepo | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Files that the repo lacks or holds otherwise, and files that it holds beyond the parcel."""
    files: Mapping[str, RemoteFile] = there.files if there else {}
    wrong = [n for n, item in parcel.items.items() if n not in files or not _same(parcel.folder / n, item, files[n])]
    return tuple(wrong), tuple(sorted(files.keys() - parcel.items.keys() - {*KEPT}))


def _same(path: Path, item: ShippedFile, there: RemoteFile) -> bool:
    """Large files have their sha256 on the Hub; a small one has its name in git, which its bytes give."""
    if item.size != there.size:
        return False
    return there.sha256 == item.sha256 if there.sha256 else there.blob == _blob(path)


def _blob(path: Path) -> str:
    """The name that git gives to a file's bytes."""
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _must_be_ours(parcel: Parcel, there: RemoteRepo, shipment: Shipment) -> None:
    """A repo that is there must be an earlier version of the same, and as visible as was asked."""
    if there.files.keys() - {*KEPT, card.FILE}:
        found: Any = None
        if MANIFEST in there.files:
            try:
                found = json.loads(upload.read(there, MANIFEST))
            except ValueError:
                found = None
        known = found if isinstance(found, dict) else {}
        if "packager" not in known or known.get("name") != shipment.name or known.get("part", "package") != parcel.part:
            raise InputError(
                f"The name {parcel.repo} is taken: it holds {len(there.files)} files that are no earlier version of"
                f" {shipment.name}.",
                f"give another --repo, or delete {login.endpoint()}/{parcel.repo} if nobody needs it",
            )
    if there.private != shipment.private:
        is_now, asked = ("private", "public") if there.private else ("public", "private")
        raise InputError(
            f"{parcel.repo} is {is_now}, but the push is to be {asked}.",
            f"push {'without' if there.private else 'with'} --public, or change it at"
            f" {login.endpoint()}/{parcel.repo}/settings",
        )


def _record(path: Path, pushed: Pushed) -> None:
    """Add to the run folder's list of what was pushed; a push that changed nothing adds nothing."""
    known = json.loads(path.read_text("utf-8")) if path.is_file() else []
    same = [r for r in known if (r["repo"], r["commit"], r["tag"]) == (pushed.repo, pushed.commit, pushed.tag)]
    if not same:
        at = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        write_json(path, [*known, {"at": at} | asdict(pushed)])
