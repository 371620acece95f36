"""The compiled llama.cpp is tried before anything depends on it."""

from __future__ import annotations

import pytest

from packager.errors import MissingResource
from packager.llamacpp.processor_check import check_runs


def test_the_installed_library_runs_here():
    check_runs()


def test_a_library_that_dies_is_named_with_the_command_that_compiles_it_here(monkeypatch, tmp_path):
    monkeypatch.setenv("LLAMA_CPP_LIB_PATH", str(tmp_path))
    with pytest.raises(MissingResource, match="does not run on this machine") as caught:
        check_runs()
    assert "make setup" in caught.value.fix
