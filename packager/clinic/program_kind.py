"""A compiled program -> is it one for its target, and does it need or tell anything of the building machine?

Exit code 0 of a compiler is no evidence. Fails with `StageCrash`.
"""

from __future__ import annotations

from pathlib import Path

from packager.clinic.targets import Target
from packager.errors import StageCrash

_PT_INTERP = 3
"""The ELF program header that asks for a dynamic loader."""


def check(binary: Path, target: Target, source: Path) -> None:
    """That it is a program for the target, needs no loader, and does not name the folder `source`."""
    data = binary.read_bytes()
    if target.system == "Windows":
        at = int.from_bytes(data[0x3C:0x40], "little")
        right = data[:2] == b"MZ" and data[at : at + 6] == b"PE\0\0\x64\x86"
    else:
        machine = {"x86_64": 0x3E, "aarch64": 0xB7}[target.processor]
        right = data[:5] == b"\x7fELF\x02" and int.from_bytes(data[18:20], "little") == machine
        start, size, count = (int.from_bytes(data[a:b], "little") for a, b in ((32, 40), (54, 56), (56, 58)))
        kinds = {int.from_bytes(data[start + i * size :][:4], "little") for i in range(count)}
        right = right and _PT_INTERP not in kinds
    if not right:
        raise StageCrash(f"{binary.name} is no static program for {target.name}.", "this is our bug: please report it")
    if str(source.resolve()).encode() in data:
        raise StageCrash(f"{binary.name} names a folder of this machine.", "this is our bug: please report it")
