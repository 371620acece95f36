"""A tiny random Llama with a SentencePiece tokenizer of its own, which the real converter takes.

`tiny_base` of tests/conftest.py is not convertible: the converter knows byte-level tokenizers by a
hash over their vocabulary.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
WORDS = (
    "a",
    "equipe",
    "de",
    "saúde",
    "cuida",
    "da",
    "família",
    "no",
    "território",
    "com",
    "vínculo",
    "visita",
    "e",
    "escuta",
)
TURNS = ("<|im_start|>", "<|im_end|>")


def write_sentencepiece(
    folder: Path, turns: tuple[str, str] = TURNS, template: str = CHATML, *, prefix: bool = True
) -> int:
    """tokenizer.model and the tokenizer.json that splits alike; returns the vocabulary size.

    `prefix`: a space is put before every text, as Llama's tokenizer does and Gemma's does not.
    """
    import sentencepiece as spm
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers

    lines = [" ".join(WORDS[i % len(WORDS)] for i in range(n, n + 9, 1 + n % 3)) for n in range(400)]
    written = io.BytesIO()
    spm.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=written, model_type="bpe", vocab_size=352, byte_fallback=True,
        user_defined_symbols=list(turns), minloglevel=2, normalization_rule_name="identity",
        remove_extra_whitespaces=False,
    )  # fmt: skip
    (folder / "tokenizer.model").write_bytes(written.getvalue())
    processor = spm.SentencePieceProcessor(model_proto=written.getvalue())
    pieces = [processor.id_to_piece(i) for i in range(processor.get_piece_size())]
    ids = {piece: i for i, piece in enumerate(pieces)}
    merges = sorted(
        (ids[piece], ids[piece[:cut]], ids[piece[cut:]])
        for piece in pieces
        for cut in range(1, len(piece))
        if not piece.startswith("<") and piece[:cut] in ids and piece[cut:] in ids
    )
    model = models.BPE(
        vocab=ids, merges=[(pieces[a], pieces[b]) for _, a, b in merges], unk_token="<unk>", byte_fallback=True,
        fuse_unk=True,
    )  # fmt: skip
    tokenizer = Tokenizer(model)
    before = [normalizers.Prepend("▁")] if prefix else []
    tokenizer.normalizer = normalizers.Sequence([*before, normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    specials = ("<unk>", "<s>", "</s>", *turns)
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in specials])
    tokenizer.save(str(folder / "tokenizer.json"))
    config: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<s>",
        "eos_token": turns[1],
        "unk_token": "<unk>",
        "add_bos_token": False,
        "added_tokens_decoder": {str(ids[t]): {"content": t, "special": True} for t in specials},
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    return len(pieces)


def make(folder: Path) -> int:
    """Write the model, 2 layers of hidden size 256 (so that K-quants apply) in fp16; returns its parameters."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=write_sentencepiece(folder), hidden_size=256, intermediate_size=512, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=4096, tie_word_embeddings=True,
        bos_token_id=1, eos_token_id=4,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LlamaForCausalLM(config).to(torch.float16)
    model.save_pretrained(folder)
    return sum(p.numel() for p in model.parameters())
