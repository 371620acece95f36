"""Tokens and keys: found in files, and left out of what is shown."""

from __future__ import annotations

import pytest

from packager.process.secrets import VARIABLES, holds_path, holds_secret, without_secrets

SECRETS = (
    "hf_" + "a1" * 17,
    "api_org_" + "b2" * 17,
    "sk-" + "c3_-" * 10,
    "ghp_" + "d4" * 18,
    "github_pat_" + "e5" * 25,
    "AKIA" + "F6" * 8,
)


@pytest.mark.parametrize("secret", SECRETS)
def test_each_kind_is_found_and_left_out(secret: str) -> None:
    assert holds_secret(b"\0weights\xff" + secret.encode() + b"\0")
    assert without_secrets(f"refused: {secret}!") == "refused: [token]!"


def test_keys_and_headers() -> None:
    assert holds_secret(b"-----BEGIN OPENSSH PRIVATE KEY-----")
    assert without_secrets("Authorization: Bearer abc.def") == "Authorization: [token]"
    assert without_secrets("it says mine-1 twice: mine-1", "mine-1", None) == "it says [token] twice: [token]"


def test_ordinary_text_is_left_alone() -> None:
    for text in ("hf_token", "risk-assessment of the elderly", "-----BEGIN CERTIFICATE-----", "AKIA"):
        assert not holds_secret(text.encode())
        assert without_secrets(text) == text


def test_no_child_inherits_a_token() -> None:
    assert {"HF_TOKEN", "PACKAGER_JUDGE_KEY"} <= set(VARIABLES)


@pytest.mark.parametrize(
    ("text", "there"),
    [
        ("in /data/x", True), ('"/data"', True), ("file:///data/x", True), ("PATH=/usr/bin:/data/bin", True),
        ("https://x.example/data/x", False), ("tokens/data", False), ("/data-2/x", False), ("/database", False),
    ],
)  # fmt: skip
def test_a_path_is_told_from_a_part_of_another(text: str, there: bool) -> None:
    assert holds_path(text, "/data") is there


def test_a_path_of_several_names_is_found_wherever_it_stands() -> None:
    for text in (r'{"note": "saw:\n/home/ana/x.csv"}', "-I/home/ana/x", "./home/ana", "https://x.example/home/ana/"):
        assert holds_path(text, "/home/ana"), text
    assert holds_path(r'"saw:\n/data/x"', "/data")
    assert not holds_path("/home/ana-paula/x, /home/anabela", "/home/ana")
