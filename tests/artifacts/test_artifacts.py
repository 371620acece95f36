"""Commits are atomic, keys decide, and one build holds the folder."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from packager.artifacts import commit, run_folder
from packager.artifacts.key import depends
from packager.artifacts.kinds import Artifact
from packager.artifacts.run_folder import RunFolder, open_run, peek
from packager.artifacts.stage import Stage
from packager.errors import Busy, InputError
from packager.recipe.recipe import Recipe
from packager.recipe.sections import Base, Data, Serve


class Made(Artifact):
    text: str

    @property
    def reusable(self) -> bool:
        return "in part" not in self.text


def make(config: Serve, out: Path) -> Made:
    text = f"temperature {config.temperature}"
    (out / "result.txt").write_text(text)
    return Made(folder=out, text=text)


def fail(config: Serve, out: Path) -> Made:
    (out / "result.txt").write_text("half")
    raise InputError("no")


def make_in_part(config: Serve, out: Path) -> Made:
    return Made(folder=out, text="in part")


def make_of(config: Serve, made: Made, out: Path) -> Made:
    return Made(folder=out, text=f"of {made.text}")


def resume(config: Serve, out: Path) -> Made:
    kept = out / "kept"
    if not kept.exists():
        kept.write_text("1")
        raise InputError("interrupted")
    return Made(folder=out, text="resumed")


def stage(door: Callable[..., Made], name: str = "made", **options: Any) -> Stage[Made]:
    return Stage(name, door, Made, section=lambda recipe: recipe.serve, **options)


def recipe(temperature: float = 0.2) -> Recipe:
    return Recipe(name="r", base=Base(model="b"), data=Data(source="d"), serve=Serve(temperature=temperature))


def committed(run: RunFolder, made: Stage[Made]) -> tuple[Made | None, str]:
    return run.committed(made, depends(made, recipe().serve, [], None))


def test_a_stage_is_made_once_and_remade_for_another_key(tmp_path: Path) -> None:
    with open_run(tmp_path) as run:
        first = run.make(stage(make), recipe(), [])
        assert first.folder == tmp_path / "made"
        stamp = (first.folder / "result.txt").stat().st_mtime_ns
        again = run.make(stage(make), recipe(), [])
        assert again == first
        assert (again.folder / "result.txt").stat().st_mtime_ns == stamp
        other = run.make(stage(make), recipe(1), [])
        assert other.content != first.content
        assert (other.folder / "result.txt").read_text() == "temperature 1.0"
    record = json.loads((tmp_path / "made" / "stage.json").read_text())
    assert record["files"][0]["name"] == "result.txt"
    assert str(tmp_path) not in json.dumps(record)


def test_a_failed_stage_leaves_nothing_that_looks_whole(tmp_path: Path) -> None:
    with open_run(tmp_path) as run:
        with pytest.raises(InputError):
            run.make(stage(fail), recipe(), [])
        assert not (tmp_path / "made").exists()
        assert run.make(stage(make), recipe(), []).text == "temperature 0.2"


def test_what_failed_in_part_is_made_again_and_so_is_what_follows(tmp_path: Path) -> None:
    with open_run(tmp_path) as run:
        before = run.make(stage(make_in_part), recipe(), [])
        assert run.kept(stage(make), recipe(), []) == before, "until then it is what there is"
        after = run.make(stage(make), recipe(), [])
        assert after.text == "temperature 0.2"
        assert after.content != before.content
        assert run.make(stage(fail), recipe(), []) == after


def test_a_resumable_stage_finds_what_it_left_unless_its_key_changed(tmp_path: Path) -> None:
    with open_run(tmp_path) as run:
        for temperature in (0.1, 0.3):
            with pytest.raises(InputError):
                run.make(stage(resume, resumable=True), recipe(temperature), [])
        assert run.make(stage(resume, resumable=True), recipe(0.3), []).text == "resumed"


def test_a_kill_just_before_the_rename_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with open_run(tmp_path) as run:
        with monkeypatch.context() as patched:
            patched.setattr(commit, "_finish", killed)
            with pytest.raises(KeyboardInterrupt):
                run.make(stage(make), recipe(), [])
        stamp = (tmp_path / "made.partial" / "result.txt").stat().st_mtime_ns
        made = run.make(stage(make), recipe(), [])
    assert (made.folder / "result.txt").stat().st_mtime_ns == stamp
    assert not (tmp_path / "made.partial").exists()


def test_a_kill_just_before_the_rename_of_what_failed_in_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with open_run(tmp_path) as run:
        with monkeypatch.context() as patched:
            patched.setattr(Path, "unlink", killed)
            with pytest.raises(KeyboardInterrupt):
                run.make(stage(make_in_part, resumable=True), recipe(), [])
        assert (tmp_path / "made.partial" / "stage.json").is_file()
        made = run.make(stage(make, resumable=True), recipe(), [])
        assert run.make(stage(make_of, "next"), recipe(), [made]).text == "of temperature 0.2"
    assert committed(peek(tmp_path, verify=True), stage(make))[0] == made


def test_verify_hashes_again(tmp_path: Path) -> None:
    with open_run(tmp_path) as run:
        made = run.make(stage(make), recipe(), [])
    (made.folder / "result.txt").write_text("temperature 9.9")
    assert committed(peek(tmp_path), stage(make))[0] is not None
    found, why = committed(peek(tmp_path, verify=True), stage(make))
    assert found is None
    assert "altered" in why


def test_a_record_beside_leaves_the_deliverable_clean(tmp_path: Path) -> None:
    with open_run(tmp_path) as run:
        made = run.make(stage(make, deliverable=True), recipe(), [])
        assert [p.name for p in made.folder.iterdir()] == ["result.txt"]
        assert committed(run, stage(make, deliverable=True))[0] == made


def test_the_lock_names_its_holder(tmp_path: Path) -> None:
    with open_run(tmp_path), pytest.raises(Busy, match="process ") as caught, open_run(tmp_path):
        pass
    assert caught.value.exit_code == 75
    with open_run(tmp_path) as run:
        assert isinstance(run, RunFolder)


def left_by_a_killed_build(folder: Path) -> int:
    """The lock as a child has it whose build is gone."""
    gone = subprocess.Popen(["true"])
    gone.wait()
    with open_run(folder) as run:
        left = os.dup(run.lock_fd)
    os.ftruncate(left, 0)
    os.pwrite(left, f"process {gone.pid}, since 10:00:00".encode(), 0)
    return left


def test_what_a_killed_build_started_is_waited_for(tmp_path: Path) -> None:
    left, ended = left_by_a_killed_build(tmp_path), []

    def end() -> None:
        ended.append(left)
        os.close(left)

    timer = threading.Timer(0.3, end)
    timer.start()
    with open_run(tmp_path):
        assert ended
        assert f"process {os.getpid()}," in (tmp_path / ".lock").read_text()
    timer.join()


def test_what_does_not_end_is_told_from_a_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_folder, "ENDING_SECONDS", 0.1)
    left = left_by_a_killed_build(tmp_path)
    with pytest.raises(Busy, match="which has ended itself") as caught, open_run(tmp_path):
        pass
    os.close(left)
    assert "fuser" in caught.value.fix


def test_an_unwritable_place_is_the_users_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="Cannot write"), open_run(tmp_path / "file" / "x"):
        time.sleep(0)


class TestReasons:
    """`plan` and the log name what changed, from what to what."""

    def why(self, folder: Path, made: Stage[Made], now: Recipe, inputs: Sequence[Artifact | None] = ()) -> str:
        needs = depends(made, made.section(now), inputs, made.sources(now))
        return peek(folder).committed(made, needs)[1]

    def test_a_field(self, tmp_path: Path) -> None:
        with open_run(tmp_path) as run:
            run.make(stage(make), recipe(0.2), [])
        assert self.why(tmp_path, stage(make), recipe(0.7)) == "rebuilt: temperature changed from 0.2 to 0.7"

    def test_an_input_a_source_and_a_version(self, tmp_path: Path) -> None:
        before = Made(folder=tmp_path / "base", content="1", text="")
        after = before.model_copy(update={"content": "2"})
        with open_run(tmp_path) as run:
            run.make(stage(make_of, versions=("numpy",)), recipe(), [before])
        assert "what base made changed" in self.why(tmp_path, stage(make_of, versions=("numpy",)), recipe(), [after])
        reads = stage(make_of, versions=("numpy",), sources=lambda _: "x")
        assert "what it reads changed" in self.why(tmp_path, reads, recipe(), [before])
        record = tmp_path / "made" / "stage.json"
        record.write_text(json.dumps(json.loads(record.read_text()) | {"versions": {"numpy": "0.1"}, "key": ""}))
        assert "numpy changed from 0.1 to " in self.why(
            tmp_path, stage(make_of, versions=("numpy",)), recipe(), [before]
        )

    def test_what_is_made_again_with_the_same_bytes_starts_nothing_after_it(self, tmp_path: Path) -> None:
        with open_run(tmp_path) as run:
            first = run.make(stage(make), recipe(), [])
            run.make(stage(make_of, "next"), recipe(), [first])
            again = run.make(stage(make, sources=lambda _: "other"), recipe(), [])
            assert again == first
            needs = depends(stage(make_of, "next"), recipe().serve, [again], None)
            assert run.committed(stage(make_of, "next"), needs)[1] == "unchanged"


def write_twice(config: Serve, out: Path) -> Made:
    for name in ("a.txt", "b.txt"):
        (out / name).write_text(f"{name} {config.temperature}")
    return Made(folder=out, text=str(config.temperature))


OPERATIONS = ("open", "os.rename", "os.remove", "os.rmdir", "os.unlink", "os.mkdir", "shutil.rmtree")


def commit_until_killed(folder: Path, at: int, deliverable: bool) -> bool:
    """Build the second version in a forked process that kills itself before file operation `at`; was it killed?"""
    child = os.fork()
    if child == 0:
        done = 0

        def count(event: str, _: Any) -> None:
            nonlocal done
            if event in OPERATIONS:
                done += 1
                if done > at:
                    os.kill(os.getpid(), signal.SIGKILL)

        partial = folder / "made.partial"
        partial.mkdir()
        made = write_twice(Serve(temperature=1), partial)
        files = commit.listed(partial)
        record = {
            "key": "2",
            "content": "2",
            "files": files,
            "artifact": made.model_dump(mode="json", exclude={"folder"}),
        }
        sys.addaudithook(count)
        commit.commit(folder, "made", record, beside=deliverable)
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("deliverable", [False, True], ids=["record inside", "record beside"])
def test_killed_between_any_two_file_operations_the_old_or_the_new_is_whole(tmp_path: Path, deliverable: bool) -> None:
    versions = set()
    at, killed = 0, True
    while killed:
        folder = tmp_path / str(at)
        with open_run(folder) as run:
            run.make(stage(write_twice, deliverable=deliverable), recipe(0), [])
        killed = commit_until_killed(folder, at, deliverable)
        contents = {p.name: p.read_text() for p in (folder / "made").iterdir() if p.name != "stage.json"}
        assert contents in (
            {"a.txt": "a.txt 0.0", "b.txt": "b.txt 0.0"},
            {"a.txt": "a.txt 1.0", "b.txt": "b.txt 1.0"},
        ), f"killed before operation {at}"
        commit.settle(folder, "made")
        record = commit.read_record(folder / ("made.stage.json" if deliverable else "made/stage.json"))
        assert record is not None
        for file in record["files"]:
            assert (folder / "made" / file["name"]).read_text().endswith("1.0" if record["key"] == "2" else "0.0")
        versions.add(record["key"] == "2")
        at += 1
    assert versions == {False, True}
    assert at > 8
