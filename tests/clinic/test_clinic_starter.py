"""What the technician's scripts do: with every fault of a package, a machine, a server; under dash and under bash."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import json
import os
import re
import shutil
import signal
import string
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import clinic_bundle
import pytest
from clinic_bundle import ASSETS, CONFIG, PROOF, SERVER, TARGET, check, run, started
from standin_server import LIKELY

from packager import __version__
from packager.clinic import config as clinic_config
from packager.clinic import starter
from packager.clinic.targets import TARGETS
from packager.errors import ProofFailed
from packager.package.verify import IN_BUNDLE, verify
from packager.process.child import physical_cores

SHELLS = [shell for shell in ("dash", "bash", "busybox") if shutil.which(shell)]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clinic_bundle.program_of(tmp_path_factory)


@pytest.fixture
def bundle(tmp_path: Path, program: Path) -> Path:
    return clinic_bundle.make(tmp_path / "meu_aps-20261125.2155", program)


def sh(shell: str, script: Path, *arguments: str) -> list[str]:
    return [shell, *(["sh"] if shell == "busybox" else []), str(script), *arguments]


def test_a_whole_package_is_whole(bundle: Path) -> None:
    assert check(bundle)[0] == 0


@pytest.mark.parametrize("size", [0, 1, 55, 56, 63, 64, 119, 120, (1 << 20) - 1, 1 << 20, (1 << 20) + 1])
def test_sha256_at_the_edges_of_its_blocks(bundle: Path, size: int) -> None:
    (bundle / "file").write_bytes(bytes(i * 7 % 251 for i in range(size)))
    clinic_bundle.close(bundle)
    assert check(bundle)[0] == 0


def test_every_altered_byte_and_missing_file_is_named(bundle: Path) -> None:
    names = [p for p in sorted(bundle.rglob("*")) if p.is_file() and p.name not in ("SHA256SUMS", "clinica")]
    assert len(names) > 12
    for path in names:
        whole, name = path.read_bytes(), path.relative_to(bundle).as_posix()
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        code, said = check(bundle)
        assert code == 3
        assert f"{name}: foi alterado" in said
        path.unlink()
        code, said = check(bundle)
        assert code == 3
        assert f"{name}: está faltando" in said
        path.write_bytes(whole)
    assert check(bundle)[0] == 0


@pytest.mark.parametrize(
    "name",
    [
        "runtime/novo.txt",
        "runtime/pagina/vírus.js",
        "runtime/Thumbs.db",
        "iniciar.EXE",
        "autorun.inf",
        "x.gguf",
        "a.vbe",
    ],
)
def test_an_added_file_that_may_be_run_is_named(bundle: Path, name: str) -> None:
    (bundle / name).write_text("x")
    code, said = check(bundle)
    assert code == 3
    assert f"{name}: não faz parte do pacote" in said
    with pytest.raises(ProofFailed, match="does not belong"):
        verify(bundle)


JUNK = ("desktop.ini", "Thumbs.db", ".DS_Store", "._LEIA-ME.txt", "Atalho.lnk", "conversa (1).txt", "fotos/foto.jpg")


def test_what_systems_and_people_leave_behind_is_named_and_ignored(bundle: Path) -> None:
    (bundle / "fotos").mkdir()
    for name in JUNK[:3]:
        (bundle / name).write_text("x")
    code, said = check(bundle)
    assert code == 0
    assert all(f"({name} não faz parte do pacote e é ignorado.)" in said for name in JUNK[:3])
    for name in JUNK:
        (bundle / name).write_text("x")
    code, said = check(bundle)
    assert code == 0
    assert "(e mais 2 arquivos, também ignorados)" in said
    with started(["sh", str(bundle / "iniciar.sh"), "--sem-navegador"]) as running:
        assert "tudo certo" in running.said
        assert f"Programa para este processador: {SERVER}\n" in running.said


def test_only_what_is_started_is_read_at_the_start(bundle: Path) -> None:
    (bundle / "README.md").write_text("x")
    clinic_bundle.close(bundle)
    (bundle / "README.md").write_text("y")
    with started(["sh", str(bundle / "iniciar.sh"), "--sem-navegador"]) as running:
        assert "não são usados agora; o autoteste confere todos" in running.said
    assert "README.md: foi alterado" in check(bundle)[1]
    code, said = run(bundle, "autoteste.sh")
    assert code == 3
    assert "README.md: foi alterado" in said


def test_iniciar_refuses_an_altered_package(bundle: Path) -> None:
    with (bundle / IN_BUNDLE / CONFIG["model"]).open("r+b") as file:
        file.write(b"X")
    code, said = run(bundle, "iniciar.sh", "--sem-navegador")
    assert code == 3
    assert f"{CONFIG['model']}: foi alterado" in said
    assert "Copie a pasta de novo" in said
    assert "Pronto" not in said


@pytest.mark.parametrize(
    "line", ["nonsense", f"{'0' * 64}  ../outside", f"{'0' * 64}  /etc/passwd", f"{'0' * 64}  a\\b"]
)
def test_a_line_that_is_no_checksum(bundle: Path, line: str) -> None:
    with (bundle / "SHA256SUMS").open("a") as file:
        file.write(line + "\n")
    code, said = check(bundle)
    assert code == 3
    assert "SHA256SUMS: uma linha não tem a forma esperada" in said


def test_no_checksums(bundle: Path) -> None:
    (bundle / "SHA256SUMS").unlink()
    code, said = check(bundle)
    assert code == 3
    assert "SHA256SUMS está faltando" in said


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"targets": {}}, "não traz o programa para este tipo de computador"),
        ({"needed_ram_mb": 10**9}, "Memória insuficiente"),
    ],
)
def test_a_machine_that_does_not_suffice(tmp_path: Path, program: Path, config: dict[str, object], words: str) -> None:
    bundle = clinic_bundle.make(tmp_path / "b", program, config)
    (bundle / IN_BUNDLE / CONFIG["model"]).unlink()  # the machine is looked at before the files
    code, said = run(bundle, "iniciar.sh", "--sem-navegador")
    assert code == 4
    assert words in said
    assert CONFIG["model"] not in said


QEMU = shutil.which("qemu-x86_64") or shutil.which("qemu-x86_64-static")


@pytest.mark.skipif(not QEMU or TARGET != "linux-x86_64", reason="no qemu-x86_64 here")
@pytest.mark.parametrize(
    ("processor", "program_of_it"),
    [
        ("core2duo", ""),
        ("Nehalem", "llama-server-sse42"),
        ("Denverton", "llama-server-sse42"),  # a Celeron's Goldmont
        ("SandyBridge", "llama-server-avx"),
        ("IvyBridge", "llama-server-avx"),
        ("Haswell", "llama-server-avx2"),
        ("max", "llama-server-avx2"),
    ],
)
def test_each_processor_gets_the_best_program_that_it_can_run(
    tmp_path: Path, program: Path, processor: str, program_of_it: str
) -> None:
    servers = clinic_config.programs(TARGETS[TARGET])
    bundle = clinic_bundle.make(tmp_path / "b", program, {"targets": {TARGET: servers}})
    for server in servers:
        (bundle / "runtime" / TARGET / str(server["program"])).write_text("#!/bin/sh\n")
        (bundle / "runtime" / TARGET / str(server["program"])).chmod(0o755)
    command = [str(QEMU), "-cpu", processor, str(program)]
    if program_of_it:
        said = subprocess.run([*command, "comando", "--pasta", str(bundle)], capture_output=True, text=True).stdout
        assert said.splitlines()[0] == str(bundle / "runtime" / TARGET / program_of_it)
        return
    (bundle / IN_BUNDLE / CONFIG["model"]).unlink()  # the processor is looked at before the files
    started = subprocess.run([*command, "iniciar", "--pasta", str(bundle)], capture_output=True, text=True)
    assert started.returncode == 4
    assert "antigo demais: faltam as instruções sse4_2, que os processadores\ntêm desde" in started.stderr
    assert "está faltando" not in started.stderr


def test_the_cache_of_keys_and_values_is_the_proven_one(tmp_path: Path, program: Path) -> None:
    for kv, options in (
        ("f16", []),
        ("q8_0", ["--cache-type-k", "q8_0", "--cache-type-v", "q8_0", "--flash-attn", "on"]),
    ):
        bundle = clinic_bundle.make(tmp_path / kv, program, {"kv": kv})
        said = subprocess.run([program, "comando", "--pasta", bundle], capture_output=True, text=True).stdout.split(
            "\n"
        )
        at = said.index("--cache-type-k") if options else 0
        assert said[at : at + len(options)] == options
        assert options or "--cache-type-k" not in said


def test_the_beginning_of_every_conversation_is_read_before_anybody_asks(bundle: Path, tmp_path: Path) -> None:
    read = tmp_path / "read.json"
    with started(["sh", str(bundle / "iniciar.sh"), "--sem-navegador"], env={"STANDIN_READ": str(read)}):
        [line] = read.read_text(encoding="utf-8").splitlines()
    asked = json.loads(line)
    assert asked["messages"][0] == {"role": "system", "content": CONFIG["system"]}
    assert (asked["max_tokens"], asked["cache_prompt"]) == (1, True)


def test_the_page_is_given_out_while_the_server_reads_the_beginning_again(bundle: Path, tmp_path: Path) -> None:
    read, go = tmp_path / "read.json", tmp_path / "go"
    go.touch()
    env = {"STANDIN_READ": str(read), "STANDIN_READS_UNTIL": str(go)}
    with started(["sh", str(bundle / "iniciar.sh"), "--sem-navegador"], env=env) as running:
        go.unlink()
        os.kill(running.children()[0], signal.SIGKILL)
        until(lambda: len(read.read_text(encoding="utf-8").splitlines()) == 2)
        assert running.ask("/")[0] == 200
        assert running.ask("/estado") == (200, b'{"state":"loading"}')
        go.touch()
        running.until_free()


def test_the_program_says_which_one_it_is(program: Path) -> None:
    for word in ("versao", "--version"):
        said = subprocess.run([program, word], capture_output=True, text=True)
        assert (said.returncode, said.stdout) == (0, f"clinica {__version__} ({TARGET})\n")


@pytest.mark.parametrize("shell", SHELLS)
def test_start_page_and_stop(bundle: Path, shell: str, tmp_path: Path) -> None:
    record, temporary = tmp_path / "arguments.json", tmp_path / "tmp"
    temporary.mkdir()
    env = {"STANDIN_ARGUMENTS": str(record), "TMPDIR": str(temporary)}
    with started(sh(shell, bundle / "iniciar.sh", "--sem-navegador"), env=env) as running:
        with urllib.request.urlopen(running.url + "/") as page:
            assert "<title>Assistente</title>" in page.read().decode()
        with urllib.request.urlopen(running.url + "/config.json") as config:
            assert json.load(config)["system"] == CONFIG["system"]
        assert "tudo certo" in running.said
        assert "NÃO FECHE ESTA JANELA" in running.said
        code, said = running.stop()
        assert code == 0
        assert "Encerrado" in said
    assert not list(temporary.iterdir())
    given = json.loads(record.read_text())
    options = dict(itertools.pairwise(given))
    assert options["--host"] == "127.0.0.1"
    assert options["--temp"] == "0.2"
    assert options["--top-k"] == "40"
    assert options["--ctx-size"] == "2048"
    assert options["--reasoning"] == "off"
    assert 1 <= int(options["--threads"]) <= max(1, physical_cores() - 1)  # by what other programs leave free
    assert {"--jinja", "--offline", "--no-slots"} <= set(given)
    assert running.key not in given
    assert running.gone()


def test_only_on_purpose_for_the_network(bundle: Path, tmp_path: Path) -> None:
    record = tmp_path / "arguments.json"
    command = ["sh", str(bundle / "iniciar.sh"), "--sem-navegador", "--rede"]
    with started(command, env={"STANDIN_ARGUMENTS": str(record)}) as running:
        assert "quem tiver o endereço pode usar a página nesta rede" in running.said
        others = re.findall(r"http://(\S+):(\d+)/#(\S+)", running.said)
        assert {key for _, _, key in others} == {running.key}
        for machine, port, _ in others:  # by each of its addresses, by no name that somebody else gave it
            assert running.ask("/estado", Host=f"{machine}:{port}")[0] == 200
        assert running.ask("/estado", Host=f"clinica.example:{others[0][1]}")[0] == 421
    assert "127.0.0.1" in json.loads(record.read_text())  # the server itself never


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_closed_window_stops_the_server(bundle: Path, number: int) -> None:
    with started(["sh", str(bundle / "iniciar.sh"), "--sem-navegador"]) as running:
        assert running.stop(number)[0] == 0
    assert running.gone()


def test_ctrl_c_is_no_crash_of_the_server(bundle: Path) -> None:
    """It ends the server as well, which may be seen first."""
    with started(["sh", str(bundle / "iniciar.sh"), "--sem-navegador"]) as running:
        [server] = running.children()
        os.kill(running.process.pid, signal.SIGSTOP)
        os.kill(running.process.pid, signal.SIGINT)
        os.kill(server, signal.SIGKILL)
        until(lambda: "\nState:\tZ" in Path(f"/proc/{server}/status").read_text(encoding="ascii"))
        os.kill(running.process.pid, signal.SIGCONT)
        said, _ = running.process.communicate(timeout=120)
        assert running.process.returncode == 0
    assert "Encerrado" in said
    assert "parou sozinho" not in said
    assert "encerrou o programa" not in said


def test_ctrl_c_while_a_large_file_is_checked(bundle: Path) -> None:
    """The rest is not read, and nothing is said of a file that was not read to its end."""
    model = bundle / IN_BUNDLE / CONFIG["model"]
    os.truncate(model, 1 << 36)
    command = [str(bundle / "runtime" / TARGET / "clinica"), "conferir", "--pasta", str(bundle)]
    checking = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def reads_it() -> bool:
        for handle in Path(f"/proc/{checking.pid}/fd").iterdir():
            with contextlib.suppress(OSError):  # it was closed meanwhile
                if handle.readlink() == model:
                    return True
        return False

    try:
        until(reads_it)
        checking.send_signal(signal.SIGINT)
        said, _ = checking.communicate(timeout=60)
    finally:
        checking.kill()
        checking.wait()
    assert checking.returncode == 130
    assert "Interrompido" in said
    assert CONFIG["model"] not in said


@pytest.mark.parametrize("script", ["iniciar.sh", "autoteste.sh"])
@pytest.mark.parametrize("shell", SHELLS)
def test_a_folder_that_cd_would_look_for_elsewhere(bundle: Path, shell: str, script: str, tmp_path: Path) -> None:
    """CDPATH makes cd go elsewhere, or write where it went."""
    (tmp_path / "other" / bundle.name).mkdir(parents=True)
    (bundle / "runtime" / TARGET / "clinica").write_text('#!/bin/sh\necho "$@"\n')
    for place in (tmp_path / "other", tmp_path):
        command = sh(shell, Path(bundle.name) / script)
        env = os.environ | {"CDPATH": str(place)}
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=env, timeout=60)
        assert f"--pasta {bundle}\n" in done.stdout, done


def test_a_second_start_finds_the_first(bundle: Path, tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    env = {"TMPDIR": str(temporary)}
    with started(["sh", str(bundle / "iniciar.sh"), "--sem-navegador"], env=env) as first:
        code, said = run(bundle, "iniciar.sh", "--sem-navegador", env=env)
        assert code == 0
        assert "já está aberto neste computador (versão 20261125.2155)" in said
        assert first.page in said
        code, said = run(bundle, "iniciar.sh", "--sem-navegador", "--rede", env=env)
        assert code == 2
        assert "foi aberto sem --rede" in said
        assert first.ask("/estado")[0] == 200
        os.killpg(first.process.pid, signal.SIGKILL)  # nothing of it can be put in order
        first.process.wait()
    assert list(temporary.iterdir())
    with started(["sh", str(bundle / "iniciar.sh"), "--sem-navegador"], env=env) as second:
        assert second.key != first.key
        assert second.stop()[0] == 0
    assert not list(temporary.iterdir())


def test_a_folder_that_the_system_removed_is_made_again(bundle: Path, tmp_path: Path) -> None:
    """systemd-tmpfiles empties /tmp of what is old; the server's log lies there, and what a second start looks for."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    env = {"TMPDIR": str(temporary)}
    with started(["sh", str(bundle / "iniciar.sh"), "--sem-navegador"], env=env) as running:
        [folder] = temporary.iterdir()
        shutil.rmtree(folder)
        gone = running.children()
        os.kill(gone[0], signal.SIGKILL)
        assert running.until_another_server(gone)
        assert folder.stat().st_mode & 0o777 == 0o700
        code, said = run(bundle, "iniciar.sh", "--sem-navegador", env=env)
        assert (code, running.page in said) == (0, True), said
        assert running.stop()[0] == 0
    assert not list(temporary.iterdir())


