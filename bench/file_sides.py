"""What ours is measured against; here, where a child process can import it."""

from __future__ import annotations

from pathlib import Path

from packager.llamacpp.gguf_file import quantization_types
from packager.process import child


def by_peft(base: Path, adapter: Path, out: Path) -> None:
    """What peft's documentation says, in the checkpoint's own FP16."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float16)
    PeftModel.from_pretrained(model, adapter).merge_and_unload().save_pretrained(out)


def bare_quantizer(source: Path, out: Path, kind: str) -> None:
    """The library with its own defaults, but for the threads, of which both sides have one a core."""
    import ctypes

    import llama_cpp

    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype, params.nthread = quantization_types()[kind], child.physical_cores()
    assert llama_cpp.llama_model_quantize(bytes(source), bytes(out), ctypes.byref(params)) == 0


def plain_writes(out: Path, size: int) -> None:
    """A file of `size` bytes, one megabyte after the other."""
    block = b"\1" * (1 << 20)
    with out.open("wb", buffering=0) as file:
        for start in range(0, size, len(block)):
            file.write(block[: size - start])
