"""A package, its download from the Hub, or a bundle for a clinic -> that it is whole, or what is wrong with it.

Looks at the set of files, SHA256SUMS, the bill of materials, the manifest, the proof it records and the files for
Ollama, and on request at the signature; needs no network. Raises `ProofFailed` (exit 3) with every fault.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from packager.artifacts.checks import OF_THE_DEVICE
from packager.artifacts.files import sha256_of
from packager.errors import MissingResource, ProofFailed
from packager.package import bom, signing
from packager.process import progress
from packager.prompt.ollama.hub_files import HUB_FILES, hub_differences
from packager.prompt.ollama.modelfile import parse_modelfile

CHECKSUMS, MANIFEST = "SHA256SUMS", "manifest.json"
IN_BUNDLE = "pacote"
"""The folder of a bundle that holds the package; source/package.h has the same name."""
_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")
_OF_THE_HUB = re.compile(r"\.gitattributes|\.cache/huggingface/.+")
"""What the Hub adds to a repo, and its client to a download."""
_OUTSIDE = {CHECKSUMS, signing.SIGNATURE}
"""What cannot be in the checksums."""
_PROGRAMS = (
    ".exe", ".com", ".bat", ".cmd", ".sh", ".scr", ".pif", ".msi", ".dll", ".vbs", ".js", ".wsf", ".hta", ".ps1",
    ".jar", ".reg", ".gguf", ".desktop", ".inf", ".safetensors", ".vbe", ".jse", ".wsh", ".ws",
    ".sct", ".cpl", ".msp", ".chm", ".application", ".appimage", ".run",
)  # fmt: skip
"""What somebody might start by mistake for a part of a bundle; source/package.c has the same list."""
_WEIGHTS = (".gguf", ".safetensors")
_PART = re.compile(r"-\d{5}-of-(\d{5})\.gguf$")


@dataclass(frozen=True)
class Verified:
    """A package that is whole."""

    name: str
    version: str
    files: int
    size: int
    """Bytes."""
    checks: int
    """How many checks its proof passed."""
    waived: tuple[str, ...]
    """Checks of the device that a file beside the default failed, and which file."""
    signed: str
    """By which key these checksums are signed; '' if they are not. Only a public key got by another way makes this
    worth something."""
    checked: bool
    """Whether the signature was checked with such a key."""
    numbers: str = ""
    """The signer's key in six groups of five digits, as the clinic's program shows them."""
    ignored: tuple[str, ...] = ()
    """What systems and people left in a bundle, outside `runtime/`."""
    unchecked: str = ""
    """Why nothing can be said of its signature."""


def verify(folder: Path, key: Path | None = None) -> Verified:
    """Check a folder, and with the public `key` its signature; raises `ProofFailed` that names every wrong file."""
    signed = signing.check(folder, key) if key else ""
    unchecked = ""
    if not key and (folder / signing.SIGNATURE).is_file() and (folder / CHECKSUMS).is_file():
        try:
            signed = signing.stated(folder)
        except MissingResource as error:  # the files can be checked all the same
            unchecked = error.message
    faults, manifest, sums, ignored = _look(folder)
    if faults:
        lines = "\n".join(f"  ✗ {fault}" for fault in faults)
        raise ProofFailed(
            f"{folder} is not as it was packaged: {len(faults)} fault(s).\n{lines}",
            "copy or download it again; if it is the original, build it again",
        )
    return Verified(
        name=str(manifest["name"]),
        version=version_of(folder),
        files=len(sums) + 1,
        size=sum((folder / name).stat().st_size for name in (*sums, CHECKSUMS)),
        checks=sum(c["passed"] for c in manifest["proof"]["checks"]),
        waived=tuple(f"{c['id']} of {c['subject']}" for c in manifest["proof"]["checks"] if c.get("waived")),
        signed=signed,
        checked=key is not None,
        numbers=signing.numbers_of(folder) if signed else "",
        unchecked=unchecked,
        ignored=tuple(ignored),
    )


def render_verified(found: Verified) -> str:
    """A line or two for people."""
    whole = (
        f"{found.name} is whole: {found.files} files, {found.size / 1e6:,.1f} MB, version v{found.version};"
        f" its proof passed ({found.checks} checks"
        + (f"; failed and waived: {', '.join(found.waived)})." if found.waived else ").")
    )
    if found.ignored:
        whole += f"\nNo part of it, and ignored: {', '.join(found.ignored)}."
    if found.unchecked:
        return f"{whole}\nIts signature was not checked: {found.unchecked}."
    if not found.signed:
        return whole
    whole += f"\nIts signer's numbers, which the clinic's program shows too: {found.numbers}"
    if found.checked:
        return f"{whole}\nIts signature is by {found.signed}."
    return (
        f"{whole}\nIt is signed by {found.signed}; give --key PUBLIC.pub to check that, with a key got by another way."
    )


def inside(folder: Path) -> Path:
    """The folder of the package: that of a bundle, or else the folder itself."""
    return folder / IN_BUNDLE if (folder / IN_BUNDLE).is_dir() else folder


def version_of(folder: Path) -> str:
    """A package's version: the first digits of the sha256 of its checksums, so of every byte in it."""
    return sha256_of(folder / CHECKSUMS)[:12]


