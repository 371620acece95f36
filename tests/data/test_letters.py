"""Texts without case and accents."""

from __future__ import annotations

import pytest

from packager.data.letters import unaccented


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("Pressão ALTA", "pressao alta"),
        ("e\u0301", "e"),
        ("ﬁm", "fim"),
        ("ＡＢＣ", "abc"),
        ("Straße", "strasse"),
        ("", ""),
    ],
)
def test_case_accents_and_ligatures_make_no_difference(text: str, plain: str) -> None:
    assert unaccented(text) == plain
