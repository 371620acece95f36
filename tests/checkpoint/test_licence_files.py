"""The licence texts of a base go with its checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest

from packager.checkpoint import licence_files


def test_texts_are_carried_and_nothing_else(tmp_path: Path) -> None:
    base, out = tmp_path / "base", tmp_path / "out"
    base.mkdir()
    out.mkdir()
    for name in ("LICENSE", "NOTICE.txt", "USE_POLICY.md", "COPYING", "licence.md"):
        (base / name).write_text(f"text of {name}", encoding="utf-8")
    (base / "LICENSE.pointer").write_text("version https://git-lfs.github.com/spec/v1\n")
    (base / "NOTICE.pdf").write_bytes(b"x" * (licence_files.LARGEST + 1))
    (base / "LICENSES").mkdir()
    (base / "README.md").write_text("x")
    licence_files.carry(base, out)
    found = licence_files.read(out)
    assert sorted(found) == ["COPYING", "LICENSE", "NOTICE.txt", "USE_POLICY.md", "licence.md"]
    assert found["LICENSE"] == "text of LICENSE"


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        ({"license": "mit"}, ("mit", "")),
        ({"license": "other", "license_name": "health-ai", "license_link": "https://x"}, ("health-ai", "https://x")),
        ({"license": "other"}, ("other", "")),
        ({"license": ["mit"]}, ("", "")),
        ({}, ("", "")),
    ],
)
def test_a_licence_has_a_name_and_a_link(card: dict[str, object], expected: tuple[str, str]) -> None:
    assert licence_files.named(card) == expected


def test_beside_a_gguf_that_lies_alone_they_are_its_own(tmp_path: Path) -> None:
    parts = [tmp_path / f"model-0000{number}-of-00002.gguf" for number in (1, 2)]
    for path in (*parts, tmp_path / "LICENSE"):
        path.write_bytes(b"x")
    assert licence_files.beside(parts[0], parts) == tmp_path
    (tmp_path / "other.gguf").write_bytes(b"x")
    assert licence_files.beside(parts[0], parts) is None


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("gemma/data/NOTICE.md", True),
        ("gemma/LICENSE", True),
        ("gemma-1.0.dist-info/licenses/LICENSE", False),
        ("gemma/data/README.md", False),
    ],
)
def test_of_a_wheel_the_texts_beside_its_data_are_taken(name: str, is_one: bool) -> None:
    assert licence_files.in_wheel(name) is is_one
