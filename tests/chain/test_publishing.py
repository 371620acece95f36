"""Publishing, through the command line and the real client, to a Hub on loopback that can be written to: what
arrives, what goes wrong on the way, and that no token is left anywhere.

The command line runs in this process, where waits are cut short, unless a test is about the process itself.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from command_line import here
from hub_server import environment
from hub_uploads import Fault, Hub, account, busy, lost, serve_uploads, sha

from packager.hub import connection
from packager.package.bom import BOM
from packager.recipe.loading import ROOT

TOKEN = "hf_" + "Qx7" * 11
REPO = "clinica/tiny"
BIG = "tiny-Q8_0.gguf"
BIG_BYTES = 24 << 20
PACKAGER = [sys.executable, "-m", "packager"]


@dataclass
class Publisher:
    """Runs the command line against a Hub, with a home of its own, and keeps every line it prints."""

    hub: Hub
    folder: Path
    recipe: Path
    printed: list[str] = field(default_factory=list)
    waited: list[float] = field(default_factory=list)
    """Seconds that the client asked to sleep, in this process."""
    token: str = TOKEN

    @property
    def build(self) -> Path:
        return self.folder / "build"

    @property
    def run(self) -> Path:
        return self.build / "tiny"

    @property
    def package(self) -> Path:
        return self.run / "package"

    def environment(self, **more: str) -> dict[str, str]:
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        return environment(self.hub, self.folder / "cache") | {"HF_TOKEN": self.token, "HOME": str(home)} | more

    def command(self, *words: str, repo: str = REPO) -> list[str]:
        return [*PACKAGER, "push", str(self.recipe), "--build-dir", str(self.build), "--repo", repo, *words]

    def __call__(
        self, *words: str, repo: str = REPO, code: int = 0, process: bool = False, **env: str
    ) -> subprocess.CompletedProcess[str]:
        if process:
            done = subprocess.run(
                self.command(*words, repo=repo),
                env=self.environment(**env),
                cwd=ROOT,
                capture_output=True,
                text=True,
                timeout=180,
            )
        else:
            done = here(self.command(*words, repo=repo)[3:], self.environment(), self.waited)
        self.printed += [done.stdout, done.stderr]
        assert done.returncode == code, f"{done.returncode}\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr
        return done

    def verify(self, folder: Path) -> subprocess.CompletedProcess[str]:
        return here(["verify", str(folder)], self.environment())

    def download(self, repo: str = REPO, revision: str = "main") -> Path:
        """The repo as the real client brings it."""
        into = self.folder / f"download-{repo.replace('/', '-')}-{revision}"
        program = (
            "import sys; from huggingface_hub import snapshot_download;"
            "snapshot_download(sys.argv[1], revision=sys.argv[2], local_dir=sys.argv[3])"
        )
        words = [sys.executable, "-c", program, repo, revision, str(into)]
        done = subprocess.run(words, env=self.environment(), capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return into

    def record(self) -> list[dict[str, object]]:
        found: list[dict[str, object]] = json.loads((self.run / "push.json").read_text("utf-8"))
        return found

    def sent(self) -> dict[str, int]:
        """How often each object came, in times of its size."""
        return {oid: round(size / len(self.hub.store[oid])) for oid, size in self.hub.received.items()}


@pytest.fixture(scope="module")
def large(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished build, one of whose weights are blown up to what goes up in parts. Copy it before changing it."""
    folder = tmp_path_factory.mktemp("pushed") / "build"
    shutil.copytree(built, folder, symlinks=True)
    (folder / "tiny/package" / BIG).unlink()
    (folder / "tiny/package" / BIG).write_bytes(os.urandom(BIG_BYTES))
    seal(folder / "tiny")
    return folder


