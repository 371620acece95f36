"""A judge: how it is asked, against an endpoint that says what it was asked; and llama-cpp-python's own server
with a packaged model, through `packager evaluate`."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from packager.errors import MissingResource, PackagerError
from packager.evaluation import endpoint as endpoints
from packager.evaluation import judge
from packager.evaluation.judge import JudgeQuestion
from packager.recipe.evaluation import Judge

KEY = "segredo-do-juiz-4711"
ROWS = [(f"Pergunta {n}?", "Certo.") for n in range(12)]
ANSWERS = {"base": [f"Errado {n}." for n in range(12)], "tuned": [f"Certo {n}." for n in range(12)]}


class Endpoint(BaseHTTPRequestHandler):
    """Gives 3 to what says "Certo" and 1 to the rest; every third answer is prose; knows no `json_schema`."""

    refusal = 422, "unknown format"
    asked: list[dict[str, Any]]
    letters: list[str]
    said: int

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        kind = type(self)
        kind.asked.append(body | {"key": self.headers["Authorization"]})
        if body.get("response_format", {}).get("type") == "json_schema":
            code, why = self.refusal
            return self._reply(code, {"error": why})
        kind.said += 1
        answers = [part.split(":\n") for part in body["messages"][1]["content"].split("\n\n")[2:]]
        scores = {head[-1]: {"accuracy": 3 if "Certo" in text else 1, "style": 2} for head, text in answers}
        text = json.dumps(scores) if kind.said % 3 else "Ambas são boas."
        if kind.said % 3:
            kind.letters.append(next(letter for letter, found in scores.items() if found["accuracy"] == 3))
        usage = {"prompt_tokens": 100, "completion_tokens": 10}
        return self._reply(200, {"choices": [{"message": {"content": text}}], "usage": usage})

    def _reply(self, code: int, value: Any) -> None:
        data = json.dumps(value).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Endpoint]]:
    kind = type("Asked", (Endpoint,), {"asked": [], "letters": [], "said": 0})
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("PACKAGER_JUDGE_URL", f"http://127.0.0.1:{server.server_port}/v1")
    monkeypatch.setenv("PACKAGER_JUDGE_KEY", KEY)
    yield kind
    server.shutdown()
    server.server_close()


def asked(**settings: Any) -> JudgeQuestion:
    return JudgeQuestion(Judge(model="um-juiz", **settings), "pt-BR", 100, 1)


def test_the_order_is_blind_and_prose_is_asked_for_again(endpoint: type[Endpoint], tmp_path: Path) -> None:
    found, scored = judge.judge(asked(), ROWS, ANSWERS, tmp_path / "judge.jsonl")
    assert set(endpoint.letters) == {"A", "B"}, "the tuned model's answer stands now first, now second"
    assert all(row == scored[0] for row in scored.values())
    assert scored[0] == {"base": {"accuracy": 1, "style": 2}, "tuned": {"accuracy": 3, "style": 2}}
    assert (found.asked, found.retried, found.unusable) == (17, 5, 0), "every third answer of 12 usable ones"
    assert (found.prompt_tokens, found.answer_tokens) == (1700, 170)
    assert (found.comparisons[0].better, found.comparisons[0].worse) == (12, 0)
    assert sum("response_format" in body for body in endpoint.asked) == len(endpoint.asked)
    assert [b["response_format"]["type"] for b in endpoint.asked[:3]] == ["json_schema", "json_object", "json_object"]
    assert "base" not in json.dumps([body["messages"] for body in endpoint.asked]), "no model is named"
    assert {body["key"] for body in endpoint.asked} == {f"Bearer {KEY}"}
    assert KEY not in (tmp_path / "judge.jsonl").read_text("utf-8") + found.model_dump_json()

    again, same = judge.judge(asked(), ROWS, ANSWERS, tmp_path / "judge.jsonl")
    assert (again.asked, again.scores, same) == (0, found.scores, scored), "every row was kept"


def test_a_format_refused_as_an_internal_error_is_not_a_busy_endpoint(
    endpoint: type[Endpoint], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As llama-cpp-python's server refuses it."""
    monkeypatch.setattr(endpoint, "refusal", (500, "1 validation error: ('body', 'response_format', 'type')"))
    found, scored = judge.judge(asked(), ROWS, ANSWERS, tmp_path / "judge.jsonl")
    assert len(scored) == len(ROWS)
    kinds = [body["response_format"]["type"] for body in endpoint.asked]
    assert kinds == ["json_schema", *["json_object"] * found.asked], "asked once, not again"


