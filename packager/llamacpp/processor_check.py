"""Does the compiled llama.cpp run on this processor? A few tokens through a tiny model made on the spot.

A library compiled elsewhere, or by a compiler that is wrong about this processor, is killed at its
first matrix product. Known in a second here, that does not cost a training.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from packager.errors import MissingResource, StageCrash
from packager.llamacpp.model import GgufModel
from packager.process import child

WIDTH, VOCABULARY, PROMPT = 256, 64, 48
"""Whole blocks of every type; prompts of over 32 tokens take the matrix kernels."""
SECONDS = 60.0
COMPILE = "compile it here: pip cache remove llama_cpp_python; rm -rf .venv; make setup"


def check_runs() -> None:
    """Raises `MissingResource` if the library cannot compute here; it is tried in a process of its own."""
    try:
        finite = child.call(llama_cpp_trial, timeout=SECONDS).value
    except StageCrash as error:
        raise MissingResource(f"llama.cpp does not run on this machine: {error.message}", COMPILE) from error
    if not finite:
        raise MissingResource("llama.cpp computes values on this machine that are not finite.", COMPILE)


def llama_cpp_trial() -> bool:
    """Are all predictions of a tiny model finite?"""
    import numpy as np

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "trial.gguf")
        _write(path)
        with GgufModel.open(path, context=PROMPT, threads=child.physical_cores()) as model:
            predictions = model.logits([i % VOCABULARY for i in range(PROMPT)])
            return all(bool(np.isfinite(rows).all()) for _, rows in predictions)


def _write(path: Path) -> None:
    """A Llama of one layer and no vocabulary, its matrices in Q8_0."""
    import gguf
    import numpy as np

    random = np.random.default_rng(0)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(1)
    writer.add_context_length(PROMPT)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(WIDTH)
    writer.add_head_count(4)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(VOCABULARY)
    writer.add_tokenizer_model("none")
    for name in ("attn_norm", "ffn_norm"):
        writer.add_tensor(f"blk.0.{name}.weight", np.ones(WIDTH, np.float32))
    writer.add_tensor("output_norm.weight", np.ones(WIDTH, np.float32))
    matrices = {f"blk.0.{n}.weight": WIDTH for n in ("attn_q", "attn_k", "attn_v", "attn_output")}
    matrices |= {f"blk.0.ffn_{n}.weight": WIDTH for n in ("gate", "up", "down")}
    matrices |= {"token_embd.weight": VOCABULARY, "output.weight": VOCABULARY}
    for name, rows in matrices.items():
        values = random.standard_normal((rows, WIDTH)).astype(np.float32) / WIDTH**0.5
        kind = gguf.GGMLQuantizationType.Q8_0
        writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
