"""SHA256SUMS and a private ed25519 key -> SHA256SUMS.sig; and whether that is by the owner of a public key.

The format is OpenSSH's (`ssh-keygen -Y sign`), which Linux and Windows of the last years check without
anything to install. Fails with `MissingResource` without ssh-keygen, `InputError` for a key of another kind,
`ProofFailed` for a signature that is missing or not of this key over these bytes.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import tempfile
from pathlib import Path

from packager.errors import InputError, ProofFailed, StageCrash
from packager.process import child

SIGNED = "SHA256SUMS"
SIGNATURE = "SHA256SUMS.sig"
NAMESPACE = "packager"
"""Signatures made for other purposes do not count."""
SECONDS = 300.0
"""Time for typing the key's password."""
MAKE_A_KEY = "make a key: ssh-keygen -t ed25519 -f chave"
KIND = b"ssh-ed25519"


def sign(folder: Path, key: Path) -> str:
    """Write SHA256SUMS.sig into `folder`; returns the fingerprint of the public key."""
    (folder / SIGNATURE).unlink(missing_ok=True)
    try:
        child.run(["ssh-keygen", "-Y", "sign", "-f", key, "-n", NAMESPACE, folder / SIGNED], timeout=SECONDS)
    except StageCrash as error:
        raise InputError(f"{key} could not sign.\n{error.message}", MAKE_A_KEY) from error
    if not _public_part(folder).startswith(KIND):
        (folder / SIGNATURE).unlink()
        raise InputError(f"{key} is not an ed25519 key.", MAKE_A_KEY)
    return fingerprint(folder)


def public_key(key: Path) -> str:
    """`ssh-ed25519 AAAA…` of a private key, without its comment; asks for its password where no .pub lies beside."""
    beside = key.with_name(f"{key.name}.pub")
    try:
        text = beside.read_text(encoding="utf-8") if beside.is_file() else _derived(key)
        kind, digits = text.split()[:2]
    except (StageCrash, ValueError) as error:
        raise InputError(f"{key} could not sign: it is no private key that ssh-keygen reads.", MAKE_A_KEY) from error
    if kind.encode() != KIND:
        raise InputError(f"{key} is not an ed25519 key.", MAKE_A_KEY)
    return f"{kind} {digits}"


def numbers(public: str) -> str:
    """Six groups of five digits out of a public key's SHA-256, for people to compare; source/key.c does the same."""
    blob = hashlib.sha256(base64.b64decode(public.split()[1])).digest()
    return " ".join(f"{int.from_bytes(blob[at : at + 5], 'big') % 100000:05d}" for at in range(0, 30, 5))


def check(folder: Path, public: Path) -> str:
    """The fingerprint of the key that signed `folder`, if it is the one in the file `public`."""
    for name in (SIGNED, SIGNATURE):
        if not (folder / name).is_file():
            raise ProofFailed(f"{folder} is not signed: there is no {name}.", "get a signed copy from its publisher")
    try:
        kind, key = public.read_text(encoding="utf-8").split()[:2]
        if kind.encode() != KIND:
            raise ValueError(kind)
    except ValueError as error:  # UnicodeDecodeError is one
        raise InputError(f"{public} is not a public key.", "give the .pub file that ssh-keygen wrote") from error
    with tempfile.TemporaryDirectory() as aside:
        allowed = Path(aside, "allowed")
        allowed.write_text(f"{NAMESPACE} {kind} {key}\n", encoding="utf-8")
        command = ["ssh-keygen", "-Y", "verify", "-f", str(allowed), "-I", NAMESPACE, "-n", NAMESPACE]
        try:
            child.run([*command, "-s", str(folder / SIGNATURE)], stdin=folder / SIGNED, timeout=SECONDS)
        except StageCrash as error:
            raise ProofFailed(
                f"{folder / SIGNED} is not what the owner of {public} signed in {SIGNATURE}.\n{error.message}",
                "do not use this copy; ask its publisher for another, and for the key by another way",
            ) from error
    return fingerprint(folder)


def stated(folder: Path) -> str:
    """The fingerprint of the key that `folder`'s signature names, which signed these very checksums. Whose key it is
    remains open."""
    found = fingerprint(folder)
    command = ["ssh-keygen", "-Y", "check-novalidate", "-n", NAMESPACE, "-s", str(folder / SIGNATURE)]
    try:
        child.run(command, stdin=folder / SIGNED, timeout=SECONDS)
    except StageCrash as error:
        raise ProofFailed(
            f"{folder / SIGNATURE} is not a signature of this {SIGNED}.\n{error.message}",
            "do not use this copy; ask its publisher for another",
        ) from error
    return found


def numbers_of(folder: Path) -> str:
    """`numbers` of the key that a folder's signature states."""
    return numbers(f"- {base64.b64encode(_public_part(folder, whole=True)).decode()}")


def _derived(key: Path) -> str:
    return child.run(["ssh-keygen", "-y", "-f", key], timeout=SECONDS)


def fingerprint(folder: Path) -> str:
    """`SHA256:…` of the public key in the signature, as ssh-keygen shows it."""
    blob = _public_part(folder, whole=True)
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def _public_part(folder: Path, *, whole: bool = False) -> bytes:
    """The public key inside the signature: `whole`, or from the name of its kind on. Magic (6 bytes), version
    (4), then strings, each after its length: the key first, which begins with its kind."""
    try:
        lines = (folder / SIGNATURE).read_text(encoding="ascii").split("-----")
        data = base64.b64decode("".join(lines[2].split()))
    except (UnicodeDecodeError, IndexError, binascii.Error):
        data = b""
    if data[:6] != b"SSHSIG":
        raise ProofFailed(f"{SIGNATURE} is damaged: it holds no signature.", "get the folder again")
    length = int.from_bytes(data[10:14], "big")
    blob = data[14 : 14 + length]
    return blob if whole else blob[4:]
