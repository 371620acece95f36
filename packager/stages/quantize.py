"""F16 GGUF -> one GGUF per quantization type of the recipe, with llama.cpp's library.

Every file is read back: it must hold the tensors, the vocabulary and the chat template of its
source. Fails with `InputError` for an unknown type, `MissingResource` for a full disk,
`ProofFailed` if the file that was written says something else than its source.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from packager import llamacpp, proc, progress
from packager.artifacts import GgufFile, Ggufs, sha256_of
from packager.errors import ProofFailed
from packager.recipe import Quantize


def quantize(config: Quantize, source: Ggufs, out: Path) -> Ggufs:
    """Write `model-TYPE.gguf` into `out` for every type, in the recipe's order."""
    original = source.folder / source.files[0].name
    before = _read(original)
    files = []
    for name in config.types:
        path = out / f"model-{name}.gguf"
        if name == source.files[0].type:
            _link(original, path)
        else:
            _quantize(original, path, name)
        info = _read(path)
        if faults := differences(info, before):
            raise ProofFailed(f"quantize: {path.name} lost {', '.join(faults)} of its source.", "report this model")
        file = GgufFile(
            name=path.name,
            type=name,
            size=path.stat().st_size,
            sha256=sha256_of(path),
            bits_per_weight=round(info.bits_per_weight, 3),
            tensor_types=dict(info.tensor_types),
        )
        held = ", ".join(f"{count} {kind}" for kind, count in sorted(file.tensor_types.items()))
        progress.note(f"{name}: {file.size / 1e6:,.0f} MB, {file.bits_per_weight:.2f} bits/weight ({held})")
        files.append(file)
    return Ggufs(folder=out, files=tuple(files))


def differences(after: llamacpp.GgufInfo, before: llamacpp.GgufInfo) -> list[str]:
    """What quantization must keep and did not."""
    kept = ("architecture", "n_tensors", "parameters", "n_vocab", "bos_token_id", "eos_token_id", "add_bos",
            "chat_template")  # fmt: skip
    return [name for name in kept if getattr(after, name) != getattr(before, name)]


def _read(path: Path) -> llamacpp.GgufInfo:
    try:
        return llamacpp.inspect(path)
    except (OSError, ValueError) as error:
        raise ProofFailed(f"{path.name} is not whole: {error}", "run the build again") from error


def _quantize(source: Path, path: Path, name: str) -> None:
    def report(done: int, total: int) -> None:
        progress.update(done, total, "tensors", type=name)

    llamacpp.quantize_file(source, path, name, proc.physical_cores(), on_progress=report)


def _link(source: Path, path: Path) -> None:
    """The same file under another name; a copy where the disk has no hard links."""
    try:
        os.link(source, path)
    except OSError:
        shutil.copyfile(source, path)
