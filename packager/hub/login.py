"""Where the Hub is, and the token that the client would use; neither is kept here."""

from __future__ import annotations

import os

from packager.process.secrets import HUB_TOKENS


def endpoint() -> str:
    """The Hub's address."""
    from huggingface_hub import constants

    return str(constants.ENDPOINT)


def token() -> str | None:
    """The token of the environment, else of `hf auth login`."""
    from huggingface_hub import get_token

    return get_token()


def token_place() -> str:
    """Where that token comes from: the variable's name, or words."""
    return next((name for name in HUB_TOKENS if os.environ.get(name, "").strip()), "the Hub's login")
