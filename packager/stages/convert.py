"""Merged checkpoint -> one F16 GGUF file, with llama.cpp's own converter in a process of its own.

What was written is read back and checked against the checkpoint: weights, vocabulary, chat
template, the tokenizer that was proven before the training, and what it predicts. Fails with
`InputError` before converting (unknown architecture or tokenizer, code in the folder); a file that
says something else than the checkpoint is a failed check.
"""

from __future__ import annotations

import concurrent.futures
from pathlib import Path

from packager.artifacts.files import sha256_of, write_json
from packager.artifacts.kinds import Dataset, GgufFile, Ggufs, Merged, Prompt
from packager.errors import ProofFailed
from packager.llamacpp import gguf_file
from packager.llamacpp.converter import growing, run_converter
from packager.llamacpp.gguf_file import GgufInfo
from packager.package.gguf_metadata import described, lineage
from packager.process import progress
from packager.proof.converted import conversion_checks
from packager.recipe.sections import Section

NAME = "model-F16.gguf"


class Lineage(Section):
    """What the file is to say about its origin, beside what the artifacts know."""

    recipe: str
    language: str
    context: int = 0
    """Tokens that the file is served with; 0: as long as the longest text that is compared."""


def convert(config: Lineage | None, merged: Merged, data: Dataset, prompt: Prompt, out: Path) -> Ggufs:
    """Write `model-F16.gguf` into `out`."""
    from packager.checkpoint.convertible import converted_parameters, refuse_unconvertible
    from packager.checkpoint.vocabulary import NAME as VOCABULARY

    refuse_unconvertible(merged)
    parameters = converted_parameters(merged.folder)
    overrides = out / "metadata.json"
    said_of_it = lineage(config.recipe, config.language, merged, data) if config else {}
    write_json(overrides, described(merged) | said_of_it)
    with growing(out / NAME, 2 * parameters):
        run_converter(merged.folder, out / NAME, overrides)
    overrides.unlink()
    try:
        info = gguf_file.inspect(out / NAME)
    except (OSError, ValueError) as error:
        raise ProofFailed(f"convert.readable: the converter wrote no readable file: {error}", "see the log") from error
    context = config.context if config else 0
    with concurrent.futures.ThreadPoolExecutor(1) as beside:
        sha256 = beside.submit(sha256_of, out / NAME)
        checks = conversion_checks(out / NAME, info, merged.folder, parameters, prompt.folder / VOCABULARY, context)
    size = (out / NAME).stat().st_size
    progress.note(f"{NAME}: {size / 1e6:,.0f} MB, {info.n_tensors} tensors, vocabulary {info.n_vocab}")
    return Ggufs(folder=out, files=(_file(out / NAME, info, sha256.result()),), checks=checks)


def _file(path: Path, info: GgufInfo, sha256: str) -> GgufFile:
    return GgufFile(
        name=path.name,
        type="F16",
        size=path.stat().st_size,
        sha256=sha256,
        bits_per_weight=round(info.bits_per_weight, 3),
        tensor_types=dict(info.tensor_types),
    )
