"""The bundle's own program, started by who builds it: as the clinic's program would, and gone afterwards."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import clinic_bundle
import pytest
from clinic_bundle import CONFIG, SERVER, TARGET

from packager.clinic import host_server
from packager.clinic.targets import TARGETS
from packager.errors import MissingResource, StageCrash
from packager.package.verify import IN_BUNDLE


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clinic_bundle.program_of(tmp_path_factory)


@pytest.fixture
def bundle(tmp_path: Path, program: Path) -> Path:
    """Not closed yet: SHA256SUMS come last."""
    made = clinic_bundle.make(tmp_path / "b", program)
    (made / "SHA256SUMS").unlink()
    return made


def test_it_answers_with_the_clinics_command_line(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = tmp_path / "arguments.json"
    monkeypatch.setenv("STANDIN_ARGUMENTS", str(record))
    with host_server.serving(bundle, options=["--threads", "7"]) as server:
        assert server.program == SERVER
        messages = [{"role": "user", "content": "O que é a APS?"}]
        assert json.loads(server.rendered(messages)) == messages
        assert server.peak_ram() > 10**6
        process = server.process
    assert process.ended()
    given = json.loads(record.read_text())
    assert given[given.index("--model") + 1] == f"{IN_BUNDLE}/{CONFIG['model']}"
    assert given[given.index("--load-mode") + 1] == "none"
    assert given[given.index("--reasoning") + 1] == "off"
    assert "--jinja" in given
    assert given[-2:] == ["--threads", "7"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps a port that is to be used again")
def test_nobody_else_gets_its_port_while_it_starts(bundle: Path, tmp_path: Path) -> None:
    server, real, said = bundle / "runtime" / TARGET / SERVER, tmp_path / "real", tmp_path / "said"
    server.rename(real)
    stranger = "import socket, sys; socket.socket().bind(('127.0.0.1', int(sys.argv[1])))"
    server.write_text(
        f"""#!/bin/sh
port=$(echo "$*" | sed 's/.*--port \\([0-9]*\\).*/\\1/')
{sys.executable} -c "{stranger}" "$port" 2> {said}
exec {real} "$@"
"""
    )
    server.chmod(0o755)
    with host_server.serving(bundle):
        assert "Address already in use" in said.read_text()


def test_what_it_takes_is_measured(bundle: Path) -> None:
    asked = {"messages": [{"role": "user", "content": "O que é a APS?"}], "max_tokens": 32}
    ram, said = host_server.measured(bundle, 2048, [asked, asked])
    assert ram > 10**6
    assert said == ("A atenção primária é a porta de entrada do SUS.",) * 2


def test_a_server_that_ends_shows_what_it_wrote(bundle: Path) -> None:
    (bundle / "runtime" / TARGET / SERVER).write_text("#!/bin/sh\necho o modelo está quebrado\nexit 1\n")
    with pytest.raises(StageCrash, match="o modelo está quebrado"), host_server.serving(bundle):
        pass


def test_a_bundle_without_a_program_for_this_machine(bundle: Path) -> None:
    (bundle / "runtime" / TARGET / "clinica").unlink()
    with (
        pytest.raises(MissingResource, match=f"no program for this machine \\({TARGET}\\)"),
        host_server.serving(bundle),
    ):
        pass


def test_this_machine_is_a_target() -> None:
    assert host_server.host_target() == TARGETS[TARGET]
