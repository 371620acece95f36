"""Stand-ins of the families that people bring: the real class, small and with random weights, and the real template.

`python -m tests.families granite FOLDER` writes one. Of the tokenizers Qwen3's, Llama's and Granite's are the real
ones; SmolLM3's and Phi-4-mini's are Llama 3's under their own names, Mistral's is Llama 2's, and Gemma 3's is made of
Gemma 4's, which has the same pieces. Weights are larger than usual: small random ones hardly heed positions.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.standins import (
    BYTE,
    CONTROL,
    LLAMA_31_NAMES,
    MODELS,
    NORMAL,
    UNKNOWN,
    Kind,
    Vocabulary,
    byte_level,
    llama3_tokenizer,
    merges_of,
    qwen_tokenizer,
    sentencepiece_model,
    write,
)

if TYPE_CHECKING:
    from tokenizers import Tokenizer

LOUD = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.12,
}
QWEN3_WORDS = ("<tool_response>", "</tool_response>", "<think>", "</think>")
SMOLLM3_NAMES = LLAMA_31_NAMES | {
    128002: "<think>", 128003: "</think>", 128011: "<|im_start|>", 128012: "<|im_end|>",
}  # fmt: skip
PHI4_NAMES = {
    128000: "<|startoftext|>", 128001: "<|endoftext|>", 128006: "<|user|>", 128007: "<|assistant|>",
    128008: "<|system|>", 128009: "<|end|>",
}  # fmt: skip
PHI4_TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% else %}{{ eos_token }}{% endif %}"
)
GEMMA3_TEMPLATE = (
    "{{ bos_token }}{% set opening = '' %}{% set turns = messages %}{% if messages[0]['role'] == 'system' %}"
    "{% set opening = messages[0]['content'] + '\n\n' %}{% set turns = messages[1:] %}{% endif %}"
    "{% for turn in turns %}{% if (turn['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}"
    "{{ '<start_of_turn>' + ('model' if turn['role'] == 'assistant' else turn['role']) + '\n' }}"
    "{{ (opening if loop.first else '') + turn['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
GRANITE_WORDS = ("<|start_of_role|>", "<|end_of_role|>", "<|tool_call|>", "<|start_of_cite|>", "<|end_of_cite|>",
                 "<|start_of_plugin|>", "<|end_of_plugin|>")  # fmt: skip
MISTRAL_WORDS = ("[INST]", "[/INST]", "[TOOL_CALLS]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]",
                 "[/TOOL_RESULTS]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[THINK]", "[/THINK]")  # fmt: skip


def vendored(name: str) -> Path:
    """A chat template of the vendored llama.cpp."""
    return MODELS / "templates" / f"{name}.jinja"


def _granite_tokenizer(vocabulary: Vocabulary, folder: Path) -> Tokenizer:
    from tokenizers import AddedToken, pre_tokenizers

    tokens = ["<|end_of_text|>", *vocabulary.tokens[1:]]
    tokenizer = byte_level(replace(vocabulary, tokens=tokens), len(tokens), r"\p{N}")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    known = [token for token, kind in zip(tokens, vocabulary.types, strict=True) if kind == CONTROL]
    added = [AddedToken(t, normalized=False, special=True) for t in (*known, *GRANITE_WORDS)]
    tokenizer.add_special_tokens(added)
    return tokenizer


def _mistral_tokenizer(vocabulary: Vocabulary, folder: Path) -> Tokenizer:
    types = [CONTROL if i in (1, 2) else UNKNOWN if i == 0 else kind for i, kind in enumerate(vocabulary.types)]
    tokenizer = _sentencepiece(vocabulary, types, folder, prefix=True, special=("<unk>", "<s>", "</s>"))
    from tokenizers import AddedToken, processors

    tokenizer.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in MISTRAL_WORDS])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B:1", special_tokens=[("<s>", 1)]
    )
    return tokenizer


def _gemma_tokenizer(vocabulary: Vocabulary, folder: Path) -> Tokenizer:
    from tokenizers import processors

    tokens = list(vocabulary.tokens)
    tokens[105], tokens[106] = "<start_of_turn>", "<end_of_turn>"
    ranks: dict[str, int] = {}
    for rank, merge in enumerate(vocabulary.merges):
        ranks.setdefault(merge.replace(" ", ""), rank)
    scores = [-float(ranks.get(token, len(vocabulary.merges))) for token in tokens]
    control = {0, 1, 2, 105, 106}
    types = [
        CONTROL if i in control else UNKNOWN if i == 3 else BYTE if kind == BYTE else NORMAL
        for i, kind in enumerate(vocabulary.types)
    ]
    pieces = replace(vocabulary, tokens=tokens, scores=scores, types=types)
    special = [tokens[i] for i in sorted({*control, 3})]
    tokenizer = _sentencepiece(pieces, types, folder, prefix=False, special=special)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", pair="<bos> $A <bos> $B:1", special_tokens=[("<bos>", 2)]
    )
    return tokenizer


def _sentencepiece(
    vocabulary: Vocabulary, types: Sequence[int], folder: Path, *, prefix: bool, special: Sequence[str]
) -> Tokenizer:
    """tokenizer.model, and the tokenizer that splits alike; `prefix`: text begins with a blank."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers

    pieces = list(zip(vocabulary.tokens, vocabulary.scores, types, strict=True))
    (folder / "tokenizer.model").write_bytes(sentencepiece_model(pieces))
    ids = {token: i for i, token in enumerate(vocabulary.tokens)}
    merges = merges_of(vocabulary, ids)
    tokenizer = Tokenizer(models.BPE(vocab=ids, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    blank = normalizers.Replace(" ", "▁")
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), blank]) if prefix else blank
    last = [decoders.Strip(" ", 1, 0)] if prefix else []
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), *last])
    tokenizer.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in special])
    return tokenizer


