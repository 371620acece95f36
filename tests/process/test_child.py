"""Child processes: values and errors come back, signals are named, limits hold."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from packager.errors import InputError, Interrupted, MissingResource, StageCrash
from packager.process import child, progress, stopping


def double(x: int) -> int:
    progress.update(1, 2, "halves")
    return 2 * x


def fail_for_people() -> None:
    raise InputError("bad row", "mend it")


def fail_for_us() -> None:
    raise ZeroDivisionError("oops")


def die(number: int) -> None:
    print("last words", flush=True)
    os.kill(os.getpid(), number)


def sleep_long() -> None:
    time.sleep(3600)


def hoard() -> None:
    bytearray(4 << 30)


def disk_full() -> None:
    with Path("/dev/full").open("w") as file:
        file.write("x" * 100_000)


def fill_the_gpu() -> None:
    raise RuntimeError("CUDA out of memory. Tried to allocate 96.00 MiB. GPU 0 has 23.6 GiB of which 12 MiB is free.")


def see_environment() -> dict[str, str]:
    return dict(os.environ)


def test_a_value_its_peak_memory_and_progress_come_back() -> None:
    events: list[progress.Event] = []
    with progress.route(events.append):
        finished = child.call(double, 21)
    assert finished.value == 42
    assert finished.peak_ram > 5_000_000
    assert events == [{"done": 1, "total": 2, "unit": "halves", "figures": {}}]


def test_an_error_for_people_keeps_its_kind_and_fix() -> None:
    with pytest.raises(InputError, match="bad row") as caught:
        child.call(fail_for_people)
    assert caught.value.fix == "mend it"
    assert caught.value.exit_code == 2


def test_our_own_bug_keeps_its_traceback() -> None:
    with pytest.raises(StageCrash, match=r"fail_for_us[\s\S]*ZeroDivisionError: oops"):
        child.call(fail_for_us)


def test_a_signal_is_named_with_the_last_words() -> None:
    with pytest.raises(StageCrash, match=r"SIGSEGV[\s\S]*last words"):
        child.call(die, signal.SIGSEGV)


def test_a_kill_is_explained_as_memory() -> None:
    with pytest.raises(MissingResource, match="ran out of memory") as caught:
        child.call(die, signal.SIGKILL)
    assert "train.batch" in caught.value.fix


def test_time_and_memory_limits_hold() -> None:
    with pytest.raises(MissingResource, match="not finished after"):
        child.call(sleep_long, timeout=1.0)
    with pytest.raises(MissingResource, match="Out of memory"):
        child.call(hoard, memory_limit=2 << 30)


def test_a_full_disk_is_named() -> None:
    with pytest.raises(MissingResource, match="disk is full"):
        child.call(disk_full)


def test_a_full_gpu_is_named() -> None:
    with pytest.raises(MissingResource, match=r"GPU's memory is full.* 96\.00 MiB"):
        child.call(fill_the_gpu)


def test_a_child_gets_no_secret_unless_it_is_online(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    seen = child.call(see_environment).value
    assert "HF_TOKEN" not in seen
    assert seen["HF_HUB_OFFLINE"] == "1"
    assert child.call(see_environment, online=True).value["HF_TOKEN"] == "hf_secret"


def test_run_reads_a_file_and_shows_its_newest_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "WATCH_SECONDS", 0.01)
    (tmp_path / "given").write_text("text\n")
    program = (
        "import pathlib, sys, time; print('[1/2]', flush=True)\n"
        "while not pathlib.Path('seen').exists(): time.sleep(0.01)\n"
        "print(sys.stdin.read())"
    )

    def watch(line: str) -> None:
        if line == "[1/2]":
            (tmp_path / "seen").touch()

    said = child.run([sys.executable, "-c", program], cwd=tmp_path, stdin=tmp_path / "given", watch=watch, timeout=600)
    assert said == "[1/2]\ntext\n\n"
    with pytest.raises(MissingResource, match="did not finish"):
        child.run([sys.executable, "-c", "import time; time.sleep(60)"], watch=watch, timeout=0.1)


def test_run_gives_the_output_and_explains_failure(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert child.run([sys.executable, "-c", "print(6 * 7)"], log=log) == "42\n"
    assert "$ " in log.read_text()
    with pytest.raises(StageCrash, match=r"exit code 3[\s\S]*why"):
        child.run([sys.executable, "-c", "print('why'); raise SystemExit(3)"])
    with pytest.raises(MissingResource, match="no-such-tool is not installed"):
        child.run(["no-such-tool"])


def test_a_deferred_stop_is_a_flag_and_an_interrupt_is_an_error() -> None:
    with stopping.deferred_stop() as asked:
        assert not asked()
        signal.raise_signal(signal.SIGTERM)
        assert asked()
    with stopping.interruptible(), pytest.raises(Interrupted, match="SIGINT"):
        signal.raise_signal(signal.SIGINT)
