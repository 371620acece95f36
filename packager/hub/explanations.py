"""Errors of huggingface_hub -> errors for people; no token and no request travels with one.

An exception of the client holds its request, whose headers hold the token. So nothing of it is kept: it
is read, explained, and the explanation raised outside of the handler, without cause or context. What none
of this expects is a bug: it becomes a `StageCrash` that shows its traceback, without tokens.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

from packager.errors import InputError, MissingResource, PackagerError, StageCrash
from packager.errors import explain as explain_system
from packager.hub.connection import PASSING, watch
from packager.hub.login import endpoint, token, token_place
from packager.process.secrets import without_secrets

if TYPE_CHECKING:
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError

T = TypeVar("T")

TRIES = 4
AGAIN = "run the same command again; what was sent is not sent again"
TOKENS = "https://huggingface.co/settings/tokens"


def ask(question: Callable[[], T], repo: str) -> T:
    """The client's answer; asked again after what passes by itself (no connection, 429, 5xx).

    The client itself does so for uploads, but not for what makes a repo, a commit or a tag. Raises
    `InputError`, `MissingResource`, `StageCrash` or whatever `PackagerError` the question raised.
    """
    for number in range(TRIES):
        try:
            return question()
        except Exception as error:
            explained, wait = explain(error, repo), _wait(error, number)
        if wait is None or number == TRIES - 1:
            break
        watch().pause(wait)
    raise explained


def explain(error: BaseException, repo: str) -> PackagerError:
    """What happened, in words, and what to do."""
    import httpx2
    from huggingface_hub import errors

    chain = list(_chain(error))
    for link in chain:
        if isinstance(link, PackagerError):
            return type(link)(link.message, link.fix)  # a copy without what it was raised in
        if isinstance(link, errors.HfHubHTTPError):
            return _answer(link, repo)
        if isinstance(link, httpx2.TransportError):
            return MissingResource(f"The connection to the Hub broke ({type(link).__name__}).", AGAIN)
        if isinstance(link, httpx2.InvalidURL):
            return InputError(f"The Hub's address, {scrubbed(endpoint())}, is none.", "set HF_ENDPOINT, or unset it")
        if isinstance(link, (json.JSONDecodeError, httpx2.HTTPError)):
            return MissingResource(
                f"What answers at {scrubbed(endpoint())} does not speak as the Hub does ({type(link).__name__}).",
                "look whether a proxy or a login page stands between, then run the same command again",
            )
        if isinstance(link, errors.HFValidationError):
            return InputError(f"'{repo}' is not the name of a repo.", "give --repo org/name")
        if isinstance(link, errors.OfflineModeIsEnabled):
            return MissingResource("HF_HUB_OFFLINE is set, so the Hub is not asked.", "unset HF_HUB_OFFLINE")
    if known := explain_system(error):
        return known
    if isinstance(error, OSError):
        return MissingResource(f"A file could not be read: {scrubbed(str(error))}", AGAIN)
    return bug(error)


def bug(error: BaseException) -> PackagerError:
    """What nobody expected, with the traceback that whoever mends it needs."""
    trace = without_secrets("".join(traceback.format_exception(error)), token())
    return StageCrash(f"Talking to the Hub failed:\n{trace}", "this is our bug: please report it")


def scrubbed(text: str) -> str:
    """A text from outside, short and without tokens."""
    lines = [line.strip() for line in without_secrets(text, token()).splitlines() if line.strip()]
    return " ".join(lines)[:400]


def _answer(error: HfHubHTTPError, repo: str) -> PackagerError:
    status = error.response.status_code
    said = scrubbed(error.server_message or _body(error.response))
    quoted = f" The Hub says: {said}" if said else ""
    if status == 401:
        return _bad_token(said)
    if status == 403:
        return InputError(
            f"Your token may not write to {repo}.{quoted}",
            f"use a token with write access to it ({TOKENS}), or ask for the right to write in that organization",
        )
    if status == 402:
        return InputError(f"The account has no room for {repo}.{quoted}", "free some room, or change the plan")
    if status == 404:
        return InputError(f"The Hub has no {repo}, or your token may not see it.{quoted}", "check the name")
    if status == 409:
        return InputError(
            f"The name {repo} is taken, by a repo that your token may not see.{quoted}", "give another --repo"
        )
    if status == 412:
        return InputError(f"{repo} was changed by someone else meanwhile.{quoted}", "look at it, then push again")
    if status in PASSING:
        wait = error.response.headers.get("retry-after", "")
        asks = f" and asks to wait {wait} s" if wait.isdigit() else ""
        return MissingResource(f"The Hub is busy: it answers {status}{asks}.", AGAIN)
    return InputError(f"The Hub refused {repo} ({status}).{quoted}", "mend what it names and push again")


def _body(response: httpx2.Response) -> str:
    """What an answer says for itself; the client drops it where it has words of its own."""
    try:
        return str(response.json()["error"])
    except (ValueError, KeyError, TypeError):
        return ""


def _bad_token(said: str) -> PackagerError:
    place = token_place()
    renew = f"make a new one at {TOKENS}, then " + (
        f"set {place} to it" if place.isupper() else "`hf auth login --force`"
    )
    if "expired" in said.lower():
        return InputError(f"Your token (from {place}) has expired.", renew)
    return InputError(f"The Hub does not know your token (from {place}): it is wrong or was revoked.", renew)


def _wait(error: BaseException, number: int) -> float | None:
    """Seconds until the question may be asked again; None if that is of no use.

    What the client wraps in a RuntimeError is an upload, which it has tried five times itself.
    """
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError

    for link in _chain(error):
        if isinstance(link, (RuntimeError, PackagerError)):
            return None
        if isinstance(link, HfHubHTTPError):
            if link.response.status_code not in PASSING:
                return None
            asked = link.response.headers.get("retry-after", "")
            return float(asked) if asked.isdigit() else 2.0**number
        if isinstance(link, httpx2.TransportError):
            return 2.0**number
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it was raised from; not what was merely being handled when a bug came up."""
    while error is not None:
        yield error
        error = error.__cause__
