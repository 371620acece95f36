"""How far a base reaches, and rotary settings in old and new forms."""

from __future__ import annotations

from typing import Any

import pytest

from packager.checkpoint.reach import limits, rope_problems, rope_type, rotary_problems, window_problems

PHI3 = {"model_type": "phi3", "max_position_embeddings": 4096, "sliding_window": 2047, "num_hidden_layers": 2}
FACTORS = {"short_factor": [1.0, 1.1], "long_factor": [1.0, 3.0]}
LONG = {
    "model_type": "phi3", "max_position_embeddings": 131072, "original_max_position_embeddings": 4096,
    "sliding_window": 262144,
}  # fmt: skip


@pytest.mark.parametrize(
    ("architecture", "config", "tokens"),
    [
        ("Phi3ForCausalLM", PHI3, [2048, 4096]),
        ("Phi3ForCausalLM", PHI3 | {"sliding_window": None}, [4096]),
        ("MistralForCausalLM", {"model_type": "mistral", "max_position_embeddings": 32768}, [4097, 32768]),
        ("MistralForCausalLM", {"model_type": "mistral", "sliding_window": None}, []),
        ("Qwen2ForCausalLM", {"model_type": "qwen2", "sliding_window": 4096, "use_sliding_window": False}, []),
        ("Qwen2ForCausalLM", {"model_type": "qwen2", "sliding_window": 4096}, []),
        (
            "Qwen2ForCausalLM",
            {"model_type": "qwen2", "sliding_window": 4096, "use_sliding_window": True, "max_window_layers": 1,
             "num_hidden_layers": 2},
            [4097],
        ),
        (
            "Qwen2ForCausalLM",
            {"model_type": "qwen2", "sliding_window": 4096, "use_sliding_window": True, "max_window_layers": 2,
             "num_hidden_layers": 2},
            [],
        ),
        (
            "Qwen3ForCausalLM",
            {"model_type": "qwen3", "sliding_window": 4096, "use_sliding_window": True,
             "layer_types": ["full_attention"] * 2},
            [],
        ),
        ("Gemma3ForCausalLM", {"model_type": "gemma3_text", "sliding_window": 512}, []),
        ("Gemma2ForCausalLM", {"model_type": "gemma2"}, []),
        ("Phi3ForCausalLM", LONG | {"rope_scaling": {"type": "longrope", **FACTORS}}, [4096, 131072, 262145]),
        ("Phi3ForCausalLM", LONG | {"rope_scaling": {"type": "su", **FACTORS}}, [4096, 131072, 262145]),
        (
            "Phi3ForCausalLM",
            {"model_type": "phi3", "max_position_embeddings": 131072,
             "rope_parameters": {"rope_type": "longrope", "original_max_position_embeddings": 8192, **FACTORS}},
            [8192, 131072],
        ),
        (
            "LlamaForCausalLM",
            {"model_type": "llama", "max_position_embeddings": 8192,
             "rope_scaling": {"type": "dynamic", "factor": 2.0, "original_max_position_embeddings": 2048}},
            [2048, 8192],
        ),
        ("LlamaForCausalLM", {"model_type": "llama", "rope_scaling": {"type": "yarn", "factor": 4.0}}, []),
    ],
)  # fmt: skip
def test_the_shortest_limit_comes_first(architecture: str, config: dict[str, Any], tokens: list[int]) -> None:
    assert [limit.tokens for limit in limits(config, architecture)] == tokens


WITHIN, ALL = "sliding_attention", "full_attention"


@pytest.mark.parametrize(
    ("architecture", "types", "wrong"),
    [
        ("Gemma3ForCausalLM", [*[WITHIN] * 5, ALL, WITHIN, WITHIN], ""),
        ("Gemma3ForCausalLM", [WITHIN, WITHIN, ALL], "layer 2 is full_attention"),
        ("Gemma3ForCausalLM", [WITHIN] * 6, "layer 5 is sliding_attention"),
        ("Gemma2ForCausalLM", [WITHIN, ALL, WITHIN, ALL], ""),
        ("Gemma2ForCausalLM", [ALL, WITHIN], "layer 0 is full_attention"),
        ("Qwen3ForCausalLM", [ALL, WITHIN], ""),
    ],
)
def test_windows_that_llama_cpp_has_in_other_layers(architecture: str, types: list[str], wrong: str) -> None:
    problems = [problem.message for problem in window_problems({"layer_types": types}, architecture)]
    assert len(problems) == bool(wrong)
    assert all(wrong in problem for problem in problems)


