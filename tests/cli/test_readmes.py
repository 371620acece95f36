"""The Portuguese README is as full as the English one: the same sections, commands, files, checks and pages."""

from __future__ import annotations

import re

import pytest

from packager.__main__ import main
from packager.recipe.loading import ROOT

ENGLISH, PORTUGUESE = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.pt-BR.md"))
KINDS = {
    "sections": r"^(#+) ",
    "commands": r"`(?:packager )?([a-z]+) (?:R|NAME|NOME|FILE|ARQUIVO|FOLDER|PASTA)\b|`packager (recipes|doctor)`",
    "targets of make": r"^    (make(?: \w+)?)",
    "files of a package": r"^      (\S+(?:, \S+)*)  ",
    "checks": r"^\| `(\w+\.\*)` \|",
    "pages": r"\]\(([^)#]+?)(?:#[\w-]+)?\)",
    "options": r"(?<![\w-])(--[a-z-]+)",
    "times": r"(\d+)\s+min\s+(\d+)\s+s\b",
}


def found(text: str, pattern: str) -> list[str]:
    listed = ["".join(map(str, match.groups(""))) for match in re.finditer(pattern, text, re.MULTILINE)]
    return sorted(set(listed) - {"README.md", "README.pt-BR.md"})


@pytest.mark.parametrize("kind", KINDS)
def test_both_readmes_say_as_much(kind: str) -> None:
    english = found(ENGLISH, KINDS[kind])
    assert english, "the pattern finds nothing"
    assert found(PORTUGUESE, KINDS[kind]) == english


def test_sections_are_as_many_and_as_long() -> None:
    sections = [re.split(r"^#+ .*$", text, flags=re.MULTILINE) for text in (ENGLISH, PORTUGUESE)]
    assert len(sections[0]) == len(sections[1])
    for english, portuguese in zip(*sections, strict=True):
        assert len(portuguese) >= 0.8 * len(english)


def test_every_command_that_they_name_is_there() -> None:
    for text in (ENGLISH, PORTUGUESE):
        assert set(found(text, KINDS["commands"])) <= set(main.commands)
