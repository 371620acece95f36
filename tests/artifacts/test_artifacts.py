"""Commits are atomic, keys decide, and one build holds the folder."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from packager.artifacts import run_folder
from packager.artifacts.kinds import Artifact
from packager.artifacts.run_folder import RunFolder, open_run
from packager.errors import Busy, InputError
from packager.recipe.sections import Serve


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


def test_a_stage_is_made_once_and_remade_for_another_key(tmp_path: Path) -> None:
    with open_run(tmp_path) as run:
        first = run.stage("made", Made, make, Serve())
        assert first.folder == tmp_path / "made"
        stamp = (first.folder / "result.txt").stat().st_mtime_ns
        again = run.stage("made", Made, make, Serve())
        assert again == first
        assert (again.folder / "result.txt").stat().st_mtime_ns == stamp
        other = run.stage("made", Made, make, Serve(temperature=1))
        assert other.key != first.key
        assert (other.folder / "result.txt").read_text() == "temperature 1.0"
    record = json.loads((tmp_path / "made" / "stage.json").read_text())
    assert record["files"][0]["name"] == "result.txt"
    assert str(tmp_path) not in json.dumps(record)


def test_a_failed_stage_leaves_nothing_that_looks_whole(tmp_path: Path) -> None:
    with open_run(tmp_path) as run:
        with pytest.raises(InputError):
            run.stage("made", Made, fail, Serve())
        assert not (tmp_path / "made").exists()
        assert run.stage("made", Made, make, Serve()).text == "temperature 0.2"


def test_what_failed_in_part_is_made_again_and_so_is_what_follows(tmp_path: Path) -> None:
    with open_run(tmp_path) as run:
        before = run.stage("made", Made, make_in_part, Serve())
        assert run.kept("made", Made, make, Serve()) == before, "until then it is what there is"
        after = run.stage("made", Made, make, Serve())
        assert after.text == "temperature 0.2"
        assert after.key != before.key
        assert run.stage("made", Made, fail, Serve()) == after


def test_a_resumable_stage_finds_what_it_left_unless_its_key_changed(tmp_path: Path) -> None:
    with open_run(tmp_path) as run:
        for temperature in (0.1, 0.3):
            with pytest.raises(InputError):
                run.stage("made", Made, resume, Serve(temperature=temperature), resumable=True)
        assert run.stage("made", Made, resume, Serve(temperature=0.3), resumable=True).text == "resumed"


def test_a_kill_just_before_the_rename_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(self: RunFolder, name: str) -> None:
        raise KeyboardInterrupt

    with open_run(tmp_path) as run:
        with monkeypatch.context() as patched:
            patched.setattr(RunFolder, "_put_in_place", killed)
            with pytest.raises(KeyboardInterrupt):
                run.stage("made", Made, make, Serve())
        stamp = (tmp_path / "made.partial" / "result.txt").stat().st_mtime_ns
        made = run.stage("made", Made, make, Serve())
    assert (made.folder / "result.txt").stat().st_mtime_ns == stamp
    assert not (tmp_path / "made.partial").exists()


def test_a_kill_just_before_the_rename_of_what_failed_in_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with open_run(tmp_path) as run:
        with monkeypatch.context() as patched:
            patched.setattr(Path, "unlink", killed)
            with pytest.raises(KeyboardInterrupt):
                run.stage("made", Made, make_in_part, Serve(), resumable=True)
        assert (tmp_path / "made.partial" / "stage.json").is_file()
        made = run.stage("made", Made, make, Serve(), resumable=True)
        assert run.stage("next", Made, make_of, Serve(), made).text == "of temperature 0.2"
    assert run_folder.peek(tmp_path, verify=True).committed("made", Made, made.key)[0] == made


def test_verify_hashes_again(tmp_path: Path) -> None:
    with open_run(tmp_path) as run:
        made = run.stage("made", Made, make, Serve())
    (made.folder / "result.txt").write_text("temperature 9.9")
    assert run_folder.peek(tmp_path).committed("made", Made, made.key)[0] is not None
    found, why = run_folder.peek(tmp_path, verify=True).committed("made", Made, made.key)
    assert found is None
    assert "altered" in why


def test_a_record_beside_leaves_the_deliverable_clean(tmp_path: Path) -> None:
    with open_run(tmp_path) as run:
        made = run.stage("made", Made, make, Serve(), record_beside=True)
        assert [p.name for p in made.folder.iterdir()] == ["result.txt"]
        assert run.committed("made", Made, made.key)[0] == made


def test_the_lock_names_its_holder(tmp_path: Path) -> None:
    with open_run(tmp_path), pytest.raises(Busy, match="process ") as caught, open_run(tmp_path):
        pass
    assert caught.value.exit_code == 75
    with open_run(tmp_path) as run:
        assert isinstance(run, RunFolder)


def test_an_unwritable_place_is_the_users_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="Cannot write"), open_run(tmp_path / "file" / "x"):
        time.sleep(0)
