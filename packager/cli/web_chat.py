"""The same conversation in a browser: a small server for this machine alone, of Python's own library.

It answers to its own page only: requests carry a key that stands in the page, and name this host. One question at a
time. Ends with Ctrl-C (exit code 130); raises `InputError` for a port that is taken.
"""

from __future__ import annotations

import html
import json
import secrets
import threading
import webbrowser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import click

from packager.cli.chatting import Conversation, opened
from packager.errors import InputError, PackagerError
from packager.recipe.recipe import Recipe

HOST = "127.0.0.1"
PAGE = Path(__file__).parent / "chat.html"
LONGEST = 1 << 20
"""Bytes of a request."""


def serve(recipe: Recipe, package: Path, file_type: str | None, port: int) -> None:
    """Serve the conversation until Ctrl-C; `port` 0 takes a free one."""
    with opened(recipe, package, file_type) as talk:
        server = server_of(talk, recipe, port)
        address = f"http://{HOST}:{server.server_port}/"
        click.echo(f"{talk.name}: {address}  (Ctrl-C ends it; only this machine can reach it)")
        webbrowser.open(address)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            raise click.exceptions.Exit(130) from None
        finally:
            server.server_close()


def server_of(talk: Conversation, recipe: Recipe, port: int) -> ThreadingHTTPServer:
    """The server, listening; raises `InputError` if the port is taken."""
    key = secrets.token_urlsafe(16)
    words = {"KEY": key, "NAME": html.escape(recipe.clinic.title or recipe.name), "FILE": html.escape(talk.name),
             "LANGUAGE": recipe.language}  # fmt: skip
    page = PAGE.read_text(encoding="utf-8")
    for name, text in words.items():
        page = page.replace(f"@{name}@", text)
    handler = type("Handler", (_Handler,), {"page": page, "key": key, "talk": talk, "lock": threading.Lock()})
    try:
        return ThreadingHTTPServer((HOST, port), handler)
    except OSError as error:
        raise InputError(
            f"Port {port} cannot be used: {error.strerror}.", "give another with --port, or none"
        ) from None


class _Handler(BaseHTTPRequestHandler):
    page: str
    key: str
    talk: Conversation
    lock: threading.Lock

    def do_GET(self) -> None:
        if not self._ours() or self.path != "/":
            self._send(404, "text/plain", b"")
            return
        self._send(200, "text/html; charset=utf-8", self.page.encode())

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not self._ours() or self.headers.get("X-Key") != self.key or not length.isdecimal() or int(length) > LONGEST:
            self._send(403, "text/plain", b"")
            return
        asked = json.loads(self.rfile.read(int(length)) or b"{}")
        if self.path == "/forget":
            with self.lock:
                self.talk.forget()
            self._send(204, "text/plain", b"")
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.end_headers()
        with self.lock:
            self._stream(str(asked.get("question", "")))

    def _stream(self, question: str) -> None:
        pieces = self.talk.answer(question)
        try:
            for text in pieces:
                self.wfile.write(text.encode())
                self.wfile.flush()
        except PackagerError as error:
            self.wfile.write(f"[{error.message}]".encode())
        except OSError:  # the page was closed, or its stop button pressed
            pass
        finally:
            pieces.close()  # type: ignore[attr-defined]

    def _ours(self) -> bool:
        return self.headers.get("Host", "").partition(":")[0] in (HOST, "localhost")

    def _send(self, code: int, kind: str, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", "default-src 'self' 'unsafe-inline'; frame-ancestors 'none'")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing of what is asked is printed."""