def seal(run: Path, *more: str) -> None:
    """Make manifest, checksums and record agree with the files that lie in the package now."""
    package = run / "package"
    manifest = json.loads((package / "manifest.json").read_text("utf-8"))
    for entry in manifest["files"]:
        content = (package / entry["name"]).read_bytes()
        entry |= {"size": len(content), "sha256": sha(content)}
    (package / "manifest.json").write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")
    names = {line.partition("  ")[2] for line in (package / "SHA256SUMS").read_text().splitlines()} | {*more}
    bill = json.loads((package / BOM).read_text("utf-8"))
    kept = {f"file:{name}" for name in names}
    listed = {c["bom-ref"]: c for c in bill["components"] if c["bom-ref"] in kept or "file:" not in c["bom-ref"]}
    for name in names - {BOM}:
        new = {"bom-ref": f"file:{name}", "type": "file", "name": name, "hashes": [{"alg": "SHA-256"}]}
        listed.setdefault(f"file:{name}", new)["hashes"][0]["content"] = sha((package / name).read_bytes())
    (package / BOM).write_text(json.dumps(bill | {"components": list(listed.values())}))
    sums = "".join(f"{sha((package / name).read_bytes())}  {name}\n" for name in sorted(names))
    (package / "SHA256SUMS").write_text(sums)
    record = json.loads((run / "package.stage.json").read_text("utf-8"))
    for entry in record["files"]:
        content = (package / entry["name"]).read_bytes()
        entry |= {"size": len(content), "sha256": sha(content)}
    (run / "package.stage.json").write_text(json.dumps(record))


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serve_uploads({TOKEN: account("ana", "clinica", reads="hospital")}) as server:
        yield server
        assert server.leaks == []


@pytest.fixture
def publisher(hub: Hub, large: Path, tiny_recipe: Path, tmp_path: Path) -> Iterator[Publisher]:
    """Copies the build with hard links; afterwards looks for the token in all that was printed and written."""
    shutil.copytree(large, tmp_path / "build", symlinks=True, copy_function=os.link)
    made = Publisher(hub, tmp_path, tiny_recipe)
    yield made
    assert leaks(made) == []
    assert not (made.run / "push.partial").exists()


def leaks(publisher: Publisher) -> list[str]:
    """Where the token is: in what was printed, in any byte written, in anything the Hub was given."""
    token = publisher.token or TOKEN
    found = [line for text in publisher.printed for line in text.splitlines() if token in line]
    files = [path for path in publisher.folder.rglob("*") if path.is_file()]
    found += [str(path) for path in files if token.encode() in path.read_bytes()]
    kept = [publisher.hub.store, *(c for repo in publisher.hub.repos.values() for c in repo.commits.values())]
    return found + [name for files in kept for name, content in files.items() if token.encode() in content]


def test_the_search_for_the_token_finds_it(publisher: Publisher) -> None:
    publisher.hub.make(REPO, **{"a.txt": TOKEN.encode()})
    publisher.printed.append(f"x {TOKEN}\n")
    (publisher.folder / "cache").mkdir()
    (publisher.folder / "cache/x.log").write_text(f"Bearer {TOKEN}")
    assert len(leaks(publisher)) == 3
    (publisher.folder / "cache/x.log").unlink()
    publisher.printed.clear()
    publisher.hub.repos.clear()


def rewrite(path: Path, text: str) -> None:
    """Write a file anew: the build that it was linked from keeps its own."""
    path.unlink(missing_ok=True)
    path.write_text(text, encoding="utf-8")


def apart(run: Path) -> None:
    """Give the package and its record files of their own, to be changed."""
    for path in [*(run / "package").iterdir(), run / "package.stage.json"]:
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content)


