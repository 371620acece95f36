"""Stand-ins: models of 2 layers and random weights that are in all else like the real ones.

`python -m tests.standins phi3 FOLDER` writes a checkpoint folder of the Phi-3, Qwen2.5 or Llama 3.1
architecture: the real vocabulary (from llama.cpp's vendored files), special tokens, chat template and
config, and weights of hidden size 64. What the base, data, merge, convert and Modelfile stages do with
a real base they do with its stand-in; only what the model says is noise. Needs `make setup`, and takes
seconds.
"""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenizers import AddedToken, Tokenizer

MODELS = Path(__file__).resolve().parents[1] / "vendor" / "llama.cpp" / "models"
NORMAL, UNKNOWN, CONTROL, UNUSED, BYTE = 1, 2, 3, 5, 6
"""Types of tokens, in SentencePiece models and in GGUF files."""
TEXT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|DIGITS| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
PHI3_TEMPLATE = (
    "{% for message in messages %}{% if message['role'] == 'system' %}"
    "{{'<|system|>\n' + message['content'] + '<|end|>\n'}}{% elif message['role'] == 'user' %}"
    "{{'<|user|>\n' + message['content'] + '<|end|>\n'}}{% elif message['role'] == 'assistant' %}"
    "{{'<|assistant|>\n' + message['content'] + '<|end|>\n'}}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"
)
QWEN_ADDED = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>",
    "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
    "<|image_pad|>", "<|video_pad|>",
)  # fmt: skip
QWEN_ADDED_WORDS = (
    "<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>",
    "<|repo_name|>", "<|file_sep|>",
)  # fmt: skip
LLAMA_31_NAMES = {128004: "<|finetune_right_pad_id|>", 128008: "<|eom_id|>", 128010: "<|python_tag|>"}
"""What Llama 3.1 calls three of the tokens that Llama 3, whose vocabulary is vendored, reserved."""
PHI3_CODE = {"AutoConfig": "configuration_phi3.Phi3Config", "AutoModelForCausalLM": "modeling_phi3.Phi3ForCausalLM"}


@dataclass(frozen=True)
class Vocabulary:
    """What a vendored vocabulary file holds."""

    tokens: Sequence[str]
    types: Sequence[int]
    scores: Sequence[float]
    merges: Sequence[str]


@dataclass(frozen=True)
class Kind:
    """How one architecture's stand-in is made."""

    vocabulary: str
    tokenizer: Callable[[Vocabulary, Path], Tokenizer]
    tokenizer_config: dict[str, Any]
    template: str | Path | None
    model: Callable[[], Any]
    generation: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    """What the real config.json holds beside what transformers writes."""


def make(architecture: str, folder: Path) -> Path:
    """Write the stand-in of phi3, qwen2 or llama3 into `folder` and return it.

    Raises `KeyError` for another architecture and `FileNotFoundError` where `make setup` has not run.
    """
    return write(KINDS[architecture], folder)