def checksums(text: str) -> tuple[dict[str, str], list[str]]:
    """sha256 by file name out of SHA256SUMS, and what is wrong with its lines."""
    sums: dict[str, str] = {}
    faults = []
    for number, line in enumerate(text.splitlines(), 1):
        match = _LINE.fullmatch(line)
        name = match[2] if match else ""
        path = PurePosixPath(name)
        if not match or path.is_absolute() or ".." in path.parts or "\\" in name or name in (*sums, CHECKSUMS):
            faults.append(f"{CHECKSUMS}:{number}: is not a checksum, two blanks and the name of a file, once")
        else:
            sums[name] = match[1]
    return sums, faults


def left_behind(name: str) -> bool:
    """May lie in a bundle all the same: what Windows, a Mac or a person left, outside `runtime/`, and no program."""
    return not name.startswith("runtime/") and not _may_run(name) and "(no file)" not in name


def _may_run(name: str) -> bool:
    """Windows does not see blanks and dots at a name's end."""
    return name.lower().rstrip(" .").endswith(_PROGRAMS)


def _look(folder: Path) -> tuple[list[str], dict[str, Any], dict[str, str], list[str]]:
    """Every fault, the manifest, the checksums, and what was left in a bundle and is ignored."""
    try:
        sums, faults = checksums((folder / CHECKSUMS).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        around = folder.resolve().parent
        if folder.resolve().name == IN_BUNDLE and (around / CHECKSUMS).is_file():
            return [f"{CHECKSUMS}: is that of the whole folder: packager verify {around}"], {}, {}, []
        return [f"{CHECKSUMS}: is missing or cannot be read"], {}, {}, []
    there = set(_files(folder))
    faults += [f"{name}: is missing" for name in sorted(sums.keys() - there)]
    told = _json(folder / "runtime" / "config.json") or {}
    others = sorted(there - sums.keys() - _OUTSIDE)
    ignored = [name for name in others if told and left_behind(name)]
    faults += [f"{name}: does not belong to the package" for name in others if name not in ignored]
    if told.get("signed") and signing.SIGNATURE not in there:
        faults.append(f"{signing.SIGNATURE}: is missing")
    known = sorted(sums.keys() & there)
    total = sum((folder / name).stat().st_size for name in known)
    done = 0
    for name in known:
        actual = sha256_of(folder / name)
        done += (folder / name).stat().st_size
        progress.update(done / 1e6, total / 1e6, "MB checked")
        if actual != sums[name]:
            faults.append(f"{name}: its sha256 is {actual[:12]}…, {CHECKSUMS} says {sums[name][:12]}…")
    home = f"{IN_BUNDLE}/" if any(name.startswith(f"{IN_BUNDLE}/") for name in sums) else ""
    manifest = _json(folder / home / MANIFEST)
    if manifest is None:
        return [*faults, f"{home}{MANIFEST}: is missing or not a JSON object"], {}, sums, ignored
    if home + MANIFEST not in sums:
        faults.append(f"{home}{MANIFEST}: is not in {CHECKSUMS}")
    faults += _manifest(folder, home, manifest, sums)
    if "part" not in manifest and manifest.get("bom"):
        listed = {name: sha256 for name, sha256 in sums.items() if name != home + bom.BOM}
        faults += bom.faults(_text(folder / home / bom.BOM) or "", listed)
    if "part" not in manifest:  # the package itself, not the adapter or the merged weights of one
        faults += _for_ollama(folder / home, {name.removeprefix(home) for name in sums if name.startswith(home)})
    return faults, manifest, sums, ignored


def _files(folder: Path) -> Iterator[str]:
    """Every file below a folder, by its name with '/'; a link to a file counts as the file."""
    unlisted: list[OSError] = []
    for at, folders, files in os.walk(folder, onerror=unlisted.append):
        for name in (*files, *(f for f in folders if (Path(at) / f).is_symlink())):
            path = Path(at) / name
            relative = path.relative_to(folder).as_posix()
            if not _OF_THE_HUB.fullmatch(relative) or _may_run(relative):
                yield relative if path.is_file() and stat.S_ISREG(path.stat().st_mode) else f"{relative} (no file)"
    for error in unlisted:
        if (relative := Path(error.filename).relative_to(folder).as_posix()) != "lost+found":  # on top of a disk
            yield f"{relative} (no file): {error.strerror}"


def _manifest(folder: Path, home: str, manifest: Mapping[str, Any], sums: Mapping[str, str]) -> Iterator[str]:
    """Where the manifest and the files disagree, and what its proof lacks; its names are those in `folder`/`home`."""
    try:
        recorded = {home + str(f["name"]): (int(f["size"]), str(f["sha256"])) for f in manifest["files"]}
        checks, passed = list(manifest["proof"]["checks"]), manifest["proof"]["passed"]
        tested = {str(c.get("subject", "")) for c in checks}
        failed = [str(c["id"]) for c in checks if c["passed"] is not True and not _is_waived(c)]
        str(manifest["name"])
    except (KeyError, TypeError, ValueError, AttributeError):
        yield f"{MANIFEST}: lacks name, files or proof, or they are not of their form"
        return
    for name, (size, sha256) in recorded.items():
        path = folder / name
        if name not in sums:
            yield f"{name}: is in {MANIFEST} but not in {CHECKSUMS}"
        elif sums[name] != sha256:
            yield f"{name}: {MANIFEST} and {CHECKSUMS} give it different checksums"
        elif path.is_file() and path.stat().st_size != size:
            yield f"{name}: has {path.stat().st_size} bytes, {MANIFEST} says {size}"
    for name in sorted(sums):
        if name.endswith(_WEIGHTS) and name not in recorded:
            yield f"{name}: are weights that {MANIFEST} does not know"
    if not recorded:
        yield f"{MANIFEST}: names no weights"
    for file in () if "part" in manifest else manifest["files"]:
        if file.get("type", "") not in tested:
            yield f"{file['name']}: no check of the proof is of it"
    if failed or passed is not True or not checks:
        yield f"{MANIFEST}: its proof did not pass ({', '.join(failed) or 'no check passed'})"


def _is_waived(check: Mapping[str, Any]) -> bool:
    """Whether the proof says why this failed check does not count; only one of the device can be waived."""
    return bool(check.get("waived")) and bool(check.get("subject")) and check["id"] in OF_THE_DEVICE


def _for_ollama(folder: Path, listed: Collection[str]) -> Iterator[str]:
    """What `template`, `system` and `params` say otherwise than the Modelfiles, and where FROM leads nowhere."""
    modelfiles = [name for name in sorted(listed) if name == "Modelfile" or name.startswith("Modelfile.")]
    if "Modelfile" not in modelfiles:
        yield "Modelfile: is missing"
    files = {name: text for name in HUB_FILES if (text := _text(folder / name)) is not None}
    for name in modelfiles:
        text = _text(folder / name)
        if text is None:
            continue  # named already
        try:
            commands = parse_modelfile(text)
        except ValueError as error:
            yield f"{name}: Ollama cannot read it: {error}"
            continue
        sources = [c.value.removeprefix("./") for c in commands if c.name == "model"]
        for source in sources:
            if source not in listed:
                yield f"{name}: is for {source}, which is not in the package"
        if (part := _PART.search(sources[0])) and len(set(sources)) < int(part[1]):
            yield f"{name}: names {len(set(sources))} of the {int(part[1])} parts of its weights, and would not run"
        yield from (f"{difference} ({name})" for difference in hub_differences(text, files))


def _text(path: Path) -> str | None:
    try:
        return path.read_bytes().decode()
    except (OSError, UnicodeDecodeError):
        return None


def _json(path: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None
