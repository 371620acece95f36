"""A Hub on loopback that can be written to: what huggingface_hub asks of one to make repos, upload and commit.

    with serve_uploads({TOKEN: account("ana", "clinica")}) as hub:
        hub.plant("commit", lost())
        ... a process with environment(hub, cache) ...

It keeps what it gets: objects by sha256, commits, tags. It checks what the real one checks: checksums of
uploads, parents of commits, the head of a model card. A fault that is planted at a route happens once.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml
from hub_server import Server

ATTRIBUTES = b"*.gguf filter=lfs diff=lfs merge=lfs -text\n"
LARGE = 10 << 20
ROUTES = (
    ("whoami", "GET", r"/api/whoami-v2"),
    ("create", "POST", r"/api/repos/create"),
    ("validate", "POST", r"/api/validate-yaml"),
    ("preupload", "POST", r"/api/models/(?P<repo>[^/]+/[^/]+)/preupload/(?P<rev>[^/]+)"),
    ("batch", "POST", r"/(?P<repo>[^/]+/[^/]+)\.git/info/lfs/objects/batch"),
    ("put", "PUT", r"/store/(?P<oid>[0-9a-f]{64})"),
    ("part", "PUT", r"/parts/(?P<oid>[0-9a-f]{64})/(?P<number>\d+)"),
    ("complete", "POST", r"/complete/(?P<oid>[0-9a-f]{64})"),
    ("verify", "POST", r"/verify/(?P<oid>[0-9a-f]{64})"),
    ("commit", "POST", r"/api/models/(?P<repo>[^/]+/[^/]+)/commit/(?P<rev>[^/]+)"),
    ("tag", "POST", r"/api/models/(?P<repo>[^/]+/[^/]+)/tag/(?P<rev>[^/]+)"),
    ("tree", "GET", r"/api/models/(?P<repo>[^/]+/[^/]+)/tree/(?P<rev>[^/]+)"),
    ("info", "GET", r"/api/models/(?P<repo>[^/]+/[^/]+)(/revision/(?P<rev>[^/]+))?"),
    ("resolve", "GET", r"/(?P<repo>[^/]+/[^/]+)/resolve/(?P<rev>[^/]+)/(?P<path>.+)"),
)
WITHOUT_TOKEN = ("put", "part", "validate", "complete")
RELATIONS = ("adapter", "merge", "quantized", "finetune")
LICENCES = ("apache-2.0", "mit", "llama3.1", "llama3.2", "gemma", "other")


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one request."""

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    error: str = ""
    drop: str = ""
    """`half` of the request was read, or `after` it was done: the connection is closed without an answer."""
    stall: float = 0.0
    """Seconds in which nothing happens, then the connection is closed."""
    trickle: float = 0.0
    """Seconds between the single bytes of an answer that does not end."""


def busy(status: int = 503, retry_after: int | None = None) -> Fault:
    return Fault(status, {} if retry_after is None else {"Retry-After": str(retry_after)})


def lost() -> Fault:
    return Fault(drop="after")


def account(name: str, *orgs: str, role: str = "write", reads: str = "") -> dict[str, Any]:
    """What whoami answers."""
    listed = [{"name": org, "roleInOrg": "write"} for org in orgs]
    listed += [{"name": reads, "roleInOrg": "read"}] if reads else []
    return {"type": "user", "name": name, "orgs": listed, "auth": {"accessToken": {"displayName": "t", "role": role}}}


@dataclass
class Repo:
    """A model repo: its commits by name, each with all its files."""

    name: str
    owner: str
    private: bool
    head: str = ""
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    large: dict[str, bool] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    ignored: str = ""
    """A suffix that a .gitignore of the repo leaves out."""

    def commit(self, files: dict[str, bytes]) -> str:
        content = json.dumps([self.head, {n: hashlib.sha256(c).hexdigest() for n, c in files.items()}])
        self.head = hashlib.sha1(content.encode()).hexdigest()
        self.commits[self.head] = files
        return self.head

    def at(self, revision: str | None) -> tuple[str, dict[str, bytes]] | None:
        name = self.head if revision in (None, "main") else self.tags.get(str(revision), str(revision))
        return (name, self.commits[name]) if name in self.commits else None

    @property
    def files(self) -> dict[str, bytes]:
        return self.commits[self.head]