def test_the_package_arrives_byte_for_byte(publisher: Publisher) -> None:
    publisher.hub.part_size = 5 << 20
    done = publisher(process=True)
    repo = publisher.hub.repos[REPO]
    assert repo.private
    here = {p.name: p.read_bytes() for p in publisher.package.iterdir()}
    assert {name: c for name, c in repo.files.items() if name != ".gitattributes"} == here
    assert {"template", "system", "params", "LICENSE", "NOTICE"} - {"system"} <= repo.files.keys()
    assert len(publisher.hub.parts[sha(here[BIG])]) == 5
    before = done.stdout.partition("Logged in")[0]
    assert f"package -> {REPO} (private model repo" in before
    assert all(name in before for name in here)
    assert "as ana." in done.stdout
    assert f"{REPO}: private, new" in done.stdout
    [record] = publisher.record()
    assert record["commit"] == repo.head
    assert repo.tags == {f"v{sha(here['SHA256SUMS'])[:12]}": repo.head}
    assert record["tag"] in repo.tags


def test_the_download_verifies(publisher: Publisher) -> None:
    publisher("--adapter", "--merged")
    for part in ("", "-adapter", "-merged"):
        folder = publisher.download(f"{REPO}{part}")
        done = publisher.verify(folder)
        assert done.returncode == 0, done.stderr
        assert "is whole" in done.stdout
    damaged = publisher.download(REPO, next(iter(publisher.hub.repos[REPO].tags)))
    content = (damaged / "params").read_bytes()
    (damaged / "params").write_bytes(content[:-2] + b" }")
    done = publisher.verify(damaged)
    assert done.returncode == 3
    assert "params: its sha256 is" in done.stderr


def test_adapter_and_merged_weights_have_repos_of_their_own(publisher: Publisher) -> None:
    publisher("--adapter", "--merged", "--public")
    adapter, merged = publisher.hub.repos[f"{REPO}-adapter"], publisher.hub.repos[f"{REPO}-merged"]
    assert not adapter.private
    assert {"adapter_model.safetensors", "adapter_config.json", "tokenizer.json"} <= adapter.files.keys()
    assert {"model.safetensors", "config.json", "tokenizer.json", "LICENSE", "NOTICE"} <= merged.files.keys()
    for repo in (adapter, merged):
        assert not {name for name in repo.files if name.endswith((".jsonl", ".log")) or name == "stage.json"}
        manifest = json.loads(repo.files["manifest.json"])
        assert manifest["package"]["repo"] == REPO
        assert manifest["base"]["weights_sha256"]
        assert list(repo.tags) == [f"v{manifest['package']['version']}"]
    assert [record["part"] for record in publisher.record()] == ["package", "adapter", "merged"]


def test_the_card_is_understood(publisher: Publisher) -> None:
    """The client's own reader of cards finds the evaluation results: the adapter's. The files of so little data were
    compared on the corpus too, so that no loss of theirs is one on held-out answers."""
    publisher("--adapter")
    program = (
        "import sys, json; from huggingface_hub import ModelCard; data = ModelCard.load(sys.argv[1]).data;"
        "print(json.dumps([[r.metric_type, r.metric_value, r.dataset_name] for r in data.eval_results or ()]))"
    )
    path, read = publisher.folder / "card.md", {}
    for repo in (f"{REPO}-adapter", REPO):
        path.write_bytes(publisher.hub.repos[repo].files["README.md"])
        words = [sys.executable, "-c", program, str(path)]
        done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=300)
        read[repo] = json.loads(done.stdout)
    assert read[f"{REPO}-adapter"]
    assert all(kind == "loss" and value > 0 and "held-out" in name for kind, value, name in read[f"{REPO}-adapter"])
    assert read[REPO] == []
    head = yaml.safe_load(path.read_text("utf-8").split("---\n")[1])
    assert (head["library_name"], head["license"], head["language"]) == ("gguf", "apache-2.0", "pt")
    assert {"gguf", "ollama"} <= {*head["tags"]}