def write(kind: Kind, folder: Path) -> Path:
    """Write a stand-in of this kind into `folder` and return it."""
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = kind.tokenizer(vocabulary(MODELS / f"ggml-vocab-{kind.vocabulary}.gguf"), folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = dict(kind.tokenizer_config)
    template = kind.template.read_text(encoding="utf-8") if isinstance(kind.template, Path) else kind.template
    if template:
        settings["chat_template"] = template
    added = tokenizer.get_added_tokens_decoder()
    settings["added_tokens_decoder"] = {str(i): _described(token) for i, token in sorted(added.items())}
    _write(folder / "tokenizer_config.json", settings)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = kind.model()
        for name, parameter in model.named_parameters():
            if name.endswith(".bias"):  # Qwen2's, which start at 0; real ones are not
                torch.nn.init.normal_(parameter, std=0.02)
    model.to(torch.bfloat16).save_pretrained(folder)
    _write(folder / "config.json", json.loads((folder / "config.json").read_text("utf-8")) | kind.config)
    _write(folder / "generation_config.json", kind.generation)
    return folder


def vocabulary(path: Path) -> Vocabulary:
    """The arrays of a GGUF file's metadata. (gguf's own reader takes 15 s for 280,000 merges.)"""
    data, fields = path.read_bytes(), {}
    at = 24  # after the magic, the version, and the numbers of tensors and of fields

    def scalar(form: str) -> Any:
        nonlocal at
        (value,) = struct.unpack_from(f"<{form}", data, at)
        at += struct.calcsize(form)
        return value

    def value(kind: int) -> Any:
        nonlocal at
        if kind == 8:
            size = scalar("Q")
            at += size
            return data[at - size : at].decode("utf-8", "replace")
        if kind == 9:
            inner, count = scalar("I"), scalar("Q")
            return [value(inner) for _ in range(count)]
        return scalar("BbHhIif?--Qqd"[kind])

    for _ in range(struct.unpack_from("<Q", data, 16)[0]):
        name = value(8)
        fields[name.removeprefix("tokenizer.ggml.")] = value(scalar("I"))
    return Vocabulary(fields["tokens"], fields["token_type"], fields.get("scores", ()), fields.get("merges", ()))


def _phi3(vocabulary: Vocabulary, folder: Path) -> Tokenizer:
    """Phi-3's tokenizer: Llama's SentencePiece model, and added tokens that swallow white space after them."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors

    pieces = 32000
    types = [CONTROL if i in (1, 2) else UNKNOWN if i == 0 else kind for i, kind in enumerate(vocabulary.types)]
    (folder / "tokenizer.model").write_bytes(
        sentencepiece_model(list(zip(vocabulary.tokens, vocabulary.scores, types, strict=True))[:pieces])
    )
    ids = {token: i for i, token in enumerate(vocabulary.tokens[:pieces])}
    tokenizer = Tokenizer(
        models.BPE(vocab=ids, merges=merges_of(vocabulary, ids), unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    )
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in ("<unk>", "<s>")])
    tokenizer.add_tokens([AddedToken("</s>", normalized=False, rstrip=True)])
    named = vocabulary.tokens[pieces : vocabulary.tokens.index("<|user|>") + 1]
    tokenizer.add_special_tokens(
        [AddedToken(t, normalized=False, special=True, rstrip=t != "<|endoftext|>") for t in named]
    )
    _write(folder / "added_tokens.json", {token: tokenizer.token_to_id(token) for token in named})
    tokenizer.post_processor = processors.TemplateProcessing(single="$A", pair="$A $B", special_tokens=[])
    return tokenizer


def merges_of(vocabulary: Vocabulary, ids: dict[str, int]) -> list[tuple[str, str]]:
    """The merges that a SentencePiece BPE vocabulary stands for, best first."""
    found = []
    for piece, number in ids.items():
        if vocabulary.types[number] != NORMAL:
            continue
        splits = [(piece[:cut], piece[cut:]) for cut in range(1, len(piece))]
        known = sorted((ids[a], ids[b]) for a, b in splits if a in ids and b in ids)
        found += [(-vocabulary.scores[number], a, b) for a, b in known]
    found.sort(key=lambda merge: merge[0])
    return [(vocabulary.tokens[a], vocabulary.tokens[b]) for _, a, b in found]


def qwen_tokenizer(vocabulary: Vocabulary, folder: Path, later: Sequence[str] = ()) -> Tokenizer:
    """Qwen2.5's, and the words that were added `later`."""
    from tokenizers import AddedToken, normalizers

    base = vocabulary.tokens.index("<|endoftext|>")
    tokenizer = byte_level(vocabulary, base, r"\p{N}")
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in QWEN_ADDED])
    tokenizer.add_tokens([AddedToken(t, normalized=False) for t in (*QWEN_ADDED_WORDS, *later)])
    return tokenizer


def llama3_tokenizer(
    vocabulary: Vocabulary, folder: Path, own: Mapping[int, str] = LLAMA_31_NAMES, bos: str = "<|begin_of_text|>"
) -> Tokenizer:
    """Llama 3's, with names of its `own` for some of the tokens that Llama 3 reserved; `bos` begins every text ('' if
    none does)."""
    from tokenizers import AddedToken, processors

    base = 128000
    tokenizer = byte_level(vocabulary, base, r"\p{N}{1,3}", ignore_merges=True)
    names = [own.get(i, token) for i, token in enumerate(vocabulary.tokens)][base:]
    tokenizer.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in names])
    if not bos:
        return tokenizer
    tokenizer.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=True),
            processors.TemplateProcessing(
                single=f"{bos} $A", pair=f"{bos} $A {bos} $B:1", special_tokens=[(bos, tokenizer.token_to_id(bos))]
            ),
        ]
    )
    return tokenizer