@dataclass
class Hub:
    """A running server, what it holds, and what it was asked."""

    accounts: dict[str, dict[str, Any]]
    endpoint: str = ""
    repos: dict[str, Repo] = field(default_factory=dict)
    store: dict[str, bytes] = field(default_factory=dict)
    parts: dict[str, dict[int, bytes]] = field(default_factory=lambda: defaultdict(dict))
    part_size: int = 0
    """Objects above it go up in parts (0: never)."""
    faults: dict[str, list[Fault]] = field(default_factory=lambda: defaultdict(list))
    requests: list[str] = field(default_factory=list)
    """Route and path, in order."""
    received: Counter[str] = field(default_factory=Counter)
    """Bytes that came with `put` and `part`, by object."""
    leaks: list[str] = field(default_factory=list)
    """Requests that brought a token where none belongs."""
    stopped: threading.Event = field(default_factory=threading.Event)

    def plant(self, route: str, *faults: Fault) -> None:
        assert route in {name for name, _, _ in ROUTES}
        self.faults[route] += faults

    def make(self, name: str, *, private: bool = True, owner: str = "", **files: bytes) -> Repo:
        repo = Repo(name, owner or name.partition("/")[0], private)
        repo.commit({".gitattributes": ATTRIBUTES} | files)
        self.repos[name] = repo
        return repo

    def count(self, route: str) -> int:
        return sum(line.split()[0] == route for line in self.requests)


