"""Settings that change nothing are said before the training: by the recipe alone, or by the base's tensors."""

from __future__ import annotations

from typing import Any

import pytest

from packager.errors import InputError
from packager.llamacpp.quantizer import refuse_idle_patterns
from packager.recipe import loading
from packager.recipe.idle import idle_settings
from packager.recipe.recipe import Recipe


def recipe(**sections: Any) -> Recipe:
    known: dict[str, Any] = {"name": "x", "base": {"model": "hf:a/b"}, "data": {"source": "rows.jsonl"}}
    known["smoke"] = [{"ask": "O que é vacina?"}]
    return Recipe.model_validate(known | {k: known.get(k, {}) | v if isinstance(v, dict) else v
                                          for k, v in sections.items()})  # fmt: skip


@pytest.mark.parametrize(
    ("sections", "says"),
    [
        ({"train": {"patience": 2}}, "train.patience"),
        ({"train": {"warmup_steps": 9, "epochs": 1}}, "train.warmup_steps is 9, and the training has about 6 steps"),
        ({"train": {"evaluate_every": 6}}, "train.evaluate_every is 6"),
        ({"train": {"max_steps": 3, "epochs": 2}}, "train.epochs would train longer than train.max_steps"),
        ({"train": {"method": "none", "epochs": 3}}, "train.epochs has nothing to train"),
        ({"train": {"batch": {"examples_per_micro_batch": 32}}}, "train.batch.examples_per_micro_batch is 32"),
        ({"thresholds": {"min_loss_drop": 0.1}, "train": {"method": "none"}}, "thresholds.min_loss_drop"),
        ({"thresholds": {"min_silent": 0.5}}, "thresholds.min_silent"),
        ({"thresholds": {"min_language_share": 0.9}, "smoke": []}, "thresholds.min_language_share"),
        ({"base": {"model": "folder", "revision": "main"}}, "base.revision"),
        ({"data": {"source": "rows.jsonl", "subset": "a"}}, "data.subset"),
        ({"data": {"source": "rows.jsonl", "sheet": "a"}}, "data.sheet"),
        ({"data": {"source": "rows.jsonl", "unmatched_bracket": "drop"}}, "data.unmatched_bracket"),
        ({"data": {"source": "r.jsonl", "format": "alpaca", "fields": {"answer": "a"}}}, "data.fields.answer"),
        ({"data": {"source": "rows.jsonl", "fields": {"source": "s"}}}, "data.fields.source"),
        ({"quantize": {"types": ["F16"], "tensors": {"attn": "Q8_0"}}}, "quantize.tensors"),
        ({"quantize": {"types": ["Q8_0"], "imatrix": True}}, "quantize.imatrix"),
        ({"quantize": {"types": ["Q8_0"]}, "device": {"prefer": "quality"}}, "device.prefer"),
        ({"serve": {"temperature": 0, "top_p": 0.5}}, "serve.top_p"),
        ({"serve": {"repeat_last_n": 8}}, "serve.repeat_last_n"),
        ({"serve": {"context": 256, "max_answer_tokens": 256}}, "serve.max_answer_tokens"),
        ({"evaluate": {"metrics": ["likelihood"], "temperature": 0.5}}, "evaluate.temperature"),
        ({"evaluate": {"judge": {"model": "m"}}}, "evaluate.judge.max_cost"),
        ({"evaluate": {"rows": 5, "judge": {"model": "m", "rows": 9, "answer_price": 1}}}, "evaluate.judge.rows"),
    ],
)
def test_it_is_said(sections: dict[str, Any], says: str) -> None:
    (found,) = idle_settings(recipe(**sections), rows=100)
    assert found.startswith(says)


def test_a_recipe_whose_settings_all_count_says_nothing() -> None:
    counts = {
        "train": {"patience": 2, "evaluate_every": 2, "warmup_steps": 2, "epochs": 1},
        "quantize": {"types": ["Q4_K_M", "Q8_0"], "imatrix": True, "tensors": {"attn": "Q8_0"}},
        "serve": {"temperature": 0.5, "top_p": 0.5, "repeat_penalty": 1.1, "repeat_last_n": 8},
        "device": {"prefer": "quality"},
    }
    assert idle_settings(recipe(**counts), rows=100) == []
    assert idle_settings(recipe(), rows=None) == []


def test_shipped_recipes_say_only_what_is_the_users_to_give() -> None:
    """The judge's prices depend on the endpoint."""
    for path in loading.shipped():
        for said in idle_settings(loading.load(str(path)), rows=1000):
            assert said.startswith("evaluate.judge.max_cost"), (path.name, said)


def test_an_empty_system_message_is_refused_with_the_recipe() -> None:
    with pytest.raises(ValueError, match=r"leave data\.system out"):
        recipe(data={"source": "rows.jsonl", "system": " "})


SHAPES = {"blk.0.attn_v.weight": (576, 192), "blk.0.ffn_down.weight": (1536, 576), "blk.0.attn_norm.weight": (576,)}


def test_a_type_that_some_tensors_cannot_have_is_said() -> None:
    (said,) = refuse_idle_patterns({"attn_v|ffn_down": "Q6_K"}, SHAPES)
    assert "1 of 2 tensors" in said
    assert "blk.0.attn_v.weight has 576 columns, which blocks of 256 do not divide" in said
    assert refuse_idle_patterns({"attn_v": "Q8_0", "ffn_down": "Q6_K"}, SHAPES) == []


@pytest.mark.parametrize(
    ("tensors", "says"),
    [
        ({"attn_v": "Q6_K"}, "cannot be had as Q6_K"),
        ({"ffn_dwn": "Q6_K"}, "finds no tensor."),
        ({"attn_norm": "Q8_0"}, "finds no tensor."),
        ({"ffn": "Q6_K", "ffn_down": "Q8_0"}, "finds no tensor that none before it has found"),
    ],
)
def test_a_pattern_that_changes_nothing_is_refused(tensors: dict[str, str], says: str) -> None:
    with pytest.raises(InputError) as refused:
        refuse_idle_patterns(tensors, SHAPES)
    assert says in refused.value.message
