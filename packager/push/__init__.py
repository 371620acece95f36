"""Publishing to the Hub: what goes where (`staging`), what may not leave (`refusing`), and sending it (`sending`).

Recipe and run folder -> the package as a model repo, optionally its adapter and merged weights as repos of
their own, and `push.json` in the run folder, which says at which commits.
"""

from __future__ import annotations

from packager.push.sending import Pushed, Reply, ask, deadline, push
from packager.push.staging import Parcel, Shipment, staged

__all__ = ["Parcel", "Pushed", "Reply", "Shipment", "ask", "deadline", "push", "staged"]
