"""Headless Chromium through chromedriver's own HTTP interface (W3C WebDriver); no library needed."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
ENTER, ESCAPE, TAB = "\ue007", "\ue00c", "\ue004"


class Browser:
    def __init__(self, url: str) -> None:
        self.url = url

    def call(self, path: str, body: dict[str, Any] | None = None, method: str | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=180) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{path}: {json.load(error)['value']['message']}") from None

    def open(self, url: str) -> None:
        self.call("/url", {"url": url})

    def run(self, script: str, *arguments: Any) -> Any:
        """JavaScript's value in the page."""
        return self.call("/execute/sync", {"script": f"return ({script})", "args": list(arguments)})

    def text(self, selector: str) -> str:
        return str(
            self.run("[...document.querySelectorAll(arguments[0])].map((e) => e.innerText).join('\\n')", selector)
        )

    def type(self, selector: str, keys: str) -> None:
        found = self.call("/element", {"using": "css selector", "value": selector})[ELEMENT]
        self.call(f"/element/{found}/value", {"text": keys})

    def click(self, selector: str) -> None:
        found = self.call("/element", {"using": "css selector", "value": selector})[ELEMENT]
        self.call(f"/element/{found}/click", {})

    def until(self, condition: Callable[[], Any], seconds: float = 60) -> Any:
        end = time.monotonic() + seconds
        while not (value := condition()):
            assert time.monotonic() < end, f"waited {seconds} s; the page says: {self.text('body')}"
            time.sleep(0.05)
        return value

    def size(self, width: int, height: int) -> None:
        """The page's own size; a window of Chromium cannot be as narrow as a phone."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.devtools("Emulation.setDeviceMetricsOverride", metrics)

    def devtools(self, command: str, parameters: dict[str, Any]) -> Any:
        return self.call("/goog/cdp/execute", {"cmd": command, "params": parameters})

    def picture(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.call("/screenshot")))

    def requested(self) -> list[str]:
        """Every address that a page asked for since the last call."""
        messages = [json.loads(entry["message"])["message"] for entry in self.call("/se/log", {"type": "performance"})]
        return [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]


def pictured(page: Browser, name: str) -> None:
    """A picture to look at, where PAGE_PICTURES names a folder."""
    if folder := os.environ.get("PAGE_PICTURES"):
        page.picture(Path(folder) / f"{name}.png")


@contextmanager
def chromium(*more: str) -> Iterator[Browser]:
    """A fresh browser, with `more` switches; skips the test where Chromium or its driver is not installed."""
    driver, browser = shutil.which("chromedriver"), shutil.which("chromium") or shutil.which("chromium-browser")
    if not driver or not browser:
        pytest.skip("chromium and chromedriver are not installed")
    with contextlib.ExitStack() as ending:
        log = ending.enter_context(tempfile.NamedTemporaryFile("w+", suffix=".log", encoding="utf-8"))
        process = subprocess.Popen([driver, "--port=0"], stdout=log, stderr=subprocess.STDOUT)
        ending.callback(process.wait)
        ending.callback(process.terminate)
        root = Browser(f"http://127.0.0.1:{_port_of(process, Path(log.name))}")
        switches = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage"]
        switches += ["--disable-background-networking", "--disable-component-update", "--disable-sync", *more]
        wanted = {
            "goog:chromeOptions": {"binary": browser, "args": switches},
            "goog:loggingPrefs": {"performance": "ALL"},
        }
        made = root.call("/session", {"capabilities": {"alwaysMatch": wanted}})
        session = Browser(f"{root.url}/session/{made['sessionId']}")
        ending.callback(session.call, "", method="DELETE")
        yield session


@contextmanager
def pages(texts: dict[str, str]) -> Iterator[str]:
    """A web site with these pages, on a port of its own; its address."""

    class Site(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            text = texts.get(self.path)
            self.send_response(200 if text is not None else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write((text or "").encode())

    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def _port_of(driver: subprocess.Popen[bytes], log: Path) -> int:
    """The port that it has chosen, once it answers there."""
    end = time.monotonic() + 120
    while not (found := re.search(r"started successfully on port (\d+)", text := log.read_text("utf-8", "replace"))):
        assert driver.poll() is None, text
        assert time.monotonic() < end, text
        time.sleep(0.05)
    return int(found[1])
