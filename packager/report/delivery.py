"""A bundle for the clinic, as its own dossier shows it: what is only known when it is made."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Delivery:
    version: str
    """yyyymmdd.hhmm: the UTC minute that it was made in."""
    needed_ram_mb: int
    """Memory that the model's program needs, in 10^6 bytes; and the search in the approved material beside it."""
    material_ram_mb: int
    size: int
    """Of the folder without this dossier, in bytes."""
    targets: tuple[str, ...]
    """The kinds of machines that it has programs for: `windows-x86_64`, `linux-x86_64`, `linux-arm64`."""
    signer_numbers: str = ""
    """The numbers of the key that signs it; '' if none does."""
    in_parts: bool = False
    """Whether a file was too large for a stick and is in parts."""

    @property
    def made(self) -> str:
        """`28/11/2026, 23h26 (UTC)`, from the version."""
        found = re.fullmatch(r"(\d{4})(\d\d)(\d\d)\.(\d\d)(\d\d)", self.version)
        if not found:
            return self.version
        year, month, day, hour, minute = found.groups()
        return f"{day}/{month}/{year}, {hour}h{minute} (UTC)"
