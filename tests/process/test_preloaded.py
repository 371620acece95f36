"""Children that are forked from a process which has imported torch: like any other, and never left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from packager.errors import InputError, Interrupted, MissingResource, StageCrash
from packager.process import child, preloaded, progress
from packager.process.forking import MODULES


def can_fork() -> bool:
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):
        return False
    return True


pytestmark = pytest.mark.skipif(not can_fork(), reason="this system has no pidfd_open, so children import themselves")


def where(value: int) -> dict[str, object]:
    """What a child sees of itself."""
    progress.update(1, 2, "halves")
    return {
        "value": value,
        "pid": os.getpid(),
        "parent": os.getppid(),
        "preloaded": [name for name in MODULES if name in sys.modules],
        "folder": Path.cwd(),
        "environment": dict(os.environ),
        "path": list(sys.path),
    }


def multiply() -> float:
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    return float((torch.ones(600, 600, device=device) @ torch.ones(600, 600, device=device)).sum())


def hold() -> None:
    bytearray(b"x" * 300_000_000)


def of_another() -> int:
    return child.call(hold, imports_torch=True).peak_ram


def through_another() -> tuple[dict[str, object], int]:
    return child.call(where, 2, imports_torch=True).value, os.getpid()


def die(number: int) -> None:
    print("last words", flush=True)
    os.kill(os.getpid(), number)


def fail_for_people() -> None:
    raise InputError("bad row", "mend it")


def wait_long(started: Path) -> None:
    started.write_text(str(os.getpid()))
    time.sleep(300)


def pid_in(started: Path) -> int:
    """Of the child that `wait_long` runs in, when it does."""
    for _ in range(30_000):
        with contextlib.suppress(OSError, ValueError):
            return int(started.read_text())
        time.sleep(0.02)
    raise AssertionError("the child never ran")


def kill_parent() -> None:
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(300)


def outlast_a_stop_of_the_parent() -> int:
    """A stop that is sent to a whole group of processes reaches the one that was forked from too."""
    os.kill(os.getppid(), signal.SIGTERM)
    time.sleep(0.5)
    return os.getppid()


def ask_and_get(number: int, started: Path) -> None:
    """Ask for a child, and be sent this signal when it runs."""

    def send() -> None:
        pid_in(started)
        os.kill(os.getpid(), number)

    threading.Thread(target=send).start()
    child.call(wait_long, started, imports_torch=True)


def gone(pid: int) -> bool:
    for _ in range(30_000):
        try:
            os.kill(pid, 0)
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


def test_it_has_imported_and_is_otherwise_like_a_fresh_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("SAID_LATER", "yes")
    events: list[progress.Event] = []
    with progress.route(events.append):
        finished = child.call(where, 1, imports_torch=True)
    forked, fresh = finished.value, child.call(where, 1).value
    assert forked["preloaded"] == list(MODULES)
    assert fresh["preloaded"] == []
    assert forked["folder"] == fresh["folder"] == tmp_path
    assert forked["path"] == fresh["path"]
    assert forked["environment"] == fresh["environment"]
    assert forked["environment"]["SAID_LATER"] == "yes"
    assert "HF_TOKEN" not in forked["environment"]
    assert finished.peak_ram > 100_000_000
    assert events == [{"done": 1, "total": 2, "unit": "halves", "figures": {}}]
    assert child.call(multiply, imports_torch=True).value == 600**3


@pytest.mark.parametrize("first_forked", [True, False])
def test_a_child_can_ask_for_another(first_forked: bool) -> None:
    inner, outer_pid = child.call(through_another, imports_torch=first_forked).value
    assert inner["preloaded"] == list(MODULES)
    assert inner["pid"] != outer_pid
    assert inner["parent"] == child.call(where, 1, imports_torch=True).value["parent"]


def test_the_memory_of_a_child_is_counted_as_of_who_asked() -> None:
    finished = child.call(of_another)
    assert finished.peak_ram >= finished.value > 300_000_000


def test_how_it_ended_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="bad row") as error:
        child.call(fail_for_people, imports_torch=True)
    assert error.value.fix == "mend it"
    with pytest.raises(StageCrash, match=r"SIGSEGV[\s\S]*last words"):
        child.call(die, signal.SIGSEGV, imports_torch=True, log=tmp_path / "log")
    with pytest.raises(MissingResource, match="memory"):
        child.call(die, signal.SIGKILL, imports_torch=True)
    with pytest.raises(MissingResource, match="wait_long was stopped"):
        child.call(wait_long, tmp_path / "started", imports_torch=True, timeout=0.2)


def test_a_stop_is_answered_by_the_build_alone(tmp_path: Path) -> None:
    before = child.call(where, 1, imports_torch=True).value["parent"]
    assert child.call(outlast_a_stop_of_the_parent, imports_torch=True).value == before
    assert child.call(where, 1, imports_torch=True).value["parent"] == before
    with pytest.raises(Interrupted):
        child.call(ask_and_get, signal.SIGTERM, tmp_path / "started")
    assert gone(pid_in(tmp_path / "started"))


def test_a_child_does_not_outlive_who_asked_for_it(tmp_path: Path) -> None:
    with pytest.raises(MissingResource):  # SIGKILL: it has no time to stop its own child
        child.call(ask_and_get, signal.SIGKILL, tmp_path / "started", imports_torch=True)
    assert gone(pid_in(tmp_path / "started"))


def test_a_build_that_is_killed_leaves_none(tmp_path: Path) -> None:
    program = (
        "import sys; sys.path[:0] = [sys.argv[1], sys.argv[2]]\n"
        "from pathlib import Path\n"
        "from packager.process import child, preloaded\n"
        "from test_preloaded import wait_long\n"
        "with preloaded.importing_process(child.environment()):\n"
        "    child.call(wait_long, Path(sys.argv[3]), imports_torch=True)\n"
    )
    started = tmp_path / "started"
    roots = [str(Path(child.__file__).parents[2]), str(Path(__file__).parent)]
    build = subprocess.Popen([sys.executable, "-c", program, *roots, str(started)])
    pid = pid_in(started)
    build.kill()
    build.wait()
    assert gone(pid)


def test_without_the_process_a_fresh_one_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_OF_THIS_TEST", "1")  # so that this block has a process of its own
    with preloaded.importing_process(child.environment()):
        assert child.call(where, 1, imports_torch=True).value["preloaded"] == list(MODULES)
        with pytest.raises(MissingResource):
            child.call(kill_parent, imports_torch=True)
        assert child.call(where, 3, imports_torch=True).value["preloaded"] == []
    monkeypatch.setattr(preloaded, "_source", None)
    assert child.call(where, 3, imports_torch=True).value["preloaded"] == []