def _model(name: str, **settings: Any) -> Any:
    """A model of the class `name`ForCausalLM."""
    import transformers

    kind = getattr(transformers, f"{name}ForCausalLM")
    return kind(kind.config_class(**LOUD | {"num_hidden_layers": 2} | settings))


def _llama(template: str, factor: float, *, tied: bool) -> Kind:
    rope = {"rope_type": "llama3", "rope_theta": 500000.0, "factor": factor, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}  # fmt: skip
    return Kind(
        vocabulary="llama-bpe",
        tokenizer=llama3_tokenizer,
        tokenizer_config={
            "bos_token": "<|begin_of_text|>",
            "eos_token": "<|eot_id|>",
            "pad_token": "<|finetune_right_pad_id|>",
            "model_max_length": 131072,
            "tokenizer_class": "PreTrainedTokenizerFast",
        },
        template=vendored(template),
        model=functools.partial(
            _model, "Llama", vocab_size=128256, max_position_embeddings=131072, rms_norm_eps=1e-5,
            rope_parameters=rope, tie_word_embeddings=tied, bos_token_id=128000,
            eos_token_id=[128001, 128008, 128009],
        ),
        generation={"bos_token_id": 128000, "eos_token_id": [128001, 128008, 128009]},
    )  # fmt: skip


def _gemma(model: str, template: str | Path, **settings: Any) -> Kind:
    return Kind(
        vocabulary="gemma-4",
        tokenizer=_gemma_tokenizer,
        tokenizer_config={
            "add_bos_token": True,
            "add_eos_token": False,
            "bos_token": "<bos>",
            "eos_token": "<eos>",
            "pad_token": "<pad>",
            "unk_token": "<unk>",
            "tokenizer_class": "GemmaTokenizer",
        },
        template=template,
        model=functools.partial(
            _model, model, vocab_size=262144, head_dim=16, query_pre_attn_scalar=16, max_position_embeddings=32768,
            sliding_window=512, tie_word_embeddings=True, bos_token_id=2, eos_token_id=[1, 106], pad_token_id=0,
            **settings,
        ),
        generation={"bos_token_id": 2, "eos_token_id": [1, 106], "pad_token_id": 0},
    )  # fmt: skip


def _mistral(model: str, template: str, **settings: Any) -> Kind:
    return Kind(
        vocabulary="llama-spm",
        tokenizer=_mistral_tokenizer,
        tokenizer_config={
            "add_bos_token": True,
            "add_eos_token": False,
            "bos_token": "<s>",
            "eos_token": "</s>",
            "unk_token": "<unk>",
            "legacy": True,
            "tokenizer_class": "LlamaTokenizer",
        },
        template=vendored(template),
        model=functools.partial(
            _model, model, vocab_size=32768, head_dim=32, sliding_window=None, tie_word_embeddings=False,
            bos_token_id=1, eos_token_id=2, **settings,
        ),
        generation={"bos_token_id": 1, "eos_token_id": 2},
    )  # fmt: skip


