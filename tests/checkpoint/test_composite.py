"""A model of pictures and text: its text part predicts the same as a model of its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from composites import KINDS, write_composite

from packager.checkpoint import composite, weights
from packager.checkpoint.locate import inspect_base
from packager.checkpoint.unpack import take_text
from packager.errors import InputError
from packager.prompt.template import load_template
from packager.recipe.sections import Base


@pytest.mark.parametrize("name", KINDS)
def test_the_text_part_predicts_as_the_whole(name: str, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    whole = write_composite(name, tmp_path)
    found, problems = inspect_base(Base(model=str(tmp_path)))
    assert [problem.message for problem in problems] == []
    out = tmp_path / "text"
    out.mkdir()
    take_text(tmp_path, out)
    part, info = AutoModelForCausalLM.from_pretrained(out, output_loading_info=True, dtype=torch.float32)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert type(part).__name__ == found.architecture
    written = sum(tensor.elements for tensor in weights.checkpoint(out).values())
    assert written == found.parameters
    assert f"{sum(p.numel() for p in whole.parameters()) - written:,} parameters" in found.left_out
    ids = torch.randint(5, 352, (2, 40), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.allclose(part(input_ids=ids).logits, whole(input_ids=ids).logits, atol=1e-5)


def test_a_configuration_as_the_hub_has_it(tmp_path: Path) -> None:
    """Gemma 3's is sparse and Qwen2.5-VL's has no text_config; both are in names that are older than transformers 5."""
    from transformers import CONFIG_MAPPING

    gemma = {
        "architectures": ["Gemma3ForConditionalGeneration"], "model_type": "gemma3", "eos_token_id": [1, 106],
        "text_config": {"hidden_size": 2560, "intermediate_size": 10240, "model_type": "gemma3_text",
                        "num_hidden_layers": 34, "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
                        "sliding_window": 1024},
        "torch_dtype": "bfloat16", "vision_config": {"hidden_size": 1152},
    }  # fmt: skip
    text = composite.text_config(gemma)
    assert text
    assert (text["architectures"], text["eos_token_id"]) == (["Gemma3ForCausalLM"], [1, 106])
    made = CONFIG_MAPPING["gemma3_text"](**text)
    assert made.rope_parameters["full_attention"] == {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6}
    qwen = {
        "architectures": ["Qwen2_5_VLForConditionalGeneration"], "model_type": "qwen2_5_vl", "hidden_size": 2048,
        "rope_theta": 1e6, "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]}, "image_token_id": 151655,
        "tie_word_embeddings": True, "vision_config": {"depth": 32}, "vision_start_token_id": 151652,
    }  # fmt: skip
    text = composite.text_config(qwen)
    assert text == {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_size": 2048,
                    "rope_theta": 1e6, "rope_scaling": None, "tie_word_embeddings": True}  # fmt: skip


def test_what_belongs_nowhere_is_not_left_out_in_silence(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    write_composite("gemma3", tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    save_file(tensors | {"sound_tower.weight": tensors["language_model.model.norm.weight"].clone()},
              tmp_path / "model.safetensors")  # fmt: skip
    _, problems = inspect_base(Base(model=str(tmp_path)))
    assert [problem.message for problem in problems] == [
        "The weights hold sound_tower.weight, which belongs neither to the text part of this model nor to its part"
        " for pictures."
    ]


def test_a_broken_text_part_is_found_as_in_a_model_of_its_own(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    write_composite("gemma3", tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["language_model.model.layers.2.mlp.up_proj.weight"]
    save_file(tensors, tmp_path / "model.safetensors")
    (problem,) = inspect_base(Base(model=str(tmp_path)))[1]
    assert "model.layers.2.mlp.up_proj.weight" in problem.message


@pytest.mark.parametrize(
    ("kind", "architecture", "why"),
    [
        ("paligemma", "PaliGemmaForConditionalGeneration", "looks both ways"),
        ("mllama", "MllamaForConditionalGeneration", "cross attention"),
        ("qwen3_vl_moe", "Qwen3VLMoeForConditionalGeneration", "mixture of experts"),
        ("gemma3n", "Gemma3nForConditionalGeneration", "a table for every layer"),
        ("aya_vision", "AyaVisionForConditionalGeneration", "vision_config, text_config"),
    ],
)
def test_others_are_refused_with_the_reason(kind: str, architecture: str, why: str, tmp_path: Path) -> None:
    write_composite("llava", tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(
        json.dumps(config | {"model_type": kind, "architectures": [architecture]}), encoding="utf-8"
    )
    with pytest.raises(InputError) as caught:
        inspect_base(Base(model=str(tmp_path)))
    assert why in caught.value.message
    assert "gemma3" in caught.value.fix


def test_a_template_that_its_processor_brings(tmp_path: Path) -> None:
    write_composite("llava", tmp_path)
    source = (tmp_path / "chat_template.jinja").read_text(encoding="utf-8")
    (tmp_path / "chat_template.jinja").unlink()
    assert not inspect_base(Base(model=str(tmp_path)))[0].has_template
    (tmp_path / "chat_template.json").write_text(json.dumps({"chat_template": source}), encoding="utf-8")
    assert inspect_base(Base(model=str(tmp_path)))[0].has_template
    out = tmp_path / "text"
    out.mkdir()
    take_text(tmp_path, out)
    assert load_template(out).source == source
