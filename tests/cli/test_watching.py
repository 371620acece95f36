"""A training watched: the curve and the time left, of a file that is written meanwhile, or of another machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from packager.__main__ import main
from packager.cli import watching


def metrics(steps: int, done: int) -> str:
    rows = [{"step": 0, "steps": steps, "heldout_loss": 4.5, "seconds": 3.0}]
    rows += [
        {"step": i, "steps": steps, "loss": 4 - i / steps, "tokens": 400, "seconds": 2.0} for i in range(1, done + 1)
    ]
    rows += [{"step": done, "steps": steps, "heldout_loss": 3.1}] if done == steps else []
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_the_curve_the_speed_and_the_time_left(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "adapter.partial"
    folder.mkdir(parents=True)
    (folder / "metrics.jsonl").write_text(metrics(80, 20) + '{"step": 21, "lo')
    shown = CliRunner().invoke(main, ["watch", str(tmp_path / "run")])
    assert shown.exit_code == 0, shown.output
    assert "step 20/80, loss 3.750, 200 tokens/s, held-out loss 4.500, 2m00s left" in shown.output
    assert shown.output.count("*") > 5
    assert max(map(len, shown.output.splitlines())) <= 100 + len(str(folder))


def test_a_finished_one_and_one_from_elsewhere() -> None:
    shown = CliRunner().invoke(main, ["watch", "-"], input=metrics(10, 10))
    assert "step 10/10, loss 3.000, 200 tokens/s, held-out loss 4.500 -> 3.100, done" in shown.output


@pytest.mark.parametrize("text", ["", "oops\n", "[]\n", '{"a": 1}\n'])
def test_what_is_no_metrics_is_said(text: str) -> None:
    shown = CliRunner().invoke(main, ["watch", "-"], input=text)
    assert shown.exit_code == 2
    assert "give a metrics.jsonl" in shown.output


def test_a_folder_without_a_training_is_said(tmp_path: Path) -> None:
    shown = CliRunner().invoke(main, ["watch", str(tmp_path)])
    assert shown.exit_code == 2
    assert "no training" in shown.output
    one = watching.course_of(metrics(5, 1))
    assert "step 5" in watching.drawn(one, 20)
