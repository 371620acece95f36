"""lm-evaluation-harness on the tiny checkpoint with local copies of a few questions, against likelihoods that are
computed here; base against tuned."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from packager.artifacts.evaluation import LeftOut
from packager.artifacts.kinds import Checkpoint
from packager.evaluation import benchmarks
from packager.recipe.evaluation import Benchmarks

OPTIONS = ("saúde", "família", "vacina", "equipe")
MEDMCQA = [
    {"question": f"Which word is number {n}?", **dict(zip(("opa", "opb", "opc", "opd"), OPTIONS, strict=True)),
     "cop": n % 4} for n in range(8)
]  # fmt: skip
MEDQA = [
    {"sent1": row["question"], **{f"ending{i}": word for i, word in enumerate(OPTIONS)}, "label": row["cop"]}
    for row in MEDMCQA
]
SQUAD = [{"text": f"A equipe cuida da família {n}. Quem cuida é a", "value": "equipe"} for n in range(4)]


def write(folder: Path, task: str, rows: list[dict[str, Any]]) -> Path:
    path = folder / task / "validation.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def by_hand(checkpoint: Path, row: dict[str, Any]) -> int:
    """The letter that the checkpoint holds likeliest after MedMCQA's prompt."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32).eval()
    text = f"Question: {row['question']}\nChoices:\nA. {row['opa']}\nB. {row['opb']}\nC. {row['opc']}\n"
    text += f"D. {row['opd']}\nAnswer:"
    before = len(tokenizer(text).input_ids)
    said = []
    for letter in "ABCD":
        ids = torch.tensor([tokenizer(f"{text} {letter}").input_ids])
        with torch.inference_mode():
            log_p = model(ids).logits[0].log_softmax(-1)
        said.append(sum(float(log_p[i - 1, ids[0, i]]) for i in range(before, ids.shape[1])))
    return said.index(max(said))


@pytest.mark.slow
def test_the_harness_asks_base_and_tuned_from_local_copies(tiny_base: Checkpoint, tmp_path: Path) -> None:
    if importlib.util.find_spec("lm_eval") is None:
        pytest.skip("lm-evaluation-harness is not installed: pip install -c constraints.txt -e '.[benchmarks]'")
    folder, cache = tmp_path / "copies", tmp_path / "cache"
    write(folder, "medmcqa", MEDMCQA)
    write(folder, "medqa_4options", MEDQA)
    write(folder, "squad_completion", SQUAD)
    cache.mkdir()
    wanted = Benchmarks(tasks=("medmcqa", "medqa_4options", "squad_completion"), folder=str(folder))
    left: list[LeftOut] = []
    tuned = tiny_base.model_copy(update={"key": "tuned"})
    found = list(benchmarks.measure(wanted, tiny_base, tuned, cache, left))
    assert left == []
    assert [(b.benchmark, b.model, b.n, b.metric) for b in found] == [
        ("medmcqa", "base", 8, "acc"),
        ("medmcqa", "tuned", 8, "acc"),
        ("medqa_4options", "base", 8, "acc"),
        ("medqa_4options", "tuned", 8, "acc"),
        ("squad_completion", "base", 4, "contains"),
        ("squad_completion", "tuned", 4, "contains"),
    ]
    right = [by_hand(tiny_base.folder, row) == row["cop"] for row in MEDMCQA]
    accuracy = sum(right) / 8
    assert found[0].value == pytest.approx(accuracy, abs=1e-9)
    assert found[0].stderr == pytest.approx((accuracy * (1 - accuracy) / 7) ** 0.5, abs=1e-9)
    assert found[0].value == found[1].value, "the same weights"
    assert {b.source for b in found} == {"local copy"}

    (folder / "medqa_4options" / "validation.jsonl").unlink()
    again = list(benchmarks.measure(wanted, tiny_base, tuned, cache, left))
    assert [b.benchmark for b in again] == ["medmcqa"] * 2 + ["squad_completion"] * 2, "the rest, from the cache"
    assert [one.what for one in left] == ["benchmark medqa_4options"]
