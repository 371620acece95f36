"""An evaluation on a tiny real model: measured, reported, cached, compared."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import pytest
from command_line import packager


def test_base_tuned_and_files_on_the_same_rows(
    tiny_recipe: Path, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = "evaluate.rows=2 evaluate.max_answer_tokens=8"
    done = packager("evaluate", tiny_recipe, "--build-dir", copied, "--set", f"{limits} evaluate.resamples=50")
    assert done.returncode == 0, done.stderr + done.stdout
    found = json.loads((copied / "tiny" / "evaluation" / "metrics.json").read_text("utf-8"))
    assert [m["name"] for m in found["models"]] == ["base", "tuned", "Q8_0", "Q4_K_M"]
    values = {r["model"]: {m["name"]: m["value"] for m in r["measures"]} for r in found["results"]}
    assert values["tuned"]["loss"] < values["base"]["loss"], "training was on like rows"
    assert abs(values["Q8_0"]["loss"] - values["tuned"]["loss"]) < 0.1, "Q8_0 is near F16"
    for measured in values.values():
        assert math.isclose(measured["perplexity"], math.exp(measured["loss"]), rel_tol=1e-9)
        assert 0 <= measured["rougeL.f1"] <= 1
    answered = (copied / "tiny" / "evaluation" / "answers.jsonl").read_text("utf-8").splitlines()
    assert [[a["model"] for a in json.loads(line)["answers"]] for line in answered] == [list(values)] * 2
    page = (copied / "tiny" / "report" / "report.html").read_text("utf-8")
    assert json.loads(answered[0])["answers"][1]["text"].split()[0] in page

    missing = (
        "evaluate.metrics=[likelihood,rouge,bertscore] evaluate.bertscore.encoder=/not/here"
        f' evaluate.probes=[{{"ask":"{"a1" * 300}"}},{{"ask":"vacina?"}}]'
        " evaluate.judge.model=ninguem evaluate.benchmarks.tasks=[medmcqa] evaluate.benchmarks.folder=/nor/here"
    )
    for name in [name for name in os.environ if name.startswith(("PACKAGER_JUDGE", "OPENAI"))]:
        monkeypatch.delenv(name)
    again = packager(
        "evaluate", tiny_recipe, "--build-dir", copied, "--set", f"{limits} evaluate.resamples=60 {missing}"
    )
    assert again.returncode == 0, again.stderr
    lines = again.stderr.splitlines()
    first = lines[: next(n for n, line in enumerate(lines) if line.startswith("base "))]
    for what in ("PACKAGER_JUDGE_URL", "/not/here", "medmcqa"):
        assert any(what in line and "is left out" in line for line in first), f"{what}: said before anything runs"
    rest = json.loads((copied / "tiny" / "evaluation" / "metrics.json").read_text("utf-8"))
    assert len(rest["left_out"]) == 4
    (probe,) = (gone for gone in rest["left_out"] if gone["what"].startswith("probe"))
    assert "serve.context has 256" in probe["why"], "a probe longer than the context is named, and ends nothing"
    assert [p["ask"] for p in rest["probes"]] == ["vacina?"]
    assert all(gone["fix"] for gone in rest["left_out"])
    assert {r["model"] for r in rest["results"]} == set(values), "the rest still runs"
    for path in (copied / "tiny" / "package").iterdir():
        written = path.read_bytes() if path.suffix != ".gguf" else b""
        assert b"/not/here" not in written, path
        assert b"/nor/here" not in written, path

    table = packager("compare", tiny_recipe, tiny_recipe, "--build-dir", copied, "--json")
    compared = json.loads(table.stdout)
    assert [row["same_rows"] for row in compared] == [True, True]
    assert compared[0]["packaged"] == "Q8_0", "the package's default, the first of quantize.types"
    assert "converting the base" in done.stderr
    assert "tuned: 1 of 5 to measure, the others are known" in again.stderr, (
        "what was measured of the same rows is kept"
    )

    compared = packager("compare", tiny_recipe, "--build-dir", copied, "--json")
    (row,) = json.loads(compared.stdout)
    assert row["model"] == "tuned"
    assert row["trainable_parameters"] > 0
