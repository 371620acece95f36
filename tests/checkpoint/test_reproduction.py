"""What training saw, held against the reference; a head that is not the embedding it is tied to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from packager.artifacts.evidence import AsTrained
from packager.artifacts.kinds import Adapter
from packager.checkpoint import tied_head
from packager.checkpoint.reproduction import reproduced


def adapter(computed_in: str, *, tuned: float | None = 2.0, method: str = "qlora") -> Adapter:
    seen = AsTrained(pairs=14, scale=2.0, computed_in=computed_in, rows=2, loss_base=4.0, loss_tuned=tuned)
    return Adapter.model_construct(folder=Path(), method=method, as_trained=seen)


@pytest.mark.parametrize(("computed_in", "near", "far"), [("float32", 0.003, 0.006), ("bfloat16", 0.03, 0.1)])
def test_within_the_rounding_of_its_type(computed_in: str, near: float, far: float) -> None:
    good = reproduced(adapter(computed_in), 4.0 + near, 2.0 - near / 2)
    assert [c.id for c in good if c.passed] == ["merge.base_loss", "merge.tuned_loss"]
    bad = reproduced(adapter(computed_in), 4.0 - far, 2.0 + far)
    assert [c.id for c in bad if not c.passed] == ["merge.base_loss", "merge.tuned_loss"]


def test_what_was_not_measured_is_not_judged() -> None:
    assert [c.id for c in reproduced(adapter("float32", tuned=None), 4.0, 2.0)] == ["merge.base_loss"]
    assert reproduced(adapter("float32").model_copy(update={"as_trained": None}), 4.0, 2.0) == []


def write(folder: Path, own: bool, *, tied: bool = True, with_head: bool = True) -> Path:
    table = (torch.arange(3000 * 4) % 100).view(3000, 4).to(torch.float16)
    other = table.clone()
    other[[5, 2999]] += 1 if own else 0
    heads = {"lm_head.weight": other} if with_head else {}
    save_file({"model.embed_tokens.weight": table, **heads}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"tie_word_embeddings": tied}))
    return folder


def test_a_head_of_its_own_is_named(tmp_path: Path) -> None:
    (check,) = tied_head.tied(write(tmp_path, own=True))
    assert (check.id, check.passed) == ("merge.tied_head", False)
    assert check.measured == 2
    assert "tie_word_embeddings to false" in check.says


def test_a_head_saved_twice_is_fine(tmp_path: Path) -> None:
    assert [c.passed for c in tied_head.tied(write(tmp_path, own=False))] == [True]
    assert tied_head.tied(write(tmp_path, own=True, tied=False)) == []
    assert tied_head.tied(write(tmp_path, own=True, with_head=False)) == []