def byte_level(vocabulary: Vocabulary, size: int, digits: str, *, ignore_merges: bool = False) -> Tokenizer:
    """A byte-level BPE tokenizer over the first `size` tokens."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors

    ids = {token: i for i, token in enumerate(vocabulary.tokens[:size])}
    merges = [(left, right) for left, _, right in (merge.partition(" ") for merge in vocabulary.merges)]
    tokenizer = Tokenizer(models.BPE(vocab=ids, merges=merges, ignore_merges=ignore_merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(TEXT.replace("DIGITS", digits)), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return tokenizer


def sentencepiece_model(pieces: Iterable[tuple[str, float, int]]) -> bytes:
    """A `tokenizer.model` of (piece, score, type): SentencePiece's ModelProto, written by hand.

    Field numbers are those of sentencepiece_model.proto; the compiled form of it needs protobuf.
    """

    def number(key: int, value: int) -> bytes:
        return _varint(key << 3) + _varint(value)

    def block(key: int, content: bytes) -> bytes:
        return _varint(key << 3 | 2) + _varint(len(content)) + content

    def piece(text: str, score: float, kind: int) -> bytes:
        return block(1, text.encode()) + _varint(2 << 3 | 5) + struct.pack("<f", score) + number(3, kind)

    pieces = list(pieces)
    trainer = number(3, 2) + number(4, len(pieces)) + number(35, 1)  # BPE, vocab_size, byte_fallback
    normalizer = block(1, b"identity") + number(3, 1) + number(4, 0) + number(5, 1)  # a dummy prefix; spaces kept
    return b"".join(block(1, piece(*one)) for one in pieces) + block(2, trainer) + block(3, normalizer)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


SMALL = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "initializer_range": 0.02,
}


def _phi3_model() -> Any:
    from transformers import Phi3Config, Phi3ForCausalLM

    config = Phi3Config(
        **SMALL, vocab_size=32064, num_key_value_heads=4, max_position_embeddings=4096,
        original_max_position_embeddings=4096, rms_norm_eps=1e-5, rope_theta=10000.0, sliding_window=2047,
        tie_word_embeddings=False, bos_token_id=1, eos_token_id=32000, pad_token_id=32000,
    )  # fmt: skip
    return Phi3ForCausalLM(config)


def _qwen2_model() -> Any:
    from transformers import Qwen2Config, Qwen2ForCausalLM

    config = Qwen2Config(
        **SMALL, vocab_size=151936, num_key_value_heads=2, max_position_embeddings=32768, rms_norm_eps=1e-6,
        rope_theta=1000000.0, tie_word_embeddings=True, bos_token_id=151643, eos_token_id=151645,
    )  # fmt: skip
    return Qwen2ForCausalLM(config)


def _llama3_model() -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    scaling = {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0,
               "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}  # fmt: skip
    config = LlamaConfig(
        **SMALL, vocab_size=128256, num_key_value_heads=2, max_position_embeddings=131072, rms_norm_eps=1e-5,
        rope_parameters=scaling, tie_word_embeddings=False, bos_token_id=128000, eos_token_id=128001,
    )  # fmt: skip
    return LlamaForCausalLM(config)


KINDS = {
    "phi3": Kind(
        vocabulary="phi-3",
        tokenizer=_phi3,
        tokenizer_config={
            "add_bos_token": False,
            "add_eos_token": False,
            "bos_token": "<s>",
            "eos_token": "<|endoftext|>",
            "unk_token": "<unk>",
            "pad_token": "<|endoftext|>",
            "padding_side": "left",
            "legacy": False,
            "model_max_length": 4096,
            "tokenizer_class": "LlamaTokenizer",
        },
        template=PHI3_TEMPLATE,
        model=_phi3_model,
        generation={"bos_token_id": 1, "eos_token_id": [32000, 32001, 32007], "pad_token_id": 32000},
        config={"auto_map": PHI3_CODE},
    ),
    "qwen2": Kind(
        vocabulary="qwen2",
        tokenizer=qwen_tokenizer,
        tokenizer_config={
            "add_bos_token": False,
            "add_prefix_space": False,
            "bos_token": None,
            "eos_token": "<|im_end|>",
            "unk_token": None,
            "pad_token": "<|endoftext|>",
            "model_max_length": 131072,
            "errors": "replace",
            "split_special_tokens": False,
            "tokenizer_class": "Qwen2Tokenizer",
        },
        template=MODELS / "templates" / "Qwen-Qwen2.5-7B-Instruct.jinja",
        model=_qwen2_model,
        generation={
            "bos_token_id": 151643,
            "eos_token_id": [151645, 151643],
            "pad_token_id": 151643,
            "do_sample": True,
            "temperature": 0.7,
            "top_k": 20,
            "top_p": 0.8,
            "repetition_penalty": 1.1,
        },
    ),
    "llama3": Kind(
        vocabulary="llama-bpe",
        tokenizer=llama3_tokenizer,
        tokenizer_config={
            "bos_token": "<|begin_of_text|>",
            "eos_token": "<|end_of_text|>",
            "model_max_length": 131072,
            "model_input_names": ["input_ids", "attention_mask"],
            "tokenizer_class": "PreTrainedTokenizerFast",
        },
        template=None,  # a base model has none
        model=_llama3_model,
        generation={
            "bos_token_id": 128000,
            "eos_token_id": 128001,
            "do_sample": True,
            "temperature": 0.6,
            "top_p": 0.9,
        },
    ),
}


def _described(token: AddedToken) -> dict[str, Any]:
    names = ("content", "lstrip", "normalized", "rstrip", "single_word", "special")
    return {name: getattr(token, name) for name in names}


def _write(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in KINDS:
        sys.exit(f"usage: python -m tests.standins {'|'.join(KINDS)} FOLDER")
    print(make(sys.argv[1], Path(sys.argv[2])))
