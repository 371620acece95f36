"""What stands before the server: only this machine's own page, with its key, is answered; others cost nothing."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import browser
import clinic_bundle
import pytest
from clinic_bundle import Started

QUESTION = {"messages": [{"role": "user", "content": "O que é a APS?"}]}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clinic_bundle.program_of(tmp_path_factory)


@pytest.fixture
def computed(tmp_path: Path) -> Path:
    """Every question that the server computes."""
    return tmp_path / "asked.jsonl"


@pytest.fixture
def served(tmp_path: Path, program: Path, computed: Path) -> Iterator[Started]:
    bundle = clinic_bundle.make(tmp_path / "bundle", program)
    command = ["sh", str(bundle / "iniciar.sh"), "--sem-navegador"]
    with clinic_bundle.started(command, env={"STANDIN_ASKED": str(computed)}) as running:
        yield running


def test_the_page_with_its_key_is_answered(served: Started, computed: Path) -> None:
    status, body = served.ask("/perguntar", QUESTION, Origin=served.url, Sec_Fetch_Site="same-origin")
    assert status == 200
    assert json.loads(body)["choices"][0]["message"]["content"].startswith("A atenção")
    assert json.loads(computed.read_text())["path"] == "/v1/chat/completions"
    assert served.ask("/contar", QUESTION) == (200, b'{"input_tokens": 5}')


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"X_Chave": ""}, 401),
        ({"X_Chave": "aaaaaaaaaaaa"}, 401),
        ({"Content_Type": "text/plain"}, 415),
        ({"Content_Type": "text/plain", "X_Chave": ""}, 401),
        ({"Host": "clinica.example:8180"}, 421),
        ({"Host": "127.0.0.1"}, 421),
        ({"Host": "localhost.example:8180"}, 421),
        ({"Origin": "http://clinica.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "https://127.0.0.1:8180"}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),  # another port of this machine
    ],
)
def test_whoever_else_asks_is_refused_and_nothing_is_computed(
    served: Started, computed: Path, headers: dict[str, str], status: int
) -> None:
    code, body = served.ask("/perguntar", QUESTION, **headers)
    assert code == status
    assert b"SUS" not in body
    assert not computed.exists()


@pytest.mark.parametrize(
    "path",
    ["/props", "/slots", "/v1/models", "/models", "/health", "/metrics", "/v1/chat/completions", "/completion",
     "/tokenize", "/lora-adapters", "/apply-template", "/../config.json", "/prova.json", "/aberto.json", "//perguntar"],
)  # fmt: skip
def test_no_other_route(served: Started, computed: Path, path: str) -> None:
    assert served.ask(path)[0] == 404
    assert served.ask(path, QUESTION)[0] == 404
    assert served.ask(path, X_Chave="")[0] == 401
    assert not computed.exists()


@pytest.mark.parametrize(
    "text",
    [
        "nonsense\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",  # no Host
        "GET / HTTP/1.1\r\nHost: {host}\r\nHost: {host}\r\n\r\n",
        "GET / HTTP/1.1\r\nHost {host}\r\n\r\n",
        "GET /" + "a" * 20_000 + " HTTP/1.1\r\n\r\n",
        "POST /perguntar HTTP/1.1\r\nHost: {host}\r\nX-Chave: {key}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /perguntar HTTP/1.1\r\nHost: {host}\r\nX-Chave: {key}\r\nContent-Length: -1\r\n\r\n",
        "POST /perguntar HTTP/1.1\r\nHost: {host}\r\nX-Chave: {key}\r\nContent-Length: 99999999\r\n\r\n",
        "POST /perguntar HTTP/1.1\r\nHost: {host}\r\nX-Chave: {key}\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: {host}\0\r\n\r\n",
    ],
)
def test_what_is_no_request_of_a_browser(served: Started, computed: Path, text: str) -> None:
    port = int(served.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as out:
        out.sendall(text.format(host=f"127.0.0.1:{port}", key=served.key).encode())
        out.settimeout(60)
        answer = out.recv(4096)
    assert answer.split()[1][:1] == b"4"
    assert not computed.exists()
    assert served.ask("/estado")[0] == 200  # it lives


@pytest.mark.parametrize(
    ("headers", "code"), [("X-Chave: {key}\r\n", b"413"), ("X-Chave: a b\r\nX-Chave: c\r\n", b"400")]
)
def test_a_refusal_is_heard_by_who_is_still_sending(served: Started, headers: str, code: bytes) -> None:
    """Closed at once, with bytes that were not read, the browser's system would throw the answer away."""
    port, size = int(served.url.rpartition(":")[2]), 8_000_000
    head = f"POST /contar HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {size}\r\n"
    with socket.create_connection(("127.0.0.1", port)) as out:
        out.settimeout(60)
        out.sendall((head + headers.format(key=served.key) + "\r\n").encode())
        for _ in range(8):
            out.sendall(bytes(size // 8))
        answer = b"".join(iter(lambda: out.recv(4096), b""))  # to its end: no reset
    assert answer.split()[1] == code
    assert answer.endswith(b'"type":"refused"}}')
    assert served.ask("/estado")[0] == 200


def test_a_request_in_single_bytes_and_many_that_say_nothing(served: Started) -> None:
    port = int(served.url.rpartition(":")[2])
    silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(30)]
    with socket.create_connection(("127.0.0.1", port)) as out:
        for byte in f"GET /estado HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nx-chave: {served.key}\r\n\r\n".encode():
            out.sendall(bytes([byte]))
        out.settimeout(60)
        assert out.recv(4096).startswith(b"HTTP/1.1 200")
    for one in silent:
        one.close()


def test_one_question_at_a_time_and_the_place_is_free_again(served: Started, computed: Path) -> None:
    port = int(served.url.rpartition(":")[2])
    body = json.dumps({"messages": [{"role": "user", "content": "sem parar"}], "stream": True}).encode()
    head = (
        f"POST /perguntar HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nX-Chave: {served.key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port)) as first:
        first.sendall(head.encode() + body)
        assert first.recv(16)
        assert served.ask("/estado")[1] == b'{"state":"busy"}'
        status, said = served.ask("/perguntar", QUESTION)
        assert status == 503
        assert json.loads(said)["error"]["type"] == "busy"
    served.until_free()  # its page was closed in the middle
    assert served.ask("/perguntar", QUESTION)[0] == 200
    assert len(computed.read_text().splitlines()) == 2


def test_an_answer_for_somebody_slow(served: Started) -> None:
    """The browser reads late; nothing is lost, and others are answered meanwhile."""
    answers: list[tuple[int, bytes]] = []
    states = set()
    asked = threading.Thread(target=lambda: answers.append(served.ask("/perguntar", {
        "messages": [{"role": "user", "content": "devagar"}], "stream": True})))  # fmt: skip
    asked.start()
    while asked.is_alive():
        states.add(served.ask("/estado"))
        time.sleep(0.5)
    assert {status for status, _ in states} == {200}
    assert b'{"state":"busy"}' in {state for _, state in states}
    assert answers[0][1].count(b"porta") == 20
    assert answers[0][1].endswith(b"[DONE]\n\n")


def test_a_server_that_thinks_for_long_is_waited_for(served: Started) -> None:
    """As one does that reads a long question on an old processor."""
    status, said = served.ask("/perguntar", {"messages": [{"role": "user", "content": "demora"}], "stream": True})
    assert status == 200
    assert b"SUS" in said
    assert said.endswith(b"[DONE]\n\n")


FOREIGN = """(async () => {
  const told = {};
  const tell = async (name, asked) => {
    try {
      const answer = await asked;
      told[name] = `${answer.status} ${answer.type} ${(await answer.text()).slice(0, 40)}`;
    } catch (error) {
      told[name] = "nothing";
    }
  };
  const body = JSON.stringify({ messages: [{ role: "user", content: "?" }] });
  for (const path of ["/perguntar", "/v1/chat/completions"]) {
    const url = arguments[0] + path;
    await tell("plain " + path, fetch(url, { method: "POST", body, headers: { "Content-Type": "text/plain" } }));
    await tell("blind " + path, fetch(url, { method: "POST", body, mode: "no-cors" }));
    await tell("json " + path, fetch(url, { method: "POST", body, headers: { "Content-Type": "application/json" } }));
    await tell("key " + path, fetch(url, { method: "POST", body, headers: { "X-Chave": arguments[1] } }));
  }
  await tell("config", fetch(arguments[0] + "/config.json"));
  await tell("state", fetch(arguments[0] + "/estado"));
  window.told = told;
})()"""
"""Everything that a page may try against an address; a stranger does not have the key, this one is given it."""


def test_a_foreign_page_in_the_same_browser(served: Started, computed: Path, tmp_path: Path) -> None:
    """A page of another origin, and one at a foreign name that resolves to 127.0.0.1 (DNS rebinding)."""
    port = served.url.rpartition(":")[2]
    rules = "MAP clinica.example 127.0.0.1"
    with (
        browser.chromium(f"--host-resolver-rules={rules}") as page,
        browser.pages({"/": "<title>De fora</title>"}) as site,
    ):
        page.open(site)
        page.run("(" + FOREIGN + ", 0)", served.url, served.key)
        told = page.until(lambda: page.run("window.told"))
        assert {answer for name, answer in told.items() if not name.startswith("blind")} == {"nothing"}
        assert {answer.strip() for name, answer in told.items() if name.startswith("blind")} <= {"nothing", "0 opaque"}
        rebound = f"http://clinica.example:{port}"
        page.open(rebound + "/")  # the browser takes it for that site's own page, and all it asks for as of one origin
        assert "SUS" not in page.text("body")
        assert page.run("location.origin") == rebound
        page.run("(" + FOREIGN + ", 0)", rebound, served.key)
        told = page.until(lambda: page.run("window.told"))
        assert {answer.split()[0] for answer in told.values()} == {"421"}, told
    assert not computed.exists()
    assert served.ask("/perguntar", QUESTION)[0] == 200
    assert computed.exists()
