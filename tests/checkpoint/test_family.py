"""Which classes the line takes; and the tables of transformers that say so, read without importing it."""

from __future__ import annotations

import re
from typing import Any

import pytest

from packager.checkpoint import transformers_tables as tables
from packager.checkpoint.family import family_problem
from packager.checkpoint.reach import WINDOWED
from packager.llamacpp.vendored import VENDOR

TAKEN = [
    ("LlamaForCausalLM", "llama"), ("LLaMAForCausalLM", "llama"), ("MistralForCausalLM", "mistral"),
    ("Qwen2ForCausalLM", "qwen2"), ("Qwen3ForCausalLM", "qwen3"), ("Phi3ForCausalLM", "phi3"),
    ("GemmaForCausalLM", "gemma"), ("Gemma2ForCausalLM", "gemma2"), ("Gemma3ForCausalLM", "gemma3_text"),
    ("SmolLM3ForCausalLM", "smollm3"), ("GraniteForCausalLM", "granite"), ("Olmo2ForCausalLM", "olmo2"),
    ("Ministral3ForCausalLM", "ministral3"), ("StableLmForCausalLM", "stablelm"), ("Glm4ForCausalLM", "glm4"),
]  # fmt: skip
REFUSED = [
    ("BertModel", "bert", {}, "an encoder, which"),
    ("BertForMaskedLM", "bert", {}, "an encoder, which"),
    ("RobertaModel", "roberta", {}, "an encoder, which"),
    ("ModernBertForMaskedLM", "modernbert", {}, "an encoder, which"),
    ("T5ForConditionalGeneration", "t5", {}, "an encoder with a decoder"),
    ("MT5ForConditionalGeneration", "mt5", {}, "an encoder with a decoder"),
    ("BartForConditionalGeneration", "bart", {}, "an encoder with a decoder"),
    ("UnheardOfModel", "unheard", {"is_encoder_decoder": True}, "an encoder with a decoder"),
    ("WhisperForConditionalGeneration", "whisper", {}, "a model of speech"),
    ("Gemma3ForConditionalGeneration", "gemma3", {}, "pictures and text (its config.json lacks vision_config"),
    (
        "Gemma3ForConditionalGeneration", "gemma3",
        {"text_config": {"model_type": "gemma9_text"}, "vision_config": {"b": 1}}, "model_type 'gemma9_text', which is",
    ),
    ("Gemma3ForConditionalGeneration", "gemma3", {"text_config": {"a": 1}, "vision_config": {"b": 1}}, "put together"),
    ("Gemma3nForConditionalGeneration", "gemma3n", {}, "pictures and text"),
    ("Qwen2VLForConditionalGeneration", "qwen2_vl", {}, "pictures and text"),
    ("Qwen2_5_VLForConditionalGeneration", "qwen2_5_vl", {}, "pictures and text"),
    ("Qwen3VLForConditionalGeneration", "qwen3_vl", {}, "pictures and text"),
    ("Qwen3_5ForConditionalGeneration", "qwen3_5", {}, "pictures and text (the text part has layers that carry"),
    ("Mistral3ForConditionalGeneration", "mistral3", {}, "pictures and text"),
    ("LlavaForConditionalGeneration", "llava", {}, "pictures and text"),
    ("MixtralForCausalLM", "mixtral", {"num_local_experts": 8}, "mixture of experts (num_local_experts: 8)"),
    ("Qwen3MoeForCausalLM", "qwen3_moe", {"num_experts": 128}, "mixture of experts"),
    ("GptOssForCausalLM", "gpt_oss", {"num_local_experts": 32}, "mixture of experts"),
    ("DeepseekV3ForCausalLM", "deepseek_v3", {"n_routed_experts": 256}, "mixture of experts"),
    ("GraniteMoeHybridForCausalLM", "granitemoehybrid", {"num_local_experts": 64}, "mixture of experts"),
    (
        "GraniteMoeHybridForCausalLM", "granitemoehybrid",
        {"num_local_experts": 0, "layer_types": ["mamba", "attention"]}, "no attention (mamba)",
    ),
    ("MambaForCausalLM", "mamba", {}, "no attention (mamba)"),
    ("FalconMambaForCausalLM", "falcon_mamba", {}, "no attention"),
    ("JambaForCausalLM", "jamba", {}, "no attention"),
    ("FalconH1ForCausalLM", "falcon_h1", {}, "no attention"),
    ("Lfm2ForCausalLM", "lfm2", {"layer_types": ["conv", "full_attention"]}, "no attention (conv)"),
    ("Qwen3NextForCausalLM", "qwen3_next", {"layer_types": ["linear_attention"]}, "no attention (linear_attention)"),
    ("GPT2LMHeadModel", "gpt2", {}, "in an order that the merge does not know"),
    ("TelepathyForCausalLM", "telepathy", {}, "which the GGUF converter does not know"),
    ("LlamaForCausalLM", "qwen2", {}, "for its model_type, 'qwen2', transformers loads a Qwen2ForCausalLM"),
    ("LlamaForCausalLM", "", {}, "knows none that writes text"),
    ("LlamaModel", "llama", {}, "loads a LlamaForCausalLM"),
]  # fmt: skip