def test_a_dry_run_sends_nothing(publisher: Publisher) -> None:
    done = publisher("--dry-run", "--adapter", "--merged")
    for repo in (REPO, f"{REPO}-adapter", f"{REPO}-merged"):
        assert f"-> {repo} (private model repo" in done.stdout
        assert f"{repo}: private, new;" in done.stdout
    assert re.search(r"25\.2 MB  tiny-Q8_0\.gguf", done.stdout)
    assert publisher.hub.repos == {}
    assert {line.split()[0] for line in publisher.hub.requests} == {"whoami", "info", "validate"}
    assert not (publisher.run / "push.json").exists()


@pytest.mark.parametrize("env", [{}, {"HF_ENDPOINT": "http://127.0.0.1:9"}, {"HF_HUB_OFFLINE": "1"}])
def test_a_dry_run_without_a_login_says_what_would_go_where(publisher: Publisher, env: dict[str, str]) -> None:
    """With a Hub, without any (nothing listens there), and told to stay offline: it exits with 0 all the same."""
    publisher.token = ""
    done = publisher("--dry-run", process=True, **env)
    assert f"-> {REPO} (private model repo" in done.stdout
    assert "Not logged in to the Hub" in done.stdout
    assert not publisher.hub.requests


def test_pushed_again_nothing_is_sent(publisher: Publisher) -> None:
    publisher()
    before = publisher.hub.received.total(), publisher.hub.repos[REPO].head
    done = publisher()
    assert "nothing to send" in done.stdout
    assert "unchanged" in done.stdout
    assert (publisher.hub.received.total(), publisher.hub.repos[REPO].head) == before
    assert publisher.hub.count("commit") == 1
    assert len(publisher.record()) == 1


def test_a_new_version_replaces_the_old_one(publisher: Publisher) -> None:
    publisher()
    first = publisher.record()[0]
    publisher.hub.plant("resolve", busy(503), Fault(drop="after"))
    apart(publisher.run)
    shutil.copyfile(publisher.package / "LEIA-ME.txt", publisher.package / "MAIS.txt")
    seal(publisher.run, "MAIS.txt")
    publisher()
    (publisher.package / "MAIS.txt").unlink()
    sums = (publisher.package / "SHA256SUMS").read_text().splitlines(keepends=True)
    rewrite(publisher.package / "SHA256SUMS", "".join(line for line in sums if "MAIS" not in line))
    seal(publisher.run)
    done = publisher()
    assert "1 of an earlier version to delete" in done.stdout
    repo = publisher.hub.repos[REPO]
    assert "MAIS.txt" not in repo.files
    assert len(repo.tags) == 2
    assert publisher.sent() == dict.fromkeys(publisher.hub.store, 1)
    assert publisher.record()[-1]["tag"] == first["tag"]
    assert publisher.verify(publisher.download()).returncode == 0


# Every fault at every route is in tests/publish/test_sending.py; here those in whose wake the package could be harmed.
FAULTS: Sequence[tuple[str, Sequence[Fault]]] = (
    ("create", [lost()]),
    ("preupload", [busy(429, 1)]),
    ("part", [busy(500), Fault(drop="half")]),
    ("part", [busy(429, 2)]),
    ("complete", [lost()]),
    ("commit", [busy(503, 1)]),
    ("commit", [lost()]),
    ("tag", [lost()]),
)


@pytest.mark.parametrize(("route", "faults"), FAULTS, ids=[f"{r}-{f[0].status or f[0].drop}" for r, f in FAULTS])
def test_what_passes_by_itself_is_survived(publisher: Publisher, route: str, faults: Sequence[Fault]) -> None:
    publisher.hub.part_size = 5 << 20
    publisher.hub.plant(route, *faults)
    publisher()
    repo = publisher.hub.repos[REPO]
    assert not publisher.hub.faults[route]
    assert {*repo.files} - {".gitattributes"} == {p.name for p in publisher.package.iterdir()}
    assert len(repo.commits) == 2
    assert repo.private
    assert publisher.record()[0]["commit"] == repo.head
    asked = [float(fault.headers.get("Retry-After", 0)) for fault in faults]
    assert max(publisher.waited) >= max(asked)