@pytest.mark.parametrize(
    "config",
    [
        {"rope_theta": 1e4, "rope_scaling": None, "torch_dtype": "bfloat16"},
        {"rope_theta": 1e4, "rope_scaling": {"type": "linear", "factor": 2.0}},
        {"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}},
        {"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}, "rope_theta": 1e6, "dtype": "float16"},
        {"rope_scaling": {"rope_type": "llama3", "factor": 8.0}, "rope_theta": 5e5},
        {"rope_scaling": {"type": "yarn", "rope_type": "yarn", "factor": 4.0}},
        {},
    ],
)
def test_old_and_new_forms_are_read(vendored: object, config: dict[str, Any]) -> None:
    assert list(rope_problems({"model_type": "llama", **config}, "LlamaForCausalLM")) == []


def test_the_two_rotary_embeddings_of_gemma_3_are_read(vendored: object) -> None:
    both = {"full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
            "sliding_attention": {"rope_type": "default", "rope_theta": 1e4}}  # fmt: skip
    config = {"model_type": "gemma3_text", "rope_parameters": both}
    assert rope_type(config) == "linear"
    assert list(rope_problems(config, "Gemma3ForCausalLM")) == []


@pytest.mark.parametrize(
    ("architecture", "config", "words"),
    [
        ("LlamaForCausalLM", {"rope_theta": 1e4, "rope_parameters": {"rope_theta": 1e6}}, "gives rope_theta twice"),
        (
            "LlamaForCausalLM",
            {
                "rope_scaling": {"type": "linear", "factor": 2.0},
                "rope_parameters": {"rope_type": "yarn", "factor": 4.0},
            },
            "gives factor, rope_type twice",
        ),
        ("LlamaForCausalLM", {"rope_scaling": {"type": "proportional"}}, "'proportional', which llama.cpp's"),
        ("LlamaForCausalLM", {"rope_scaling": "linear"}, "rope_scaling is 'linear'"),
        ("LlamaForCausalLM", {"rope_scaling": {"type": "longrope", **FACTORS}}, "does not write for a Llama"),
        ("Qwen2ForCausalLM", {"rope_scaling": {"type": "llama3", "factor": 8.0}}, "does not write for a Qwen2"),
        ("Phi3ForCausalLM", {"model_type": "phi3", "rope_scaling": {"type": "longrope"}}, "two lists of one length"),
        (
            "Phi3ForCausalLM",
            {"model_type": "phi3", "rope_scaling": {"type": "su", "short_factor": [1.0], "long_factor": [1.0, 2.0]}},
            "two lists of one length",
        ),
    ],
)
def test_what_cannot_be_served_is_refused(
    vendored: object, architecture: str, config: dict[str, Any], words: str
) -> None:
    problems = list(rope_problems({"model_type": "llama", **config}, architecture))
    assert any(words in problem.message for problem in problems), problems
    assert all(problem.fix for problem in problems)


@pytest.mark.parametrize(
    ("layers", "said"),
    [([1, 1, 1, 0, 1, 1, 1, 0], ""), ([1, 1, 0, 1], "layer 2 lacks"), ([1, 1, 1, 1], "layer 3 has"), (None, "")],
)
def test_layers_without_rotary_embedding_are_where_llama_cpp_has_them(layers: list[int] | None, said: str) -> None:
    config = {"no_rope_layers": layers}
    problems = [problem.message for problem in rotary_problems(config, "SmolLM3ForCausalLM")]
    assert len(problems) == bool(said)
    assert said in "".join(problems)
    assert not list(rotary_problems({"no_rope_layers": [1, 0]}, "LlamaForCausalLM"))
