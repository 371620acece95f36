"""An OpenAI-compatible endpoint: where it is and its key, from the environment or the checkout's `.env`; one request.

The key is sent to the endpoint and is nowhere else: not in a message, a log, or what is stored.
Raises `MissingResource` if the endpoint is not named or does not answer, `InputError` if it refuses.
"""

from __future__ import annotations

import http.client
import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packager.errors import InputError, MissingResource
from packager.recipe.loading import ROOT

ADDRESS, KEY = ("PACKAGER_JUDGE_URL", "OPENAI_BASE_URL"), ("PACKAGER_JUDGE_KEY", "OPENAI_API_KEY")
TIMEOUT = 300.0
"""Seconds for one answer: a judge on a CPU is slow."""
TRIES = 4
"""How often a busy endpoint is asked, with growing pauses."""
BUSY = (408, 429, 500, 502, 503, 504)


@dataclass(frozen=True)
class Endpoint:
    url: str
    """As given, such as http://127.0.0.1:8000/v1."""
    key: str = field(default="", repr=False)
    secret: str = KEY[0]
    """The variable that holds the key, beside the address."""


@dataclass(frozen=True)
class Completion:
    text: str
    prompt_tokens: int
    answer_tokens: int


def find(dotenv: Path = ROOT / ".env") -> Endpoint | None:
    """The endpoint that the environment, or else the checkout's `.env`, names; None if none.

    Address and key belong together: both are of one prefix and of one place. So no file in the folder that a command
    is run in, and no other program's variable, decides where a key is sent.
    """
    for known in (dict(os.environ), _dotenv(dotenv)):
        for address, secret in zip(ADDRESS, KEY, strict=True):
            if not (url := known.get(address)):
                continue
            if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
                raise InputError(f"{address} is not a web address.", "give one such as https://host/v1")
            return Endpoint(url.rstrip("/"), known.get(secret, ""), secret)
    return None


def _dotenv(path: Path) -> dict[str, str]:
    """NAME=value lines; quotes around a value and `export` before a name are dropped."""
    found = {}
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            name, equals, value = line.strip().removeprefix("export ").partition("=")
            if equals and not name.startswith("#"):
                found[name.strip()] = value.strip().strip("'\"")
    return found


def complete(endpoint: Endpoint, body: dict[str, Any]) -> Completion:
    """POST `body` to `/chat/completions`; a busy endpoint is asked again."""
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{endpoint.url}/chat/completions", json.dumps(body).encode(), headers)
    if endpoint.key:  # not for the host that a redirect names
        request.add_unredirected_header("Authorization", f"Bearer {endpoint.key}")
    host = urllib.parse.urlsplit(endpoint.url).hostname
    why = ""
    for attempt in range(TRIES):
        time.sleep(0 if attempt == 0 else 2.0**attempt)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
                return _reply(json.load(answer))
        except urllib.error.HTTPError as error:
            if error.code not in BUSY or _refuses_format(error):
                raise InputError(
                    f"The judge's endpoint at {host} refused the request ({error.code}).",
                    f"check evaluate.judge.model, and {endpoint.secret}, which is taken from where the address is",
                ) from None
            why = f"answers {error.code}"
        except (OSError, ValueError, http.client.HTTPException) as error:
            why = f"does not answer ({type(error).__name__})"
    raise MissingResource(f"The judge's endpoint at {host} {why}.", f"check that it runs, and {ADDRESS[0]}")


def _refuses_format(error: urllib.error.HTTPError) -> bool:
    """llama-cpp-python's server calls a response format that it does not know an internal error."""
    try:
        return b"response_format" in error.read(1 << 16)
    except (OSError, http.client.HTTPException):
        return False


def _reply(found: Any) -> Completion:
    try:
        text, usage = found["choices"][0]["message"]["content"] or "", found.get("usage") or {}
        return Completion(text, int(usage.get("prompt_tokens", 0)), int(usage.get("completion_tokens", 0)))
    except (KeyError, IndexError, TypeError, AttributeError):
        raise ValueError("no chat completion") from None
