"""What `packager push` prints."""

from __future__ import annotations

from collections.abc import Sequence

from packager.hub import login
from packager.publish.sending import Pushed, RepoReply
from packager.publish.staging import Shipment
from packager.publish.upload import Account

MEGABYTE = 10**6
NOT_ASKED = (
    "Not logged in to the Hub, so it was not asked what it holds already, nor whether you may write there.\n"
    "Next: `hf auth login`, then the same command without --dry-run"
)


def plan(shipment: Shipment) -> str:
    """What would go where, with sizes."""
    rows = []
    for parcel in shipment.parcels:
        visible = "private" if shipment.private else "public"
        rows.append(f"{parcel.part} -> {parcel.repo} ({visible} model repo, tag v{shipment.version})")
        rows += [f"  {_size(item.size):>12}  {name}" for name, item in parcel.items.items()]
        rows.append(f"  {_size(parcel.size):>12}  {len(parcel.items)} files")
    return "\n".join([*rows, *(f"Note: {note}." for note in shipment.notes)])


def reply(account: Account, replies: Sequence[RepoReply], shipment: Shipment) -> str:
    """Who sends to which repo, and how much of it is there already."""
    rows = [f"Logged in to {login.endpoint()} as {account.name}."]
    for one in replies:
        size = sum(one.parcel.items[name].size for name in one.send)
        state = "new" if one.there is None else f"at {one.there.commit[:9]}"
        todo = f"{len(one.send)} files to send ({_size(size)})" if one.send else "nothing to send"
        gone = f", {len(one.delete)} of an earlier version to delete" if one.delete else ""
        rows.append(f"  {one.parcel.repo}: {'private' if shipment.private else 'public'}, {state}; {todo}{gone}")
    return "\n".join(rows)


def pushed(done: Sequence[Pushed]) -> str:
    """Where it is now."""
    rows = []
    for one in done:
        what = f"{one.sent} files changed" if one.sent else "unchanged"
        rows.append(
            f"{one.part}: {login.endpoint()}/{one.repo} at {one.commit[:9]}, tag {one.tag} ({what}, all compared)"
        )
    if done and done[0].part == "package":
        key = " (private: give the Hub the machine's ~/.ollama/id_ed25519.pub first)" if done[0].private else ""
        rows.append(f"Next: ollama run hf.co/{done[0].repo}{key}")
    return "\n".join(rows)


def _size(size: int) -> str:
    return f"{size / MEGABYTE:,.1f} MB" if size >= MEGABYTE / 10 else f"{size:,} B"