def test_a_second_one_that_came_meanwhile_keeps_its_folder(bundle: Path, tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    env, command = {"TMPDIR": str(temporary)}, ["sh", str(bundle / "iniciar.sh"), "--sem-navegador"]
    with started(command, env=env) as first:
        [folder] = temporary.iterdir()
        shutil.rmtree(folder)
        with started(command, env=env) as second:
            gone = first.children()
            os.kill(gone[0], signal.SIGKILL)
            assert first.until_another_server(gone)  # and so in a folder of its own
            assert first.stop()[0] == 0
            assert second.page in run(bundle, "iniciar.sh", "--sem-navegador", env=env)[1]
            assert second.stop()[0] == 0
    assert not list(temporary.iterdir())


def test_two_at_once_are_one(bundle: Path, tmp_path: Path) -> None:
    """The one that comes second waits until the first is ready, and opens the same page."""
    server, go = bundle / "runtime" / TARGET / SERVER, tmp_path / "go"
    server.write_text(server.read_text().replace("exec", f"until [ -e '{go}' ]; do sleep 0.05; done; exec"))
    clinic_bundle.close(bundle)
    command = ["sh", str(bundle / "iniciar.sh"), "--sem-navegador"]
    with contextlib.ExitStack() as both:
        both.enter_context(clinic_bundle.ports(fcntl.LOCK_SH))
        outputs = [tmp_path / "one", tmp_path / "other"]
        processes = [
            subprocess.Popen(
                command, stdout=both.enter_context(path.open("wb")), stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                start_new_session=True, env=os.environ | {"TMPDIR": str(tmp_path)},
            )
            for path in outputs
        ]  # fmt: skip
        for process in processes:
            both.callback(process.wait)
            both.callback(process.send_signal, signal.SIGKILL)
        until(lambda: any("sendo iniciado em outra janela" in path.read_text() for path in outputs))
        go.touch()
        until(lambda: any(process.poll() is not None for process in processes))
        second = 0 if processes[0].poll() is not None else 1
        os.killpg(processes[1 - second].pid, signal.SIGINT)
        processes[1 - second].wait(120)
    said, first = outputs[second].read_text(), outputs[1 - second].read_text()
    assert "sendo iniciado em outra janela" in said
    assert "já está aberto" in said
    pages = [re.findall(r"http://\S+", text) for text in (said, first)]
    assert pages[0][0] == pages[1][0]


def until(condition: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_two_recipes_take_two_ports(tmp_path: Path, program: Path) -> None:
    one = clinic_bundle.make(tmp_path / "a", program)
    other = clinic_bundle.make(tmp_path / "b", program, {"recipe": "outro"})
    commands = [["sh", str(folder / "iniciar.sh"), "--sem-navegador"] for folder in (one, other)]
    with started(commands[0]) as first, started(commands[1]) as second:
        assert first.url != second.url
        assert first.ask("/estado")[0] == second.ask("/estado")[0] == 200
        assert first.ask("/estado", X_Chave=second.key)[0] == 401


def test_a_port_that_another_program_takes_meanwhile(bundle: Path, tmp_path: Path) -> None:
    """Between the look for a port and the server's own bind; another one is taken then."""
    server, real, taken = bundle / "runtime" / TARGET / SERVER, tmp_path / "server", tmp_path / "taken"
    server.rename(real)
    stranger = (
        "import http.server, sys; h = http.server.BaseHTTPRequestHandler;"
        "http.server.HTTPServer(('127.0.0.1', int(sys.argv[1])), h).serve_forever()"
    )
    server.write_text(
        f"""#!{sys.executable}
import os, socket, subprocess, sys, time
if os.path.exists({str(taken)!r}):
    os.execv({str(real)!r}, [{str(real)!r}, *sys.argv[1:]])
port = sys.argv[sys.argv.index("--port") + 1]
other = subprocess.Popen([sys.executable, "-c", {stranger!r}, port], start_new_session=True)
while True:
    try:
        socket.create_connection(("127.0.0.1", int(port))).close()
        break
    except OSError:
        time.sleep(0.05)
open({str(taken)!r}, "w").write(f"{{port}} {{other.pid}}")
sys.exit(1)
"""
    )
    server.chmod(0o755)
    clinic_bundle.close(bundle)
    try:
        with started(["sh", str(bundle / "iniciar.sh"), "--sem-navegador"]) as running:
            assert running.ask("/perguntar", {"messages": [{"role": "user", "content": "?"}]})[0] == 200
    finally:
        os.kill(int(taken.read_text().split()[1]), signal.SIGKILL)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_stick_that_may_not_run_programs(bundle: Path, shell: str, tmp_path: Path) -> None:
    for name in ("clinica", SERVER):
        (bundle / "runtime" / TARGET / name).chmod(0o644)
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    command = sh(shell, bundle / "iniciar.sh", "--sem-navegador")
    with started(command, env={"TMPDIR": str(temporary)}) as running:
        assert running.stop()[0] == 0
    assert not list(temporary.iterdir())


@pytest.mark.parametrize("shell", SHELLS)
def test_ctrl_c_ends_well_however_slow_the_script(bundle: Path, shell: str, tmp_path: Path) -> None:
    """Here the program has ended, and been reaped, between the end of `wait` and the look whether it still runs."""
    script, go = bundle / "iniciar.sh", tmp_path / "go"
    (bundle / "runtime" / TARGET / "clinica").chmod(0o644)  # it runs as a child of the script
    slow = script.read_text().replace("while kill -0", f"until [ -e '{go}' ]; do sleep 0.05; done\nwhile kill -0")
    script.write_text(slow)
    clinic_bundle.close(bundle)
    with started(sh(shell, script, "--sem-navegador")) as running:
        [child] = running.children()
        os.killpg(running.process.pid, signal.SIGINT)
        until(lambda: not Path(f"/proc/{child}").exists())
        go.touch()
        running.process.communicate(timeout=120)
        assert running.process.returncode == 0


@pytest.fixture
def stick(tmp_path: Path, program: Path) -> Path:
    """A stick with a whole version, a newer one whose copying was broken off, and a folder of somebody else."""
    stick = tmp_path / "pendrive com-espaço"
    clinic_bundle.make(stick / "meu_aps-20261125.2155", program)
    (stick / "meu_aps-20261126.0900").mkdir()
    (stick / "zero" / "runtime").mkdir(parents=True)
    (stick / "zero" / "SHA256SUMS").touch()
    for folder in (stick, stick / "meu_aps-20261126.0900"):
        shutil.copy(ASSETS / "iniciar.sh", folder)
    return stick


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_on_top_of_a_stick_starts_the_newest_that_was_copied_whole(
    stick: Path, shell: str, program: Path
) -> None:
    command = sh(shell, stick / "iniciar.sh", "--sem-navegador")
    with started(command) as running:
        assert "Perguntas sobre a APS, versão 20261125.2155" in running.said
        assert running.stop()[0] == 0
    shutil.rmtree(stick / "meu_aps-20261126.0900")
    clinic_bundle.make(stick / "meu_aps-20261126.0900", program, {"version": "20261126.0900"})
    with started(command) as running:
        assert "Perguntas sobre a APS, versão 20261126.0900" in running.said
        assert running.stop()[0] == 0


@pytest.mark.parametrize("shell", SHELLS)
def test_between_several_recipes_on_a_stick_the_person_chooses(stick: Path, shell: str, program: Path) -> None:
    clinic_bundle.make(stick / "meu_aps-2-20261125.2155", program, {"recipe": "meu_aps-2"})
    done = subprocess.run(sh(shell, stick / "iniciar.sh"), capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "mais de um assistente" in done.stderr
    listed = [line for line in done.stderr.splitlines() if '"' in line]
    assert set(listed[0].split()) == {'"meu_aps-20261125.2155"', '"meu_aps-2-20261125.2155"'}


def test_a_stick_with_nothing_whole(stick: Path) -> None:
    shutil.rmtree(stick / "meu_aps-20261125.2155")
    code, said = run(stick, "iniciar.sh")
    assert code == 3
    assert "Nenhum pacote" in said


@pytest.mark.parametrize("script", ["iniciar.sh", "autoteste.sh"])
def test_another_kind_of_processor(bundle: Path, script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "uname").write_text("#!/bin/sh\necho riscv64\n")
    (tmp_path / "uname").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    code, said = run(bundle, script)
    assert code == 4
    assert "não traz o programa para este tipo de computador (riscv64)" in said


def test_a_missing_program_is_said(bundle: Path) -> None:
    (bundle / "runtime" / TARGET / "clinica").unlink()
    code, said = run(bundle, "iniciar.sh")
    assert code == 3
    assert f"Falta o arquivo runtime/{TARGET}/clinica" in said


def test_a_server_that_does_not_start(bundle: Path) -> None:
    (bundle / "runtime" / TARGET / SERVER).write_text("#!/bin/sh\necho o modelo está quebrado\nexit 1\n")
    clinic_bundle.close(bundle)
    code, said = run(bundle, "iniciar.sh", "--sem-navegador")
    assert code == 4
    assert "parou sozinho" in said
    assert "o modelo está quebrado" in said


@pytest.mark.parametrize(("signal_name", "words"), [("ILL", "não conhece uma instrução"), ("KILL", "falta de memória")])
def test_a_server_that_is_killed(bundle: Path, signal_name: str, words: str) -> None:
    (bundle / "runtime" / TARGET / SERVER).write_text(f"#!/bin/sh\nkill -{signal_name} $$\n")
    clinic_bundle.close(bundle)
    code, said = run(bundle, "iniciar.sh", "--sem-navegador")
    assert code == 4
    assert words in said


def test_a_server_without_memory_is_told_as_that(bundle: Path) -> None:
    """It ends with code 1, as after any other fault."""
    said_by_it = "ggml_backend_cpu_buffer_type_alloc_buffer: failed to allocate buffer of size 5368709120"
    (bundle / "runtime" / TARGET / SERVER).write_text(f"#!/bin/sh\necho '{said_by_it}'\nexit 1\n")
    clinic_bundle.close(bundle)
    code, said = run(bundle, "iniciar.sh", "--sem-navegador")
    assert code == 4
    assert "falta de memória" in said
    assert said_by_it in said


def test_a_server_that_dies_while_it_serves_is_started_again(bundle: Path) -> None:
    with started(["sh", str(bundle / "iniciar.sh"), "--sem-navegador"]) as running:
        gone: list[int] = []
        while gone := running.until_another_server(gone):  # a death that is seen long after the start is not counted
            running.ask("/perguntar", {"messages": [{"role": "user", "content": "morra"}], "stream": True})
        rest, _ = running.process.communicate(timeout=120)
        assert running.process.returncode == 1  # one that always dies is no use
        assert rest.count("parou sozinho") >= 3
        assert rest.count("Pronto de novo") == rest.count("parou sozinho") - 1


@pytest.mark.parametrize("shell", SHELLS)
def test_the_self_test_passes(bundle: Path, shell: str) -> None:
    done = subprocess.run(sh(shell, bundle / "autoteste.sh"), capture_output=True, text=True, timeout=600)
    assert done.returncode == 0
    assert "[igual] 1. O que é a APS?" in done.stdout
    assert "Palavras iguais às da prova: 1 de 1" in done.stdout
    assert "Diferença média nas primeiras palavras prováveis: 0,00 (limite 0,50)" in done.stdout
    assert "APROVADO: funciona como na prova. O teste não diz se as respostas são corretas" in done.stdout


def test_ctrl_c_in_the_self_test_is_no_failure(tmp_path: Path, program: Path) -> None:
    questions = [PROOF["questions"][0] | asking("interrompa")]
    bundle = clinic_bundle.make(tmp_path / "b", program, proof=PROOF | {"questions": questions})
    code, said = run(bundle, "autoteste.sh")
    assert code == 130
    assert "Interrompido" in said
    assert "REPROVADO" not in said
    assert "[falha]" not in said


def likely(**other: float) -> list[dict[str, float]]:
    """What the stand-in holds for likely, but for `t11=-0.7`, or all of them `by` so much."""
    by = other.get("by", 0.0)
    return [{"id": token, "logprob": other.get(f"t{token}", value - by)} for token, value in LIKELY.items()]


ASKED = PROOF["questions"][0]["request"]


def asking(text: str) -> dict[str, object]:
    return {"request": ASKED | {"messages": [{"role": "user", "content": text}]}}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (asking("vazia"), "(resposta vazia)"),
        (asking("marcas"), "(aparecem marcas internas do modelo)"),
        (asking("cheia"), "(sem resposta do programa)"),
        ({"likely": likely(by=2.0)}, "prováveis: 2,00 (limite 0,50)"),
        ({"likely": [{"id": 99, "logprob": -0.5}]}, "prováveis: 19,50 (limite 0,50)"),  # not among those told
        ({"likely": []}, "(a prova deste pacote não traz as probabilidades"),
        ({"request": ASKED | {"logprobs": False}}, "(o programa não informa as probabilidades"),
        ({"request": ASKED | {"top_logprobs": 0}}, "(o programa não informa as probabilidades"),
    ],
)
def test_the_self_test_fails(tmp_path: Path, program: Path, change: dict[str, object], words: str) -> None:
    """The same words do not help."""
    proof = PROOF | {"questions": [PROOF["questions"][0] | change]}
    code, said = run(clinic_bundle.make(tmp_path / "b", program, proof=proof), "autoteste.sh")
    assert code == 3
    assert words in said
    assert "REPROVADO: o modelo não funciona aqui como na prova" in said
    if words.startswith("("):
        assert "[falha] 1. O que é a APS?" in said
        assert "Na prova:  A atenção" in said
        assert "não pôde ser medida" in said


def test_one_question_that_fails_is_enough(tmp_path: Path, program: Path) -> None:
    questions = [PROOF["questions"][0], PROOF["questions"][0] | asking("vazia")]
    bundle = clinic_bundle.make(tmp_path / "b", program, proof=PROOF | {"questions": questions})
    code, said = run(bundle, "autoteste.sh")
    assert code == 3
    assert "prováveis: 0,00" in said


def test_a_proof_without_a_limit_lets_nothing_pass(tmp_path: Path, program: Path) -> None:
    proof = {key: value for key, value in PROOF.items() if key != "most_apart_nats"}
    proof["questions"] = [PROOF["questions"][0] | {"likely": likely(by=0.1)}]
    assert run(clinic_bundle.make(tmp_path / "b", program, proof=proof), "autoteste.sh")[0] == 3


def test_a_processor_that_rounds_otherwise_passes(tmp_path: Path, program: Path) -> None:
    """No answer has the words of the proof; what is likely is near."""
    question = PROOF["questions"][0] | {"begins": "A saúde", "likely": likely(t11=-0.8)}
    bundle = clinic_bundle.make(tmp_path / "b", program, proof=PROOF | {"questions": [question]})
    code, said = run(bundle, "autoteste.sh")
    assert code == 0, said
    assert "[outras palavras] 1. O que é a APS?" in said
    assert "Aqui:      A atenção primária" in said
    assert "Palavras iguais às da prova: 0 de 1 (outro processador arredonda de outro modo" in said
    assert "prováveis: 0,10 (limite 0,50)" in said
    assert "APROVADO: funciona como na prova" in said


def test_too_slow_a_machine(tmp_path: Path, program: Path) -> None:
    bundle = clinic_bundle.make(tmp_path / "b", program, proof=PROOF | {"min_tokens_per_second": 51})
    code, said = run(bundle, "autoteste.sh")
    assert code == 3
    assert "lento demais" in said


def test_the_self_test_starts_as_iniciar_does() -> None:
    for suffix in ("sh", "bat"):
        one, other = ((ASSETS / f"{name}.{suffix}").read_text() for name in ("iniciar", "autoteste"))
        own = set(other.splitlines()) - set(one.splitlines())  # what it is for, its command, when it waits
        assert len(own) <= 4, own


def test_the_batch_files_are_what_cmd_can_read() -> None:
    for name in ("iniciar.bat", "autoteste.bat"):
        data = (ASSETS / name).read_bytes()
        assert data.isascii()
        assert data.count(b"\r\n") == data.count(b"\n")
        paths = [line for line in data.splitlines() if b"%~dp0" in line]
        assert paths
        assert all(line.replace(b'"PROGRAMA=', b'"').count(b'"%~dp0') == 1 for line in paths), paths


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="no shellcheck here")
def test_shellcheck() -> None:
    subprocess.run(["shellcheck", "-s", "sh", *map(str, ASSETS.glob("*.sh"))], check=True)


def test_what_the_technician_reads_names_only_keys_that_are_documented() -> None:
    keys = set(string.Template((ASSETS / "LEIA-ME.txt").read_text()).get_identifiers())
    documented = (starter.SOURCES[0].parents[3] / "docs" / "bundle.md").read_text()
    assert {"title", "version", "needed_ram_mb", "ollama_minimum"} <= keys
    assert not {key for key in keys if f"`{key}`" not in documented}


def test_the_command_line_of_the_compiler() -> None:
    command = starter.compile_arguments(Path("clinica.exe"), "Windows")
    assert command[-4:] == ["-o", "clinica.exe", "-lws2_32", "-lshell32"]
    assert "-Werror" in command
    files = [word for word in command if "source" in word and not Path(word).is_dir()]
    assert files
    assert all(Path(word).suffix == ".c" for word in files)
