"""Talking to a package: in a terminal of its own (a pty), and in the browser's page over HTTP."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from packager.cli import chatting, web_chat
from packager.cli.chatting import Conversation
from packager.recipe import loading
from packager.recipe.recipe import Recipe


class Terminal:
    """`packager chat` with a terminal at its other end."""

    def __init__(self, recipe: Path, built: Path) -> None:
        self.ours, theirs = pty.openpty()
        self.said = ""
        words = [sys.executable, "-m", "packager", "chat", str(recipe), "--build-dir", str(built)]
        before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background ignores it
        try:
            self.child = subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
        finally:
            signal.signal(signal.SIGINT, before)
        os.close(theirs)

    def until(self, words: str, seconds: float = 180) -> None:
        end = time.monotonic() + seconds
        while words not in self.said:
            assert time.monotonic() < end, self.said
            ready, _, _ = select.select([self.ours], [], [], max(0, end - time.monotonic()))
            assert ready, self.said
            try:
                self.said += os.read(self.ours, 4096).decode(errors="replace")
            except OSError:
                assert words in self.said, self.said

    def type(self, text: str) -> None:
        self.said = ""
        os.write(self.ours, text.encode())

    def ended(self) -> int:
        try:
            return self.child.wait(60)
        finally:
            os.close(self.ours)


def test_a_conversation_in_a_terminal(tiny_recipe: Path, built: Path) -> None:
    terminal = Terminal(tiny_recipe, built)
    terminal.until("/ajuda")
    terminal.until("> ")
    terminal.type("/help\n")
    terminal.until("/nova")
    terminal.type("O que é vacina?\n")
    terminal.until("saúde")
    terminal.until(".\r\n\r\n> ")
    terminal.type("/bye\n")
    assert terminal.ended() == 0


def test_ctrl_c_at_the_prompt_leaves_with_130(tiny_recipe: Path, built: Path) -> None:
    terminal = Terminal(tiny_recipe, built)
    terminal.until("> ")
    for _ in range(12):  # one that comes just before the line is read is only seen with the next
        os.killpg(terminal.child.pid, signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            terminal.child.wait(15)
            break
    assert terminal.ended() == 130


@pytest.fixture
def recipe(tiny_recipe: Path) -> Recipe:
    return loading.load(str(tiny_recipe))


@pytest.fixture
def talk(recipe: Recipe, built: Path) -> Iterator[Conversation]:
    with chatting.opened(recipe, built / "tiny" / "package", None) as conversation:
        yield conversation


class Interrupted(Conversation):
    """Ctrl-C comes after the second piece of an answer."""

    def answer(self, question: str) -> Iterator[str]:
        for number, piece in enumerate(super().answer(question)):
            if number == 2:
                os.kill(os.getpid(), signal.SIGINT)
            yield piece


def test_ctrl_c_stops_the_answer_and_the_talk_goes_on(talk: Conversation, capsys: pytest.CaptureFixture[str]) -> None:
    chatting._say(talk, "O que é vacina?")
    whole = capsys.readouterr().out.strip()
    cut = Interrupted(talk.model, talk.serve, talk.system, talk.name)
    chatting._say(cut, "O que é vacina?")
    stopped = capsys.readouterr().out.strip()
    assert stopped.endswith("[...]")
    assert len(stopped) < len(whole)
    assert [m["role"] for m in cut.messages][-2:] == ["user", "assistant"]
    chatting._say(talk, "Onde pergunto sobre dengue?")
    assert capsys.readouterr().out.strip()
    talk.forget()
    assert len(talk.messages) == (1 if talk.system else 0)


@pytest.fixture
def address(talk: Conversation, recipe: Recipe) -> Iterator[str]:
    server = web_chat.server_of(talk, recipe, 0)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def post(url: str, body: str, **headers: str) -> str:
    request = urllib.request.Request(url, body.encode(), headers, method="POST")
    with urllib.request.urlopen(request, timeout=60) as answer:
        return str(answer.read().decode())


def test_a_question_in_the_browsers_page(address: str) -> None:
    with urllib.request.urlopen(f"{address}/", timeout=60) as answer:
        page = answer.read().decode()
    key = re.search(r'"X-Key": "([^"]+)"', page)
    assert key
    assert "@" not in re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    assert "saúde" in post(f"{address}/ask", '{"question": "O que é vacina?"}', **{"X-Key": key[1]})
    assert post(f"{address}/forget", "{}", **{"X-Key": key[1]}) == ""


@pytest.mark.parametrize("headers", [{}, {"X-Key": "guessed"}, {"Host": "elsewhere.example"}])
def test_other_pages_get_no_answer(address: str, headers: dict[str, str]) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        post(f"{address}/ask", '{"question": "O que é vacina?"}', **headers)
    assert refused.value.code == 403