def test_a_dropped_single_upload_is_survived(publisher: Publisher) -> None:
    publisher.hub.plant("put", Fault(drop="half"), busy(503))
    publisher()
    assert publisher.record()[0]["commit"] == publisher.hub.repos[REPO].head


def test_a_hub_that_stays_down_is_said_and_the_next_push_goes_on(publisher: Publisher) -> None:
    publisher.hub.plant("commit", *[busy(503)] * 9)
    done = publisher(code=4)
    assert "it answers 503" in done.stderr
    assert "what was sent is not sent again" in done.stderr
    assert len(publisher.hub.repos[REPO].commits) == 1
    publisher.hub.faults.clear()
    publisher()
    assert publisher.sent() == dict.fromkeys(publisher.hub.store, 1)


def test_a_killed_client_takes_up_where_it_was(publisher: Publisher) -> None:
    publisher.hub.plant("commit", Fault(stall=60))
    words = publisher.command()
    with (publisher.folder / "killed.txt").open("w") as out:
        client = subprocess.Popen(words, env=publisher.environment(), cwd=ROOT, stdout=out, stderr=out)
        wait_for(lambda: publisher.hub.count("commit") == 1)
        client.send_signal(signal.SIGKILL)
        client.wait()
    assert len(publisher.hub.repos[REPO].commits) == 1
    shutil.rmtree(publisher.run / "push.partial")
    publisher()
    assert publisher.sent() == dict.fromkeys(publisher.hub.store, 1)
    assert publisher.verify(publisher.download()).returncode == 0


