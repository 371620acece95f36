"""What may not be published, errors that hold no token, the deadline: what a push is made of."""

from __future__ import annotations

import errno
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
from cards import card_facts
from hub_uploads import Fault, Hub, account, busy, card_faults, lost, serve_uploads, sha

from packager.errors import InputError, MissingResource, PackagerError, ProofFailed, StageCrash
from packager.hub.connection import connection
from packager.hub.explanations import ask, explain
from packager.hub.reading import fetch_small
from packager.package import card
from packager.process import progress
from packager.publish import rendering, sending, staging, upload
from packager.publish.refusals import refusals
from packager.publish.staging import Parcel, Shipment, ShippedFile
from packager.publish.upload import Account
from packager.recipe.loading import ROOT

TOKEN = "hf_" + "Lk4" * 11
REPO = "org/meu"


@pytest.mark.parametrize(
    ("name", "content", "word"),
    [
        ("dados.csv", b"a,b\n", "data"),
        ("sub/TREINO.JSONL", b"{}\n", "data"),
        (".env", b"A=1", "hidden"),
        (".git/config", b"x", "hidden"),
        ("servidor.pem", b"x", "secret"),
        ("build.log", b"x", "log"),
        ("a.txt", b"api_org_" + b"a" * 34, "token"),
        ("a.txt", b"key = sk-" + b"aB3" * 12, "token"),
        ("a.txt", b"ghp_" + b"aB3" * 12, "token"),
        ("a.txt", b"AKIA" + b"A1B2" * 4, "token"),
        ("a.txt", b"-----BEGIN RSA PRIVATE KEY-----\n", "token"),
        ("w.gguf", b"\0" * ((1 << 20) - 10) + b"hf_" + b"aB3" * 12 + b"\0" * 99, "token"),
        ("w.gguf", b"\0secret-of-mine\0", "token"),
        ("a.txt", b"x\nligue para (11) 98765-4321\n", "a.txt:2: holds what looks like a patient identifier (TELEFONE)"),
        ("a.json", b'{"x": "ana@clinica.com.br"}', "(E-MAIL)"),
        ("a.html", b"<p>CPF 529.982.247-25</p>", "(CPF)"),
        ("a.txt", b"see /home/ana/data\n", "path of this machine"),
        ("a.txt", b"file:///home/ana\n", "path of this machine"),
        ("knowledge.jsonl", b'{"text": "Ligue (11) 98765-4321."}\n', "knowledge.jsonl:1: holds"),
        ("x/knowledge.jsonl", b"{}\n", "data"),
    ],
)
def test_what_may_not_leave(tmp_path: Path, name: str, content: bytes, word: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(content)
    found = "\n".join(refusals(tmp_path, [name], ["secret-of-mine", ""], "/home/ana"))
    assert found.startswith(name)
    assert word in found
    assert "529" not in found


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", f"{sha(b'1')}  m.gguf\n".encode()),
        ("manifest.json", b'{"size": 144811008, "loss": 3.0712, "sha256": "12345678909a529982247250b1c2d3e4"}'),
        ("report.html", b'<path d="M 11 2345-6789 L 12 98765-4321"/>'),
        ("tokenizer.json", b'"x@example.org", "/home/ana/"'),
        ("w.gguf", bytes(range(256)) * 5000),
        ("knowledge.jsonl", b'{"question": "O que \xc3\xa9 a APS?", "text": "A porta de entrada."}\n'),
        ("a.txt", b"https://exemplo.org/home/ana-paula/, tokens/s"),
        ("a.txt", b"Ligue 136 ou 0800 644 0844. A usu\xc3\xa1ria decide."),
    ],
)
def test_what_may_leave(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert refusals(tmp_path, [name], [TOKEN], "/home/ana") == []


def test_links_are_refused_wherever_they_are(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/a").write_text("x")
    (tmp_path / "folder").symlink_to(tmp_path / "real")
    (tmp_path / "a").symlink_to(tmp_path / "real/a")
    assert refusals(tmp_path, ["folder/a", "a", "real/a"]) == ["folder/a: is a link", "a: is a link"]


@pytest.mark.parametrize("relation", ["quantized", "adapter", "finetune"])
@pytest.mark.parametrize("source", ["microsoft/Phi-3-mini-4k-instruct", "pypi:a==1/b.gguf"])
def test_the_hub_has_nothing_against_the_cards(relation: str, source: str) -> None:
    made = card_facts(source, "abc" if "/Phi" in source else "")
    text = {
        "quantized": lambda: card.model_card(made),
        "adapter": lambda: card.adapter_card(made, f"{REPO}-adapter", REPO),
        "finetune": lambda: card.merged_card(made, REPO),
    }[relation]()
    assert card_faults(text) == []
    assert (f"base_model_relation: {relation}" in text) == ("/Phi" in source)
    assert card_faults(text.replace("type: loss", "type: 3"))


# --- against a Hub on loopback, in this process


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    from huggingface_hub import constants

    with serve_uploads({TOKEN: account("ana", "org")}) as running:
        monkeypatch.setattr(constants, "ENDPOINT", running.endpoint)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-login"))
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield running


@pytest.fixture
def shipment(tmp_path: Path) -> Shipment:
    """One repo with three files, two of them too large for git."""
    folder = tmp_path / "parcel"
    folder.mkdir()
    (folder / "a.gguf").write_bytes(b"a" * 3000)
    (folder / "b.gguf").write_bytes(b"b" * 200_000)
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# x\n")
    (folder / "manifest.json").write_text(json.dumps({"packager": "1", "name": "meu"}))
    items = {p.name: ShippedFile(p.stat().st_size, sha(p.read_bytes())) for p in sorted(folder.iterdir())}
    return Shipment("meu", "0" * 12, True, tmp_path, (Parcel(REPO, "package", folder, items),), ())


def send(shipment: Shipment, seconds: float = 60) -> list[sending.Pushed]:
    with connection(seconds) as watch:
        _, replies = sending.ask(shipment)
        return sending.push(shipment, replies, watch)


WRITTEN_TO = ("whoami", "info", "create", "validate", "preupload", "batch", "put", "part", "complete", "verify",
              "commit", "tag")  # fmt: skip
PASSING = {
    "half": Fault(drop="half"),
    "lost": lost(),
    "503": busy(503),
    "429": busy(429, 7),
    "stall": Fault(stall=0.01),
}


@pytest.mark.parametrize("kind", PASSING)
@pytest.mark.parametrize("route", WRITTEN_TO)
def test_every_route_may_fail_once(
    server: Hub, shipment: Shipment, monkeypatch: pytest.MonkeyPatch, route: str, kind: str
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    server.part_size = 80_000 if route in ("part", "complete") else 0
    server.plant(route, PASSING[kind])
    [pushed] = send(shipment)
    repo = server.repos[REPO]
    assert not server.faults[route]
    assert len(repo.commits) == 2
    assert repo.tags == {pushed.tag: repo.head}
    assert kind != "429" or max(waited) >= 7


@pytest.mark.parametrize("route", WRITTEN_TO)
def test_no_route_can_hang_a_push(server: Hub, shipment: Shipment, route: str) -> None:
    server.part_size = 80_000 if route in ("part", "complete") else 0
    server.plant(route, *[Fault(stall=20)] * 9)
    with pytest.raises(MissingResource) as caught:
        send(shipment, 0.5)
    assert "run the same command again" in caught.value.fix


def test_progress_is_of_the_bytes_sent(server: Hub, shipment: Shipment) -> None:
    events: list[progress.Event] = []
    with progress.route(events.append):
        [pushed] = send(shipment)
    shown = [event["done"] for event in events if "done" in event]
    assert shown[-1] == pytest.approx(0.203, abs=0.001)
    assert shown == sorted(shown)
    assert "4 files changed" in rendering.pushed([pushed])


def test_what_the_hub_holds_otherwise_is_named(server: Hub, shipment: Shipment) -> None:
    send(shipment)
    repo = server.repos[REPO]
    repo.commit(repo.files | {"b.gguf": b"B" * 200_000, "x.txt": b""})
    with connection(60), pytest.raises(ProofFailed, match=r"b\.gguf, x\.txt \(not ours\)"):
        sending._compare(shipment.parcels[0], repo.head)


def test_someone_elses_commit_in_between_is_not_overwritten(server: Hub, shipment: Shipment) -> None:
    with connection(60) as watch:
        server.make(REPO, owner="org")
        _, replies = sending.ask(shipment)
        server.repos[REPO].commit(server.repos[REPO].files | {"theirs.txt": b"x"})
        with pytest.raises(InputError, match="changed by someone else"):
            sending.push(shipment, replies, watch)


def test_a_card_that_the_hub_refuses_stops_before_anything_is_made(server: Hub, shipment: Shipment) -> None:
    (shipment.parcels[0].folder / "README.md").write_text("---\nlicense: nonsense\n---\n")
    with pytest.raises(InputError, match='refuses the model card of org/meu: "license" must be one of'):
        send(shipment)
    assert server.repos == {}


def reachable(error: BaseException) -> str:
    """All that a handler, a debugger or a log could find in an exception."""
    seen, texts, waiting = set(), [], [error]
    while waiting:
        link = waiting.pop()
        if link is None or id(link) in seen:
            continue
        seen.add(id(link))
        texts += [repr(link), str(link), repr(vars(link))]
        for name in ("response", "request"):
            holder = getattr(link, name, None)
            texts.append(repr(getattr(getattr(holder, "request", holder), "headers", "")))
        waiting += [link.__cause__, link.__context__]
    return "".join(texts)


@pytest.mark.parametrize(
    ("route", "faults"),
    [
        ("whoami", [Fault(401, error=f"{TOKEN} is expired")]),
        ("whoami", [busy(503, 50)]),
        ("create", [Fault(403, error=TOKEN)]),
        ("create", [Fault(402, error="Storage is full")]),
        ("info", [Fault(400, error=f"Bearer {TOKEN}")]),
        ("put", [Fault(stall=30)]),
        ("batch", [Fault(418, error=TOKEN)]),
        ("commit", [Fault(413, error=TOKEN), *[Fault(418)] * 3]),
        ("tag", [Fault(403)]),
        ("validate", [Fault(400, error=TOKEN)]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_no_error_holds_the_token(server: Hub, shipment: Shipment, route: str, faults: list[Fault]) -> None:
    server.plant(route, *faults)
    with pytest.raises(PackagerError) as caught:
        send(shipment, 3)
    assert caught.value.fix
    assert TOKEN not in reachable(caught.value)
    assert TOKEN not in caught.value.format_message()
    assert "Authorization" not in reachable(caught.value).title()


def test_the_check_above_would_find_it(server: Hub) -> None:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    server.plant("whoami", Fault(418))
    with pytest.raises(HfHubHTTPError) as caught:
        HfApi().whoami()
    assert caught.value.response.request.headers["authorization"] == f"Bearer {TOKEN}"


def test_a_deadline_bounds_a_server_that_drips(server: Hub, shipment: Shipment) -> None:
    server.plant("info", *[Fault(trickle=0.02)] * 9)
    with pytest.raises(MissingResource, match="did not finish in time"):
        send(shipment, 1.5)


def test_a_wait_beyond_the_deadline_is_not_waited_for(
    server: Hub, shipment: Shipment, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    server.plant("put", busy(429, 50))
    with pytest.raises(MissingResource, match="asks to wait 50 s"):
        send(shipment, 20)
    assert sum(waited) < 1


def test_the_connection_leaves_the_client_as_it_was() -> None:
    from huggingface_hub import constants
    from huggingface_hub.utils import _http

    before = constants.HF_HUB_DISABLE_XET
    with connection(5):
        assert constants.HF_HUB_DISABLE_XET
    assert before == constants.HF_HUB_DISABLE_XET
    assert _http._GLOBAL_CLIENT_FACTORY is _http.default_client_factory


def test_a_lost_commit_is_found_and_not_made_twice(server: Hub, shipment: Shipment) -> None:
    server.plant("commit", lost())
    [pushed] = send(shipment)
    assert len(server.repos[REPO].commits) == 2
    assert pushed.commit == server.repos[REPO].head


@pytest.mark.parametrize(
    ("error", "kind", "word"),
    [
        (FileNotFoundError(2, "gone"), MissingResource, "could not be read"),
        (OSError(errno.ENOSPC, "No space left on device"), MissingResource, "The disk is full"),
        (json.JSONDecodeError("Expecting value", "<html>", 0), MissingResource, "does not speak as the Hub does"),
        (httpx2.InvalidURL("no host"), InputError, "HF_ENDPOINT"),
        (InputError("mine", "fix"), InputError, "mine"),
    ],
)
def test_other_errors_are_explained_too(error: Exception, kind: type[PackagerError], word: str) -> None:
    found = explain(error, REPO)
    assert type(found) is kind
    assert word in f"{found.message}{found.fix}"


@pytest.mark.parametrize("handling", [False, True], ids=["alone", "while handling an answer"])
def test_a_bug_keeps_its_traceback_and_no_token(
    server: Hub, shipment: Shipment, monkeypatch: pytest.MonkeyPatch, handling: bool
) -> None:
    from huggingface_hub import HfApi

    def broken(*args: object, **settings: object) -> None:
        try:
            if handling:
                HfApi().whoami()
        finally:
            raise TypeError(f"broken {TOKEN}")

    monkeypatch.setattr(HfApi, "create_commit", broken)
    if handling:
        server.plant("whoami", Fault(), Fault(403, error=TOKEN))  # the second is asked by what is broken
    with pytest.raises(StageCrash) as caught:
        send(shipment)
    assert caught.value.exit_code == 1
    assert "Traceback" in caught.value.message
    assert "in broken" in caught.value.message
    assert "TypeError: broken [token]" in caught.value.message
    assert TOKEN not in reachable(caught.value)
    assert len(server.repos[REPO].commits) == 1


def test_a_bug_in_reading_is_no_lack_of_network(server: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import HfApi

    def broken(*args: object, **settings: object) -> None:
        raise KeyError(TOKEN)

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(HfApi, "model_info", broken)
    with pytest.raises(StageCrash, match=r"KeyError: '\[token\]'") as caught:
        fetch_small(REPO, None, [])
    assert TOKEN not in reachable(caught.value)


def test_a_question_that_fails_for_good_is_asked_once() -> None:
    asked = []

    def question() -> None:
        asked.append(1)
        raise ValueError("no")

    with pytest.raises(StageCrash):
        ask(question, REPO)
    assert len(asked) == 1


@pytest.mark.parametrize("repo", ["meu", "a/b/c", "/b", "a/"])
def test_a_repo_has_an_owner_and_a_name(tmp_path: Path, repo: str) -> None:
    with (
        pytest.raises(InputError, match="not the name of a repo"),
        staging.staged(card_facts("x").recipe, tmp_path, repo),
    ):
        pass


def read_whoami(server: Hub, change: Callable[[dict[str, object]], None]) -> Account:
    change(server.accounts[TOKEN])
    with connection(5):
        return upload.account()


def test_a_token_of_finer_grain_is_left_to_the_hub(server: Hub) -> None:
    found = read_whoami(server, lambda who: who.update(auth={"accessToken": {"role": "fineGrained"}}))
    assert found.places == ("ana", "org")
    assert read_whoami(server, lambda who: who.pop("auth")).name == "ana"


def test_make_builds_and_then_pushes() -> None:
    def commands(*words: str) -> list[str]:
        done = subprocess.run(["make", "-n", *words], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
        return [line.partition("packager ")[2] for line in done.stdout.splitlines() if "/packager " in line][-2:]

    build, push = commands("recipe=phi3_aps", "push=org/name", "set=train.epochs=1")
    assert build.split() == ["build", "phi3_aps", "--set", "'train.epochs=1'"]
    assert push.split() == ["push", "phi3_aps", "--repo", "'org/name'", "--set", "'train.epochs=1'"]
    assert not [line for line in commands("recipe=phi3_aps") if line.startswith("push")]