def config(architecture: str, model_type: str, **more: Any) -> dict[str, Any]:
    return {"architectures": [architecture], "model_type": model_type, **more}


@pytest.mark.parametrize(("architecture", "model_type"), TAKEN)
def test_decoders_of_text_are_taken(vendored: object, architecture: str, model_type: str) -> None:
    layers = {"layer_types": ["full_attention", "sliding_attention"], "num_hidden_layers": 2}
    for more in ({}, layers, {"layer_types": None}, {"text_config": None}):
        assert family_problem(config(architecture, model_type, **more), ["model.layers.0.mlp.up_proj"], "x") is None


@pytest.mark.parametrize(("architecture", "model_type", "more", "words"), REFUSED)
def test_other_classes_are_refused_in_words(
    vendored: object, architecture: str, model_type: str, more: dict[str, Any], words: str
) -> None:
    problem = family_problem(config(architecture, model_type, **more), (), "org/base")
    assert problem
    assert words in problem.message
    assert problem.fix


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("model.layers.0.mlp.experts.3.up_proj.weight", "mixture of experts"),
        ("model.layers.1.block_sparse_moe.gate.weight", "mixture of experts"),
        ("model.layers.1.mamba.A_log", "no attention"),
        ("model.layers.1.linear_attn.conv1d.weight", "no attention"),
        ("vision_tower.encoder.layers.0.norm.weight", "put together from several models"),
        ("model.visual.patch_embed.proj.weight", "put together from several models"),
    ],
)
def test_a_class_that_config_json_hides_is_seen_by_its_weights(vendored: object, name: str, words: str) -> None:
    problem = family_problem(config("LlamaForCausalLM", "llama"), [name], "x")
    assert problem
    assert words in problem.message
    assert name in problem.message


@pytest.mark.parametrize("listed", [None, [], "LlamaForCausalLM", [3], {}])
def test_a_config_that_names_no_class_is_refused(listed: object) -> None:
    problem = family_problem({"architectures": listed, "model_type": "llama"}, (), "x")
    assert problem
    assert "names no model class" in problem.message


def test_the_tables_are_those_of_transformers() -> None:
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as CAUSAL

    assert all(tables.causal_class(model_type) == name for model_type, name in CAUSAL.items())
    fields = ("tie_word_embeddings", "sliding_window", "use_sliding_window", "head_dim", "max_window_layers")
    for _, model_type in TAKEN:
        made = AutoConfig.for_model(model_type)
        for field in ("tie_word_embeddings", "hidden_size", "num_hidden_layers", "vocab_size"):
            assert tables.default(model_type, field) == getattr(made, field), (model_type, field)
        assert all(tables.default(model_type, f) is None or hasattr(made, f) for f in fields)
    assert tables.is_native("gemma3_text")
    assert not tables.is_native("../phi3")
    assert not tables.is_native("")


def test_the_windows_are_those_of_llama_cpp(vendored: object) -> None:
    """Whose window is kept: the model's file sets swa_type; Phi-3's, Qwen's and Llama's do not."""
    files = (VENDOR / "llama.cpp" / "src" / "models").glob("*.cpp")
    keep = {path.stem for path in files if re.search(r"swa_type\s*=\s*LLAMA_SWA_TYPE_STANDARD", path.read_text())}
    assert {"gemma2", "gemma3", "cohere2", "olmo2", "exaone4"} <= keep
    assert not {"phi3", "qwen2", "qwen3", "llama", "starcoder2", "mistral3"} & keep
    stems = {name.removesuffix("ForCausalLM").lower() for name in WINDOWED}
    assert {stem.replace("olmo3", "olmo2").replace("graniteswa", "granite-swa") for stem in stems} <= keep
