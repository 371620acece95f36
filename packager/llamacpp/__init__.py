"""All that knows vendor/llama.cpp and the llama_cpp binding; the rest of the program asks here.

`vendored` fetches llama.cpp's source, knows what its converter supports, and runs it. `gguf_file`
reads GGUF files, `quantizing` makes smaller ones of them; `imatrix` holds which of their columns
matter. `splitting` takes one apart. `running` runs one in this process, `parallel` for several prompts
at once; `server` builds the program that does in clinics. `binding` loads the library, `trial` asks
whether it runs on this processor; `halves` borrows its number conversions.
The library and everything heavy is imported when first used.
"""

from __future__ import annotations

from packager.llamacpp.gguf_file import (
    GENERATED,
    GgufInfo,
    inspect,
    quantization_types,
    tensor_shapes,
    tensor_types,
    types_of_tensors,
)
from packager.llamacpp.imatrix import IMATRIX, read_imatrix, tensor_names, write_imatrix
from packager.llamacpp.parallel import Generated, ParallelModel
from packager.llamacpp.quantizing import planned_types, quantize_file
from packager.llamacpp.running import GgufModel
from packager.llamacpp.server import LICENCES, TARGETS, Target, built, compiling, missing_tools, servers
from packager.llamacpp.splitting import split_file
from packager.llamacpp.trial import check_runs
from packager.llamacpp.vendored import (
    VENDOR,
    commit,
    convert_command,
    converter,
    fetch,
    known_architectures,
    pretokenizer_known,
    run_converter,
    tokenizer_problem,
)

__all__ = [
    "GENERATED",
    "IMATRIX",
    "LICENCES",
    "TARGETS",
    "VENDOR",
    "Generated",
    "GgufInfo",
    "GgufModel",
    "ParallelModel",
    "Target",
    "built",
    "check_runs",
    "commit",
    "compiling",
    "convert_command",
    "converter",
    "fetch",
    "inspect",
    "known_architectures",
    "missing_tools",
    "planned_types",
    "pretokenizer_known",
    "quantization_types",
    "quantize_file",
    "read_imatrix",
    "run_converter",
    "servers",
    "split_file",
    "tensor_names",
    "tensor_shapes",
    "tensor_types",
    "tokenizer_problem",
    "types_of_tensors",
    "write_imatrix",
]