FAMILIES = {
    "qwen3": Kind(
        vocabulary="qwen2",
        tokenizer=functools.partial(qwen_tokenizer, later=QWEN3_WORDS),
        tokenizer_config={
            "add_bos_token": False,
            "bos_token": None,
            "eos_token": "<|im_end|>",
            "pad_token": "<|endoftext|>",
            "model_max_length": 131072,
            "tokenizer_class": "Qwen2Tokenizer",
        },
        template=vendored("Qwen-Qwen3-0.6B"),
        model=functools.partial(
            _model, "Qwen3", vocab_size=151936, head_dim=32, max_position_embeddings=40960, rope_theta=1000000.0,
            max_window_layers=2, use_sliding_window=False, sliding_window=None, tie_word_embeddings=True,
            bos_token_id=151643, eos_token_id=151645,
        ),
        generation={"bos_token_id": 151643, "eos_token_id": [151645, 151643], "pad_token_id": 151643},
    ),
    "gemma3": _gemma(
        "Gemma3", GEMMA3_TEMPLATE, num_hidden_layers=6, layer_types=["sliding_attention"] * 5 + ["full_attention"]
    ),
    "gemma2": _gemma("Gemma2", vendored("google-gemma-2-2b-it")),
    "phi4": Kind(
        vocabulary="llama-bpe",
        tokenizer=functools.partial(llama3_tokenizer, own=PHI4_NAMES, bos=""),
        tokenizer_config={
            "add_bos_token": False,
            "bos_token": "<|endoftext|>",
            "eos_token": "<|endoftext|>",
            "pad_token": "<|endoftext|>",
            "tokenizer_class": "GPT2Tokenizer",
        },
        template=PHI4_TEMPLATE,
        model=functools.partial(
            _model, "Phi3", vocab_size=128256, max_position_embeddings=131072, sliding_window=262144,
            original_max_position_embeddings=4096, tie_word_embeddings=True, bos_token_id=128001,
            eos_token_id=128001, pad_token_id=128001,
            rope_parameters={
                "rope_type": "longrope", "rope_theta": 10000.0, "partial_rotary_factor": 0.75,
                "short_factor": [1.0] * 6, "long_factor": [1.0 + number for number in range(6)],
                "original_max_position_embeddings": 4096,
            },
        ),
        generation={"bos_token_id": 128001, "eos_token_id": [128009, 128001]},
    ),
    "llama32": _llama("meta-llama-Llama-3.2-3B-Instruct", 32.0, tied=True),
    "llama31": _llama("meta-llama-Llama-3.1-8B-Instruct", 8.0, tied=False),
    "llama33": _llama("meta-llama-Llama-3.3-70B-Instruct", 8.0, tied=False),
    "smollm3": Kind(
        vocabulary="llama-bpe",
        tokenizer=functools.partial(llama3_tokenizer, own=SMOLLM3_NAMES, bos=""),
        tokenizer_config={
            "bos_token": None,
            "eos_token": "<|im_end|>",
            "pad_token": "<|im_end|>",
            "model_max_length": 131072,
            "tokenizer_class": "PreTrainedTokenizerFast",
        },
        template=vendored("HuggingFaceTB-SmolLM3-3B"),
        model=functools.partial(
            _model, "SmolLM3", num_hidden_layers=4, no_rope_layers=[1, 1, 1, 0], vocab_size=128256,
            max_position_embeddings=65536, rope_theta=5000000.0, tie_word_embeddings=True, bos_token_id=128000,
            eos_token_id=128012, pad_token_id=128004,
        ),
        generation={"bos_token_id": 128000, "eos_token_id": 128012, "pad_token_id": 128004},
    ),
    "granite": Kind(
        vocabulary="starcoder",
        tokenizer=_granite_tokenizer,
        tokenizer_config={
            "add_bos_token": False,
            "add_prefix_space": False,
            "bos_token": "<|end_of_text|>",
            "eos_token": "<|end_of_text|>",
            "pad_token": "<|end_of_text|>",
            "tokenizer_class": "GPT2Tokenizer",
        },
        template=vendored("ibm-granite-granite-3.3-2B-Instruct"),
        model=functools.partial(
            _model, "Granite", vocab_size=49159, max_position_embeddings=131072, rope_theta=10000000.0,
            attention_multiplier=0.0625, embedding_multiplier=12.0, residual_multiplier=0.22, logits_scaling=8.0,
            tie_word_embeddings=True, bos_token_id=0, eos_token_id=0, pad_token_id=0,
        ),
        generation={"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0},
    ),
    "mistral": _mistral(
        "Mistral", "mistralai-Mistral-Nemo-Instruct-2407", max_position_embeddings=32768, rope_theta=1000000.0
    ),
    "ministral3": _mistral(
        "Ministral3", "mistralai-Ministral-3-14B-Reasoning-2512", max_position_embeddings=262144,
        rope_parameters={
            "rope_type": "yarn", "rope_theta": 1000000.0, "factor": 16.0, "original_max_position_embeddings": 16384,
            "beta_fast": 32.0, "beta_slow": 1.0, "mscale": 1.0, "mscale_all_dim": 1.0, "llama_4_scaling_beta": 0.1,
        },
    ),
}  # fmt: skip


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in FAMILIES:
        sys.exit(f"usage: python -m tests.families {'|'.join(FAMILIES)} FOLDER")
    print(write(FAMILIES[sys.argv[1]], Path(sys.argv[2])))