@contextmanager
def serving(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """A server that answers everything so; yields its address."""
    kind = type("Answering", (Endpoint,), {"do_POST": answer, "do_GET": answer})
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


def test_the_key_does_not_follow_a_redirect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("packager.evaluation.endpoint.TRIES", 1)
    seen: list[str | None] = []

    def listen(handler: BaseHTTPRequestHandler) -> None:
        seen.append(handler.headers["Authorization"])
        handler.send_error(404)

    def redirect(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(302)
        handler.send_header("Location", elsewhere)
        handler.end_headers()

    with serving(listen) as elsewhere, serving(redirect) as url, pytest.raises(PackagerError):
        endpoints.complete(endpoints.Endpoint(url, KEY), {})
    assert seen == [None]


def test_an_answer_that_is_cut_off_is_no_bug_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("packager.evaluation.endpoint.TRIES", 1)

    def cut_off(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.write(b'{"choices"')

    with serving(cut_off) as url, pytest.raises(MissingResource, match="does not answer"):
        endpoints.complete(endpoints.Endpoint(url, KEY), {})


def test_no_request_is_sent_that_could_pass_the_cap(endpoint: type[Endpoint], tmp_path: Path) -> None:
    """A request costs 0.0002 and 10 answer tokens 0.0001, as the endpoint says; 256 of them would cost 0.00256."""
    how = asked(prompt_price=2.0, answer_price=10.0, max_cost=0.008)
    found, scored = judge.judge(how, ROWS, ANSWERS, tmp_path / "judge.jsonl")
    assert found.cost <= 0.008
    assert 0 < len(scored) < len(ROWS)
    assert found.ended == f"the cost cap of 0.008 was reached after {len(scored)} of 12 rows"
    nothing, _ = judge.judge(
        asked(prompt_price=2.0, answer_price=10.0, max_cost=0.001), ROWS, ANSWERS, tmp_path / "other.jsonl"
    )
    assert (nothing.asked, nothing.scores) == (0, ())


@contextmanager
def llama_cpp_server(model: Path) -> Iterator[str]:
    """llama-cpp-python's OpenAI-compatible server; yields its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "llama_cpp.server", "--model", str(model), "--host", "127.0.0.1"]
    command += ["--port", str(port), "--n_ctx", "4096", "--api_key", KEY]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}/v1"
    request = urllib.request.Request(f"{url}/models", headers={"Authorization": f"Bearer {KEY}"})
    try:
        for _ in range(1200):
            assert server.poll() is None, "the server ended"
            try:
                with urllib.request.urlopen(request, timeout=5):
                    break
            except OSError:
                time.sleep(0.1)
        yield url
    finally:
        server.terminate()
        server.wait()


def evaluate(recipe: Path, build: Path, **environment: str) -> tuple[dict[str, Any], str]:
    """`packager evaluate` with a judge of two rows: what was measured, and what was said."""
    command = [sys.executable, "-m", "packager", "evaluate", str(recipe), "--build-dir", str(build), "--set"]
    command += ["evaluate.rows=2 evaluate.max_answer_tokens=8 evaluate.judge.model=um-juiz evaluate.judge.rows=2"]
    env = os.environ | environment
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads((build / "tiny" / "evaluation" / "metrics.json").read_text("utf-8")), done.stdout + done.stderr


@pytest.mark.slow
def test_the_real_server_of_llama_cpp_python_judges(tiny_recipe: Path, copied: Path) -> None:
    """A packaged model of random weights behind a grammar: its scores mean nothing, but all else is real."""
    if missing := [m for m in ("fastapi", "uvicorn", "sse_starlette") if importlib.util.find_spec(m) is None]:
        pytest.skip(f"{missing[0]} is not installed: pip install -c constraints.txt -e '.[test-evaluation]'")
    with llama_cpp_server(copied / "tiny" / "package" / "tiny-Q8_0.gguf") as url:
        refused, said = evaluate(tiny_recipe, copied, PACKAGER_JUDGE_URL=url, PACKAGER_JUDGE_KEY="falsch")
        assert refused["judgement"] is None
        assert "refused the request (401)" in said
        found, said = evaluate(tiny_recipe, copied, PACKAGER_JUDGE_URL=url, PACKAGER_JUDGE_KEY=KEY)
        judged = found["judgement"]
        assert {(s["model"], s["criterion"], s["n"]) for s in judged["scores"]} == {
            (model, criterion, 2) for model in ("base", "tuned") for criterion in ("accuracy", "style")
        }
        assert (judged["asked"], judged["unusable"]) == (2, 0)
        assert judged["prompt_tokens"] > 500
    assert KEY not in said
    for path in (copied / "tiny").rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes(), path
