"""The headers of a repo's weights, and pieces of their bytes, by range requests.

Repo -> every tensor's type, shape and place, without the weights: a request of 100 KB a file, and a second
one where a header is longer. Fails as `hub.reading` does, and with `InputError` where a file is no whole
safetensors file.
"""

from __future__ import annotations

import concurrent.futures
import json
from dataclasses import dataclass
from typing import Any

from packager.errors import InputError
from packager.hub.reading import Repo, ask

AT_ONCE = 8
"""Files asked about at a time."""
FIRST = 100_000
"""Bytes that hold the header of most files (the Hub's own client asks for as many)."""
LONGEST = 100_000_000
"""Bytes of a header beyond which the file is none (the safetensors library's limit)."""
PATIENCE = 30.0
"""Seconds without an answer."""


@dataclass(frozen=True)
class RemoteTensor:
    """Where a tensor lies in a repo."""

    file: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    """Bytes from the start of the file."""
    end: int


def fetch_headers(repo: Repo) -> dict[str, RemoteTensor]:
    """Every tensor of a repo's weights, by name; raises `InputError` for a damaged file, or `MissingResource`."""
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        files = list(pool.map(lambda name: _header(repo, name), repo.weights))
    found: dict[str, RemoteTensor] = {}
    for tensors in files:
        if twice := found.keys() & tensors.keys():
            raise InputError(f"{min(twice)} is in two weight files of {repo.name}.", "use another repo or revision")
        found |= tensors
    return found


def fetch_bytes(repo: Repo, file: str, begin: int, end: int) -> tuple[bytes, int]:
    """Bytes [begin, end) of one file, fewer where it ends before; and the size of the file (0: not said)."""
    from huggingface_hub import get_session, hf_hub_url, hf_raise_for_status
    from huggingface_hub.utils._headers import build_hf_headers

    def question() -> tuple[bytes, int]:
        url = hf_hub_url(repo.name, file, revision=repo.commit)
        wanted = build_hf_headers() | {"range": f"bytes={begin}-{end - 1}"}
        answer = get_session().get(url, headers=wanted, timeout=PATIENCE)
        hf_raise_for_status(answer)
        if answer.status_code != 206:  # the whole file
            return bytes(answer.content[begin:end]), len(answer.content)
        size = answer.headers.get("Content-Range", "").rpartition("/")[2]
        return bytes(answer.content), int(size) if size.isdecimal() else 0

    return ask(question, repo.name, repo.commit)


def _header(repo: Repo, name: str) -> dict[str, RemoteTensor]:
    head, size = fetch_bytes(repo, name, 0, FIRST)
    length = int.from_bytes(head[:8], "little")
    try:
        if len(head) < 8 or length > LONGEST or (size and 8 + length > size):
            raise ValueError("its header is longer than the file")
        if 8 + length > len(head):
            head += fetch_bytes(repo, name, len(head), 8 + length)[0]
        entries: dict[str, Any] = json.loads(head[8 : 8 + length])
        entries.pop("__metadata__", None)
        found = {tensor: _tensor(name, entry, 8 + length) for tensor, entry in entries.items()}
        if size and (cut := next((t for t, one in found.items() if one.end > size), "")):
            raise ValueError(f"{cut} is cut short")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{name} of {repo.name} is not a whole safetensors file: {error}", "use another repo or revision"
        ) from error
    return found


def _tensor(file: str, entry: dict[str, Any], start: int) -> RemoteTensor:
    begin, end = entry["data_offsets"]
    return RemoteTensor(file, str(entry["dtype"]), tuple(int(n) for n in entry["shape"]), start + begin, start + end)
