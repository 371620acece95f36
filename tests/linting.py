"""ggufdoctor over a GGUF file: the chat template rendered by jinja2 and by llama.cpp's own engine, and Ollama's choice.

Skips where it is not installed; `make test` brings it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

EXPLAINED = {"typed_content"}
"""Conversations that the engines may render differently: docs/proof.md says why."""


def findings(file: Path, aside: Path) -> list[dict[str, Any]]:
    """What it reports about `file`, whatever its severity; `aside` is a folder for its report."""
    cli = pytest.importorskip("ggufdoctor.cli", reason="ggufdoctor is not installed: make test")
    path = aside / "ggufdoctor.json"
    cli.main([str(file), "--json", str(path), "--fail-on", "never", "--ignore-file", str(aside / "none")])
    report = json.loads(path.read_text(encoding="utf-8"))
    assert [engine["name"] for engine in report["engines"]] == ["jinja2", "llama.cpp"]
    assert not report["coverage"]["engines_unavailable"]
    found: list[dict[str, Any]] = report["findings"]
    return found


def unexplained(file: Path, aside: Path) -> list[str]:
    """Its errors, every conversation on which the two engines part and that is not explained, and whether Ollama
    would take a template of its own."""
    wrong = []
    for one in findings(file, aside):
        evidence = one["evidence"] or {}
        fixtures = {*evidence.get("fixtures", ()), *([one["fixture"]] if one["fixture"] else [])}
        parts = one["id"].startswith("X") and not fixtures <= EXPLAINED
        if one["severity"] == "error" or parts or one["id"] == "O001":
            wrong.append(f"{one['id']} {one['severity']}: {one['message']} {sorted(fixtures)}")
    return wrong
