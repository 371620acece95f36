"""A Hub on loopback: what huggingface_hub and datasets ask of one to read models and data sets.

    with serve(models={"org/name": folder}) as hub:
        ... a process with environment(hub, cache) ...

Every repo has one commit, `COMMIT`, which `main` and `v1` stand for, until its branch is moved. `hub` says
what was asked, and can be told to refuse a repo, to move its branch, to lose a commit, or to break off in the
middle of a file.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

COMMIT = "c0ffee" + "0" * 34


@dataclass
class Hub:
    """A running server, and what it was asked."""

    endpoint: str = ""
    requests: list[str] = field(default_factory=list)
    """METHOD path [range], in order."""
    tokens: set[str] = field(default_factory=set)
    """Every token that came with a request."""
    refused: dict[str, tuple[int, str, str]] = field(default_factory=dict)
    """Repo -> status, X-Error-Code and X-Error-Message of every answer about it."""
    breaks: Counter[str] = field(default_factory=Counter)
    """Files whose next downloads, so many, break off in the middle."""
    moved: dict[str, tuple[str, Path]] = field(default_factory=dict)
    """Repo -> the commit that `main` stands for now, and its files."""
    gone: set[str] = field(default_factory=set)
    """Commits that are there no more."""


@dataclass(frozen=True)
class Repo:
    kind: str
    name: str
    folder: Path
    commit: str = COMMIT

    def files(self) -> dict[str, Path]:
        found = sorted(p for p in self.folder.rglob("*") if p.is_file())
        return {p.relative_to(self.folder).as_posix(): p for p in found}

    def info(self) -> dict[str, Any]:
        info = {"id": self.name, "sha": self.commit, "private": False, "gated": False, "tags": [], "downloads": 0}
        info["siblings"] = [{"rfilename": name} for name in self.files()]
        if total := sum(_parameters(path) for path in self.folder.glob("*.safetensors")):
            info["safetensors"] = {"parameters": {"BF16": total}, "total": total}
        card = self.folder / "README.md"
        licences = [line for line in card.read_text("utf-8").splitlines() if line.startswith("license:")] if (
            card.is_file()) else []  # fmt: skip
        return info | {"cardData": {"license": licences[0].partition(": ")[2]} if licences else {}}

    def tree(self) -> list[dict[str, Any]]:
        return [
            {"type": "file", "path": name, "size": path.stat().st_size, "oid": _etag(path)}
            for name, path in self.files().items()
        ]


@contextlib.contextmanager
def serve(models: Mapping[str, Path] | None = None, datasets: Mapping[str, Path] | None = None) -> Iterator[Hub]:
    """Serve folders as repos until the block ends."""
    repos = [Repo("models", name, folder) for name, folder in (models or {}).items()]
    repos += [Repo("datasets", name, folder) for name, folder in (datasets or {}).items()]
    hub = Hub()
    handler = type("Bound", (Handler,), {"hub": hub, "repos": repos})
    server = Server(("127.0.0.1", 0), handler)
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


def environment(hub: Hub, cache: Path, **more: str) -> dict[str, str]:
    """The environment of a process that knows no other Hub than this one, and caches in `cache`."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    env |= {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(cache / "hf"), "XDG_CACHE_HOME": str(cache), "HF_TOKEN": ""}
    return env | {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"} | more


class Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no fault; its traceback would stand in what the command line is said to print."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """Answers for the repos it is bound to."""

    hub: Hub
    repos: list[Repo]

    def do_GET(self) -> None:
        self._answer(b"")

    do_HEAD = do_GET

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

    def _answer(self, body: bytes) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append(" ".join(filter(None, (self.command, path, self.headers.get("Range")))))
        if token := self.headers.get("Authorization"):
            self.hub.tokens.add(token.removeprefix("Bearer "))
        for name, (status, code, message) in self.hub.refused.items():
            open_to_all = code == "GatedRepo" and path.startswith("/api/models/")  # only the files are locked
            if f"/{name}/" in f"{path}/" and not open_to_all:
                return self._say(status, b"{}", {"X-Error-Code": code, "X-Error-Message": message})
        for repo in self.repos:
            api, files = f"/api/{repo.kind}/{repo.name}", f"/{repo.name}/resolve/"
            if f"{path}/".startswith(f"{api}/"):
                return self._describe(repo, path.removeprefix(api).strip("/").split("/"), body)
            if path.startswith(files if repo.kind == "models" else f"/datasets{files}"):
                return self._send(repo, path.partition("/resolve/")[2])
        return self._say(404, b"{}", {"X-Error-Code": "RepoNotFound"})

    def _at(self, repo: Repo, revision: str) -> Repo | None:
        """The repo at a revision, if it has that."""
        commit, folder = self.hub.moved.get(repo.name, (COMMIT, repo.folder))
        at = {"v1": repo, COMMIT: repo} | dict.fromkeys(("main", commit), replace(repo, folder=folder, commit=commit))
        there = at.get(revision)
        return None if there is None or there.commit in self.hub.gone else there

    def _describe(self, named: Repo, words: list[str], body: bytes) -> None:
        what, revision, *inside = [*words, "", ""][: max(2, len(words))]
        repo = self._at(named, revision if what else "main")
        if repo is None:
            return self._say(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        if what == "tree":
            return self._json([] if inside else repo.tree())
        if what == "paths-info":
            text = body.decode()
            paths = json.loads(text)["paths"] if text.startswith("{") else parse_qs(text).get("paths", [])
            return self._json([entry for entry in repo.tree() if entry["path"] in paths])
        return self._json(repo.info())

    def _send(self, named: Repo, place: str) -> None:
        revision, _, name = place.partition("/")
        repo = self._at(named, revision)
        if repo is None:
            return self._say(404, b"", {"X-Error-Code": "RevisionNotFound"})
        path = repo.files().get(name)
        if path is None:
            return self._say(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": repo.commit})
        content = path.read_bytes()
        headers = {"X-Repo-Commit": repo.commit, "ETag": f'"{_etag(path)}"', "Accept-Ranges": "bytes"}
        first, _, last = self.headers.get("Range", "").removeprefix("bytes=").partition("-")
        start = int(first) if first.isdecimal() else 0
        stop = min(int(last) + 1, len(content)) if last.isdecimal() else len(content)
        ranged = first.isdecimal() and (start, stop) != (0, len(content))
        if ranged:
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(content)}"
        whole = content[start:stop]
        if self.command == "GET" and self.hub.breaks[name] > 0 and not last:  # not of a look at the header
            self.hub.breaks[name] -= 1
            self._say(206 if ranged else 200, whole, headers, sent=len(whole) // 2)
            self.close_connection = True
            return None
        return self._say(206 if ranged else 200, whole, headers)

    def _json(self, value: object) -> None:
        self._say(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _say(self, status: int, body: bytes, headers: Mapping[str, str], sent: int | None = None) -> None:
        with contextlib.suppress(ConnectionError):
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body[:sent])

    def log_message(self, *args: Any) -> None:
        pass


def _etag(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _parameters(path: Path) -> int:
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    total = 0
    for name, tensor in header.items():
        if name != "__metadata__":
            size = 1
            for extent in tensor["shape"]:
                size *= extent
            total += size
    return total
