"""Secrets: the variables that hold them, and what tokens and keys look like in a text or a file."""

from __future__ import annotations

import re

HUB_TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
"""Where the Hub's client looks for a token, in its order."""
VARIABLES = (*HUB_TOKENS, "HUGGINGFACE_TOKEN", "OPENAI_API_KEY", "PACKAGER_JUDGE_KEY")
"""Variables of the environment that no child process inherits."""
_TOKENS = {
    "hf_": ("[A-Za-z0-9]", 30),
    "api_org_": ("[A-Za-z0-9]", 30),
    "sk-": ("[A-Za-z0-9_-]", 32),
    **{f"gh{kind}_": ("[A-Za-z0-9]", 36) for kind in "pousr"},
    "github_pat_": ("[A-Za-z0-9_]", 40),
    "AKIA": ("[0-9A-Z]", 16),
}
"""Tokens of the Hub, OpenAI, GitHub and AWS: how each begins, the characters that follow, and how many at least."""
_IN_FILES = {begin.encode(): f"{begin}{of}{{{least},}}".encode() for begin, (of, least) in _TOKENS.items()} | {
    b"-----BEGIN ": rb"-----BEGIN [A-Z ]*PRIVATE KEY"
}
_SHORTEST = 8
"""In a message that is shown, also a token that was cut short is left out."""
_SHOWN = re.compile(
    "|".join([rf"\b{begin}{of}{{{_SHORTEST},}}" for begin, (of, _) in _TOKENS.items()] + [r"Bearer\s+\S+"])
)


def holds_secret(content: bytes) -> bool:
    """Whether there is what looks like a token or a private key; made for large files, weights too."""
    return any(begin in content and re.search(pattern, content) for begin, pattern in _IN_FILES.items())


def without_secrets(text: str, *known: str | None) -> str:
    """A text to be shown: "[token]" stands in place of the `known` ones and of all that looks like one."""
    for secret in known:
        text = text.replace(secret, "[token]") if secret else text
    return _SHOWN.sub("[token]", text)


def holds_path(text: str, path: str) -> bool:
    """Whether an absolute path occurs. One of a single name (`/app`) is told from a part of an address or of another
    path; a longer one is private wherever it stands."""
    after = re.escape(path) + r"(?![\w-])"
    if path.count("/") > 1:
        return re.search(after, text) is not None
    return re.search(rf"(?:(?<![\w.-])|(?<=\\[nrt])){after}", text) is not None
