"""Weights against config.json: what transformers saves is accepted, and every way to damage it is named."""

from __future__ import annotations

from typing import Any

import pytest

from packager.checkpoint.layer_tensors import LAYERS
from packager.checkpoint.layout import Shapes, layout_problems

SMALL = {
    "vocab_size": 96, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "pad_token_id": 0,
}  # fmt: skip


def saved(model_type: str, **settings: Any) -> tuple[dict[str, Any], Shapes]:
    """What transformers writes for a small model of this type: its config.json and the shapes of its tensors."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(model_type, **SMALL | settings)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    return config.to_dict(), shapes


@pytest.fixture(scope="module")
def llama() -> tuple[dict[str, Any], Shapes]:
    return saved("llama")


@pytest.mark.parametrize("model_type", LAYERS)
def test_what_transformers_saves_is_accepted(model_type: str) -> None:
    config, shapes = saved(model_type)
    assert layout_problems(config, shapes) == []
    said = {k: config[k] for k in (*SMALL, "model_type")}  # the rest is what the class means by itself
    assert layout_problems(said, shapes) == []


@pytest.mark.parametrize(
    ("model_type", "settings"),
    [
        ("llama", {"attention_bias": True, "mlp_bias": True}),
        ("llama", {"head_dim": 24}),
        ("qwen3", {"attention_bias": True}),
        ("smollm3", {"attention_bias": True, "mlp_bias": True, "no_rope_layers": [1, 1, 0]}),
        ("gemma3_text", {"layer_types": ["sliding_attention", "sliding_attention", "full_attention"]}),
        ("phi3", {"num_key_value_heads": 4}),
        ("starcoder2", {}),
        ("olmo2", {}),
        ("stablelm", {}),
        ("gpt_neox", {}),
        ("cohere", {}),
        ("glm4", {"head_dim": 8}),
        ("granitemoehybrid", {"num_local_experts": 0, "layer_types": ["attention"] * 3, "mamba_n_heads": 4}),
    ],
)
def test_other_settings_and_families_are_accepted(model_type: str, settings: dict[str, Any]) -> None:
    assert layout_problems(*saved(model_type, **settings)) == []


def test_what_older_checkpoints_keep_does_no_harm(llama: tuple[dict[str, Any], Shapes]) -> None:
    config, shapes = llama
    kept = {f"model.layers.{i}.self_attn.rotary_emb.inv_freq": (4,) for i in range(3)}
    assert layout_problems(config, {**shapes, **kept}) == []


def without(shapes: Shapes, *ends: str) -> Shapes:
    return {name: shape for name, shape in shapes.items() if not name.endswith(ends)}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"num_hidden_layers": 4}, "num_hidden_layers is 4, but layer 3 is missing"),
        ({"num_hidden_layers": 6}, "layer 3 to 5 (3 of them) is missing"),
        ({"num_hidden_layers": 2}, "the weights hold layer 2 as well"),
        ({"hidden_size": 64}, "another size than config.json says"),
        ({"intermediate_size": 64}, "gate_proj.weight is [48, 32], not [64, 32]"),
        ({"num_key_value_heads": 4}, "k_proj.weight is [16, 32], not [32, 32]"),
        ({"head_dim": 16}, "q_proj.weight is [32, 32], not [64, 32]"),
        ({"vocab_size": 100}, "embed_tokens.weight has 96 rows, but config.json says vocab_size: 100"),
        ({"attention_bias": True}, "lack what a llama model is made of: model.layers.0.self_attn.k_proj.bias"),
        ({"model_type": "qwen3"}, "q_norm.weight"),
        ({"num_hidden_layers": "3"}, "num_hidden_layers is '3'. Whole numbers were expected"),
        ({"hidden_size": -1}, "hidden_size is -1"),
        ({"vocab_size": None}, "vocab_size is None"),
    ],
)
def test_a_config_of_another_model_is_refused(
    llama: tuple[dict[str, Any], Shapes], settings: dict[str, Any], words: str
) -> None:
    problems = layout_problems(llama[0] | settings, llama[1])
    assert any(words in problem.message for problem in problems), [p.message for p in problems]
    assert all(problem.fix for problem in problems)


@pytest.mark.parametrize(
    "ends",
    [
        ("layers.1.mlp.down_proj.weight",),
        ("input_layernorm.weight",),  # in no layer at all
        ("model.norm.weight",),
        ("embed_tokens.weight",),
        ("layers.2.self_attn.q_proj.weight", "layers.0.self_attn.q_proj.weight"),
    ],
)
def test_a_missing_tensor_is_named(llama: tuple[dict[str, Any], Shapes], ends: tuple[str, ...]) -> None:
    (problem,) = layout_problems(llama[0], without(llama[1], *ends))
    assert ends[-1] in problem.message


def test_weights_of_a_class_that_is_not_named_are_too_many() -> None:
    """A Qwen2 called a Llama: transformers would leave its biases out and say nothing."""
    config, shapes = saved("qwen2")
    (problem,) = layout_problems(config | {"model_type": "llama", "attention_bias": False}, shapes)
    assert "hold what a llama model does not use" in problem.message
    assert "q_proj.bias" in problem.message
    assert "6 more" in problem.message


def test_names_of_a_body_alone_are_refused(llama: tuple[dict[str, Any], Shapes]) -> None:
    bare = {name.removeprefix("model."): shape for name, shape in llama[1].items()}
    assert "model.layers.0" in layout_problems(llama[0], bare)[0].message


def test_layers_of_an_unknown_family_must_be_alike() -> None:
    config, shapes = saved("starcoder2")
    one = next(name for name in shapes if "layers.1" in name and name.endswith("c_fc.weight"))
    (problem,) = layout_problems(config, without(shapes, one))
    assert f"{one} (missing)" in problem.message
    (problem,) = layout_problems(config, {**shapes, one: (7, 32)})
    assert f"{one} ([7, 32], not [48, 32])" in problem.message
    (problem,) = layout_problems(config, {**shapes, "model.layers.1.extra.weight": (7,)})
    assert "extra.weight (in this layer only)" in problem.message
    (problem,) = layout_problems(config, without(shapes, "embed_tokens.weight"))
    assert "no embedding" in problem.message