@contextlib.contextmanager
def serve_uploads(accounts: Mapping[str, dict[str, Any]]) -> Iterator[Hub]:
    """Serve until the block ends."""
    hub = Hub(dict(accounts))
    server = Server(("127.0.0.1", 0), type("Bound", (Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        hub.stopped.set()
        server.shutdown()
        server.server_close()


class Refused(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, error: str, code: str = "") -> None:
        super().__init__(error)
        self.status, self.error, self.code = status, error, code


class Handler(BaseHTTPRequestHandler):
    """Finds the route, lets its fault happen, answers."""

    hub: Hub
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or each answer waits 40 ms for the client to acknowledge its head

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        method = "GET" if self.command == "HEAD" else self.command
        for route, wanted, pattern in ROUTES:
            match = re.fullmatch(pattern, path)
            if wanted == method and match:
                return self._route(route, path, match.groupdict())
        return self._say(404, {"error": f"no route {path}"})

    do_HEAD = do_POST = do_PUT = do_GET

    def _route(self, route: str, path: str, words: dict[str, Any]) -> None:
        hub = self.hub
        hub.requests.append(f"{route} {path}")
        fault = hub.faults[route].pop(0) if hub.faults[route] else Fault()
        body = self._read(half=fault.drop == "half")
        if route in ("put", "part"):
            hub.received[words["oid"]] += len(body)
            if "Authorization" in self.headers:
                hub.leaks.append(path)
        if fault.stall or fault.drop == "half":
            hub.stopped.wait(fault.stall)
            self.close_connection = True
            return None
        if fault.trickle:
            return self._trickle(fault.trickle)
        if fault.status:
            return self._say(fault.status, {"error": fault.error} if fault.error else {}, fault.headers)
        try:
            who = self._who(route)
            answer = getattr(self, f"_{route}")(who, body, **words)
        except Refused as refused:
            headers = {"X-Error-Code": refused.code, "X-Error-Message": refused.error} if refused.code else {}
            return self._say(refused.status, {"error": refused.error}, headers)
        if fault.drop == "after":
            self.close_connection = True
            return None
        return None if answer is None else self._say(200, *(answer if isinstance(answer, tuple) else (answer,)))

    def _read(self, *, half: bool) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            content = b""
            while size := int(self.rfile.readline(), 16):
                content += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return content
        length = int(self.headers.get("Content-Length") or 0)
        return self.rfile.read(length // 2 if half else length)

    def _who(self, route: str) -> dict[str, Any]:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token in self.hub.accounts:
            return self.hub.accounts[token]
        if route in WITHOUT_TOKEN:
            return {}
        raise Refused(401, "Invalid credentials in Authorization header")

    def _repo(self, who: Mapping[str, Any], name: str, *, write: bool = False) -> Repo:
        repo = self.hub.repos.get(name)
        mine = repo is not None and repo.owner in (who["name"], *(o["name"] for o in who["orgs"]))
        if repo is None or (repo.private and not mine):
            raise Refused(404, "Repository not found", "RepoNotFound")
        if write and (not mine or who["auth"]["accessToken"]["role"] == "read"):
            raise Refused(403, "Forbidden: you must use a write token")
        return repo

    def _whoami(self, who: dict[str, Any], body: bytes) -> Any:
        return who

    def _create(self, who: dict[str, Any], body: bytes) -> Any:
        asked = json.loads(body)
        name = f"{asked['organization'] or who['name']}/{asked['name']}"
        if name in self.hub.repos:
            raise Refused(409, "You already created this model repo")
        if name.partition("/")[0] not in (who["name"], *(o["name"] for o in who["orgs"])):
            raise Refused(403, "You don't have the rights to create a model under this namespace")
        private = asked.get("private", asked.get("visibility") == "private")
        self.hub.make(name, private=private, owner=name.partition("/")[0])
        return {"url": f"{self.hub.endpoint}/{name}", "name": name}

    def _validate(self, who: dict[str, Any], body: bytes) -> Any:
        faults = card_faults(json.loads(body)["content"])
        if faults:
            self._say(400, {"errors": [{"message": fault} for fault in faults], "warnings": []})
            return None
        return {"errors": [], "warnings": []}

    def _preupload(self, who: dict[str, Any], body: bytes, repo: str, rev: str) -> Any:
        found = self._repo(who, repo, write=True)
        files = []
        for asked in json.loads(body)["files"]:
            name, large = asked["path"], asked["size"] > LARGE or asked["path"].endswith((".gguf", ".safetensors"))
            ignored = bool(found.ignored) and name.endswith(found.ignored)
            there = found.files.get(name)
            oid = {"oid": hashlib.sha256(there).hexdigest() if large else blob(there)} if there is not None else {}
            files.append({"path": name, "uploadMode": "lfs" if large else "regular", "shouldIgnore": ignored} | oid)
        return {"files": files}

    def _batch(self, who: dict[str, Any], body: bytes, repo: str) -> Any:
        self._repo(who, repo, write=True)
        objects = []
        for asked in json.loads(body)["objects"]:
            oid, size = asked["oid"], asked["size"]
            answer: dict[str, Any] = {"oid": oid, "size": size}
            step = self.hub.part_size
            verify = {"href": f"{self.hub.endpoint}/verify/{oid}"}
            if oid in self.hub.store:
                pass
            elif step and size > step:
                places = {str(n + 1): f"{self.hub.endpoint}/parts/{oid}/{n + 1}" for n in range(-(-size // step))}
                upload = {"href": f"{self.hub.endpoint}/complete/{oid}", "header": {"chunk_size": str(step)} | places}
                answer["actions"] = {"upload": upload, "verify": verify}
            else:
                answer["actions"] = {"upload": {"href": f"{self.hub.endpoint}/store/{oid}"}, "verify": verify}
            objects.append(answer)
        return {"objects": objects, "transfer": "multipart" if self.hub.part_size else "basic"}

    def _put(self, who: dict[str, Any], body: bytes, oid: str) -> Any:
        if hashlib.sha256(body).hexdigest() != oid:
            raise Refused(400, "BadDigest")
        self.hub.store[oid] = body
        return {}

    def _part(self, who: dict[str, Any], body: bytes, oid: str, number: str) -> Any:
        self.hub.parts[oid][int(number)] = body
        return {}, {"ETag": f'"{hashlib.md5(body).hexdigest()}"'}

    def _complete(self, who: dict[str, Any], body: bytes, oid: str) -> Any:
        parts = self.hub.parts[oid]
        for said in json.loads(body)["parts"]:
            if said["etag"].strip('"') != hashlib.md5(parts[said["partNumber"]]).hexdigest():
                raise Refused(400, "InvalidPart")
        return self._put(who, b"".join(parts[n] for n in sorted(parts)), oid)

    def _verify(self, who: dict[str, Any], body: bytes, oid: str) -> Any:
        if len(self.hub.store.get(oid, b"")) != json.loads(body)["size"]:
            raise Refused(404, "no such object")
        return {}

    def _commit(self, who: dict[str, Any], body: bytes, repo: str, rev: str) -> Any:
        found = self._repo(who, repo, write=True)
        lines = [json.loads(line) for line in body.splitlines()]
        if lines[0]["value"].get("parentCommit", found.head) != found.head:
            raise Refused(412, "The head of the branch has moved")
        files = dict(found.files)
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
                found.large[value["path"]] = False
            elif line["key"] == "lfsFile":
                if value["oid"] not in self.hub.store:
                    raise Refused(400, f"LFS object {value['oid']} is missing")
                files[value["path"]] = self.hub.store[value["oid"]]
                found.large[value["path"]] = True
            else:
                del files[value["path"]]
        oid = found.commit(files)
        return {"success": True, "commitOid": oid, "commitUrl": f"{self.hub.endpoint}/{repo}/commit/{oid}"}

    def _tag(self, who: dict[str, Any], body: bytes, repo: str, rev: str) -> Any:
        found = self._repo(who, repo, write=True)
        name = json.loads(body)["tag"]
        if name in found.tags:
            raise Refused(409, "Tag reference exists already")
        found.tags[name] = rev
        return {}

    def _info(self, who: dict[str, Any], body: bytes, repo: str, rev: str | None) -> Any:
        found = self._repo(who, repo)
        name, files = self._at(found, rev)
        siblings = [
            {"rfilename": n, "size": len(c), "blobId": blob(c)}
            | ({"lfs": {"sha256": sha(c), "size": len(c), "pointerSize": 134}} if found.large.get(n) else {})
            for n, c in files.items()
        ]
        return {"id": repo, "sha": name, "private": found.private, "siblings": siblings, "tags": [], "downloads": 0}

    def _tree(self, who: dict[str, Any], body: bytes, repo: str, rev: str) -> Any:
        found = self._repo(who, repo)
        return [
            {"type": "file", "path": n, "size": len(c), "oid": blob(c)}
            | ({"lfs": {"oid": sha(c), "size": len(c), "pointerSize": 134}} if found.large.get(n) else {})
            for n, c in self._at(found, rev)[1].items()
        ]

    def _resolve(self, who: dict[str, Any], body: bytes, repo: str, rev: str, path: str) -> Any:
        found = self._repo(who, repo)
        name, files = self._at(found, rev)
        if path not in files:
            raise Refused(404, "Entry not found", "EntryNotFound")
        etag = sha(files[path]) if found.large.get(path) else blob(files[path])
        self._send(200, files[path], {"X-Repo-Commit": name, "ETag": f'"{etag}"', "Accept-Ranges": "bytes"})

    def _at(self, repo: Repo, revision: str | None) -> tuple[str, dict[str, bytes]]:
        found = repo.at(revision)
        if found is None:
            raise Refused(404, "Revision not found", "RevisionNotFound")
        return found

    def _trickle(self, pause: float) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "100000")
        self.end_headers()
        self.close_connection = True
        with contextlib.suppress(OSError):
            while not self.hub.stopped.is_set():
                self.wfile.write(b" ")
                self.wfile.flush()
                time.sleep(pause)

    def _say(self, status: int, value: Any, headers: Mapping[str, str] | None = None) -> None:
        self._send(status, json.dumps(value).encode(), {"Content-Type": "application/json"} | dict(headers or {}))

    def _send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        with contextlib.suppress(OSError):
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def blob(content: bytes) -> str:
    """The name that git gives to bytes."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def card_faults(text: str) -> list[str]:
    """What the Hub has against the head of a model card (hub-docs, modelcard.md)."""
    head = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)
    found = yaml.safe_load(head[1]) if head else None
    if not isinstance(found, dict):
        return ["no metadata"]
    faults = []
    if found.get("license") not in (*LICENCES, None):
        faults.append(f'"license" must be one of {LICENCES}')
    if found.get("base_model_relation", "quantized") not in RELATIONS:
        faults.append(f'"base_model_relation" must be one of {RELATIONS}')
    if "base_model" in found and not re.fullmatch(r"[\w.-]+/[\w.-]+", found["base_model"]):
        faults.append('"base_model" must be a model id')
    if not re.fullmatch(r"[a-z]{2,3}", str(found.get("language", "en"))):
        faults.append('"language" must be an ISO 639 code')
    for entry in found.get("model-index", ()):
        if not isinstance(entry.get("name"), str) or not entry.get("results"):
            faults.append('"model-index" lacks a name or results')
        for result in entry.get("results", ()):
            if not isinstance(result.get("task", {}).get("type"), str):
                faults.append('"model-index[0].results[0].task.type" is required')
            if not all(isinstance(result.get("dataset", {}).get(key), str) for key in ("type", "name")):
                faults.append('"model-index[0].results[0].dataset" needs type and name')
            for metric in result.get("metrics", ()):
                if not isinstance(metric.get("type"), str) or not isinstance(metric.get("value"), (int, float)):
                    faults.append('"model-index[0].results[0].metrics[0]" needs type and value')
    return faults