def test_a_stop_in_the_middle_of_an_upload_is_at_once(publisher: Publisher) -> None:
    publisher.hub.plant("put", Fault(stall=3600))
    words = publisher.command()
    client = subprocess.Popen(
        words, env=publisher.environment(), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    wait_for(lambda: publisher.hub.count("put") == 1)
    client.send_signal(signal.SIGINT)
    publisher.printed += client.communicate(
        timeout=connection.STALL_SECONDS - 10
    )  # then the client would give up itself
    assert client.returncode == 130
    publisher()


@pytest.mark.parametrize(
    ("route", "fault"),
    [
        ("whoami", Fault(stall=60)),
        ("put", Fault(stall=60)),
        ("put", Fault(trickle=0.05)),
        ("commit", Fault(stall=60)),
        ("commit", busy(429, 3600)),
    ],
    ids=["whoami-stall", "put-stall", "put-trickle", "commit-stall", "commit-wait"],
)
def test_a_deadline_instead_of_a_hang(publisher: Publisher, route: str, fault: Fault) -> None:
    publisher.hub.plant(route, *[fault] * 9)
    done = publisher("--deadline", "0.03", code=4)
    assert "in time" in done.stderr or "asks to wait 3600 s" in done.stderr
    assert "run the same command again" in done.stderr


@pytest.mark.parametrize(
    ("who", "fault", "words"),
    [
        (None, None, ("does not know your token (from HF_TOKEN)", "wrong or was revoked", "settings/tokens")),
        (None, Fault(401, error=f'User Access Token "{TOKEN}" is expired'), ("has expired", "make a new one")),
        (account("ana", "clinica", role="read"), None, ("read-only", "write access")),
        (account("ana"), None, ("no organization clinica", "ana is not in it", "ana/")),
        (account("ana", reads="clinica"), None, ("may only read in clinica",)),
    ],
    ids=["wrong", "expired", "read-only", "no-organization", "reader"],
)
def test_a_token_that_cannot_do_it(
    publisher: Publisher, who: dict[str, object] | None, fault: Fault | None, words: tuple[str, ...]
) -> None:
    publisher.hub.accounts = {TOKEN: who} if who else {}
    if fault:
        publisher.hub.plant("whoami", fault)
    done = publisher(code=2)
    for word in words:
        assert word in done.stderr
    assert publisher.hub.repos == {}


def test_without_a_token_the_login_is_named(publisher: Publisher) -> None:
    publisher.token = ""
    done = publisher(code=2, process=True)
    assert "not logged in" in done.stderr
    assert "hf auth login" in done.stderr
    assert publisher.hub.requests == []
    publisher.token = TOKEN  # what is looked for afterwards


def test_the_hubs_own_login_is_enough(publisher: Publisher) -> None:
    login = publisher.folder.parent / f"{publisher.folder.name}-login"
    login.mkdir()
    (login / "token").write_text(TOKEN)
    publisher(process=True, HF_TOKEN="", HF_TOKEN_PATH=str(login / "token"))
    assert REPO in publisher.hub.repos


@pytest.mark.parametrize(
    "files", [{"model.safetensors": b"x"}, {"manifest.json": b'{"packager": "1", "name": "outro"}'}]
)
def test_a_name_that_is_taken_is_left_alone(publisher: Publisher, files: dict[str, bytes]) -> None:
    repo = publisher.hub.make(REPO)
    repo.commit(repo.files | files)
    head = repo.head
    done = publisher(code=2)
    assert f"The name {REPO} is taken" in done.stderr
    assert "another --repo" in done.stderr
    assert (repo.head, publisher.hub.store) == (head, {})


def test_a_name_that_is_taken_by_what_cannot_be_seen(publisher: Publisher) -> None:
    publisher.hub.make(REPO, owner="someone")
    done = publisher(code=2)
    assert f"The name {REPO} is taken" in done.stderr
    assert "may not see" in done.stderr


@pytest.mark.parametrize("public", [False, True])
def test_another_visibility_than_asked_stops_the_push(publisher: Publisher, public: bool) -> None:
    publisher.hub.make(REPO, private=public)
    done = publisher(*["--public"] * public, code=2)
    assert f"{REPO} is {'private' if public else 'public'}" in done.stderr
    assert publisher.hub.store == {}


def test_a_file_that_the_hub_leaves_out_is_noticed(publisher: Publisher) -> None:
    publisher.hub.make(REPO).ignored = ".gguf"
    done = publisher(code=3)
    assert "does not hold what was sent: tiny-Q4_K_M.gguf, tiny-Q8_0.gguf" in done.stderr
    assert ".gitignore" in done.stderr
    assert not (publisher.run / "push.json").exists()
    assert publisher.hub.repos[REPO].tags == {}


def test_a_server_that_prints_the_token_back_is_not_repeated(publisher: Publisher) -> None:
    publisher.hub.plant("create", Fault(403, error=f"token {TOKEN} has no right to create"))
    done = publisher(code=2)
    assert "token [token] has no right to create" in done.stderr


@pytest.mark.parametrize("debug", ["1", ""])
def test_no_debugging_prints_it(publisher: Publisher, debug: str) -> None:
    publisher.hub.plant("commit", busy(503))
    publisher(process=True, HF_DEBUG=debug, HF_HUB_VERBOSITY="debug")


def test_nothing_is_started(publisher: Publisher) -> None:
    """The push is one process: no child could inherit the token."""
    program = (
        "import sys, subprocess, os\n"
        "def no(*a, **k): raise SystemExit('a process was started')\n"
        "subprocess.Popen = os.fork = os.posix_spawn = os.system = no\n"
        "from packager.__main__ import main; main(sys.argv[1:])"
    )
    words = [sys.executable, "-c", program, *publisher.command()[3:]]
    done = subprocess.run(words, env=publisher.environment(), cwd=ROOT, capture_output=True, text=True, timeout=300)
    publisher.printed += [done.stdout, done.stderr]
    assert done.returncode == 0, done.stderr


def flip(run: Path) -> None:
    path = run / "package" / BIG
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def fail_proof(run: Path) -> None:
    path = run / "proof" / "proof.json"
    rewrite(path, json.dumps(json.loads(path.read_text("utf-8")) | {"passed": False}))


def fail_manifest(run: Path) -> None:
    path = run / "package" / "manifest.json"
    manifest = json.loads(path.read_text("utf-8"))
    manifest["proof"]["checks"][0]["passed"] = False
    rewrite(path, json.dumps(manifest))
    seal(run)


@pytest.mark.parametrize(
    ("harm", "word"),
    [
        (flip, f"{BIG}: its sha256"),
        (fail_proof, "The last proof of tiny failed"),
        (fail_manifest, "proof did not pass"),
    ],
)
def test_a_package_that_is_not_proven_or_not_whole_stays(
    publisher: Publisher, harm: Callable[[Path], None], word: str
) -> None:
    apart(publisher.run)
    harm(publisher.run)
    done = publisher(code=3)
    assert word in done.stderr
    assert publisher.hub.requests == []


def put(name: str, content: bytes) -> Callable[[Path], None]:
    def harm(package: Path) -> None:
        (package / name).write_bytes(content)

    return harm


def link(name: str) -> Callable[[Path], None]:
    return lambda package: (package / name).symlink_to(package / "LEIA-ME.txt")


@pytest.mark.parametrize(
    ("harm", "name", "word"),
    [
        (put("train.jsonl", b"{}\n"), "train.jsonl", "looks like data"),
        (put(".env", b"X=1\n"), ".env", "hidden"),
        (put("prod.env", b"X=1\n"), "prod.env", "looks like a secret"),
        (put("build.log", b"ok\n"), "build.log", "looks like a log"),
        (link("MAIS.txt"), "MAIS.txt", "is a link"),
        (put("nota.txt", b"hf_" + b"Ab1" * 12), "nota.txt", "looks like a token"),
        (put("nota.bin", b"\0" * 3_000_000 + TOKEN.encode() + b"\0"), "nota.bin", "looks like a token"),
        (put("nota.txt", b"paciente Maria da Silva, CPF 529.982.247-25"), "nota.txt:1", "(CPF)"),
    ],
    ids=["data", "env", "secret", "log", "link", "token", "own-token", "cpf"],
)
def test_what_may_not_leave_is_named_and_stays(
    publisher: Publisher, harm: Callable[[Path], None], name: str, word: str
) -> None:
    apart(publisher.run)
    harm(publisher.package)
    done = publisher(code=3)
    assert f"{name.partition(':')[0]}: does not belong to the package" in done.stderr
    seal(publisher.run, name.partition(":")[0])
    done = publisher(code=2)
    assert name in done.stderr
    assert word in done.stderr
    assert "529.982" not in done.stderr
    assert publisher.hub.requests == []
    (publisher.package / name.partition(":")[0]).unlink()  # the token in it is the test's own


def test_a_llama_has_its_name(publisher: Publisher) -> None:
    path = publisher.run / "base" / "stage.json"
    record = json.loads(path.read_text("utf-8"))
    record["artifact"]["licence"] = "llama3.2"
    rewrite(path, json.dumps(record))
    done = publisher("--adapter", code=2)
    assert f"{REPO}: the Llama 3.2 Community License asks that the name begin with “Llama”" in done.stderr
    assert f"{REPO}-adapter: the Llama" in done.stderr
    assert "README.md must say “Built with Llama”" in done.stderr
    assert "NOTICE must say" in done.stderr
    assert publisher.hub.requests == []


def test_another_recipe_than_was_built_is_said(publisher: Publisher) -> None:
    done = publisher("--set", "serve.temperature=0.9", code=2)
    assert "is not what its recipe says now" in done.stderr
    assert "packager build tiny" in done.stderr


def test_without_a_package_the_build_is_named(publisher: Publisher) -> None:
    shutil.rmtree(publisher.run)
    assert "packager build tiny" in publisher(code=2).stderr


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
