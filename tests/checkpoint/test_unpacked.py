"""What a GGUF base was unpacked into is kept once: whole or not at all, and only as long as it is as it was."""

from __future__ import annotations

from pathlib import Path

from packager.checkpoint.unpacked import _keep, _whole


def checkpoint(folder: Path) -> Path:
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "config.json").write_text("{}")
    (folder / "key").write_text("of the stage")
    return folder


def test_what_is_kept_is_linked_and_checked(tmp_path: Path) -> None:
    out, kept = checkpoint(tmp_path / "out"), tmp_path / "cache" / "abc"
    _keep(out, kept)
    assert _whole(kept)
    assert (kept / "model.safetensors").stat().st_ino == (out / "model.safetensors").stat().st_ino
    assert not (kept / "key").exists()
    (kept / "config.json").write_text('{"altered": 1}')
    assert not _whole(kept)
    assert not _whole(tmp_path / "nothing")
