"""Quantized GGUF files and what they were made of -> what they lost, how far they predict from it, the checks.

Their predictions are held against those that the merge kept of its checkpoint, whose weights are F16: the F16 file has
by then been proven on the corpus to predict as that does (`converted.py`), and is not run again. The files are run in a
child process, as a damaged one can abort it; one that does not run is named in `fault`. Fails with `ProofFailed` for a
file that is not whole.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from packager.artifacts.checks import Check, Figure, verdict
from packager.artifacts.evidence import Divergence
from packager.artifacts.kinds import GgufFile
from packager.errors import Interrupted, PackagerError, ProofFailed
from packager.llamacpp import gguf_file
from packager.llamacpp.gguf_file import GgufInfo
from packager.llamacpp.limits import run_limits
from packager.process import child
from packager.prompt.masking import Encoded
from packager.proof import divergence
from packager.proof.limits import USELESS, Limits

T = TypeVar("T")

NOT_JUDGED = "Hardly any token stands out in this model, so this is not judged."


def read_whole(path: Path) -> GgufInfo:
    """What a file says of itself; raises `ProofFailed` if it is not whole."""
    try:
        return gguf_file.inspect(path)
    except (OSError, ValueError) as error:
        raise ProofFailed(f"{path.name} is not whole: {error}", "run the build again") from error


def differences(after: GgufInfo, before: GgufInfo) -> list[str]:
    """What quantization must keep and did not."""
    kept = ("architecture", "n_tensors", "parameters", "n_vocab", "bos_token_id", "eos_token_id", "add_bos",
            "chat_template")  # fmt: skip
    return [name for name in kept if getattr(after, name) != getattr(before, name)]


def unplanned(planned: Mapping[str, str], actual: Mapping[str, str]) -> tuple[str, ...]:
    """Tensors whose type is not the planned one, in words."""
    names = sorted(planned.keys() | actual.keys())
    pairs = [(name, actual.get(name, "missing"), planned.get(name, "nothing")) for name in names]
    return tuple(f"{name} is {kind}, not {wanted}" for name, kind, wanted in pairs if kind != wanted)


def compared(
    files: Sequence[GgufFile], answers: Path, out: Path, context: int, kv: str = "f16"
) -> tuple[GgufFile, ...]:
    """The files with their divergence from the predictions in `answers`, or with why they do not run; opened as they
    are served. With another `kv` than f16 also what that alone costs."""
    found = tuple(_compared(file, out / file.name, answers, context, kv) for file in files)
    if kv == "f16":
        return found
    samples = divergence.load_samples(answers)
    return tuple(file if file.fault else _of_kv(file, out / file.name, samples, context, kv) for file in found)


def _compared(file: GgufFile, path: Path, kept: Path, context: int, kv: str) -> GgufFile:
    try:
        apart = _in_child(divergence.from_reference, path, kept, context, kv)
    except Interrupted:
        raise
    except PackagerError as error:
        return file.model_copy(update={"divergence": None, "fault": error.message})
    return file.model_copy(update={"divergence": apart, "fault": ""})


def _of_kv(file: GgufFile, path: Path, samples: Sequence[Encoded], context: int, kv: str) -> GgufFile:
    """The file against itself with keys and values in f16."""
    with tempfile.TemporaryDirectory(prefix="packager-") as folder:  # not on the build's disk, which may be just full
        kept = Path(folder) / divergence.REFERENCE
        _in_child(divergence.keep_predictions, path, samples, context, kept)
        return file.model_copy(update={"kv_divergence": _in_child(divergence.from_reference, path, kept, context, kv)})


def _in_child(function: Callable[..., T], path: Path, *args: object) -> T:
    """Run a file in a process of its own, one file after the other: each takes the memory of a served context."""
    limits = run_limits(path.stat().st_size)
    return child.call(function, path, *args, timeout=limits.seconds, memory_limit=limits.memory).value


def quantized_checks(file: GgufFile, limits: Limits) -> list[Check]:
    """What kind of file it is, read back, and how far it predicts from the merged checkpoint."""
    got = ", ".join(f"{count} {name}" for name, count in sorted(file.tensor_types.items()))
    odd = f" {len(file.unplanned)} are not as llama.cpp chooses: {file.unplanned[0]}." if file.unplanned else ""
    checks = [
        verdict("quantize.type", file.file_type, file.type, "type", file.file_type == file.type and not odd,
              f"{file.type}: read back as {file.file_type or 'nothing'} with {got} tensors.{odd}", subject=file.type),
    ]  # fmt: skip
    apart = file.divergence
    if apart is None:
        says = f"{file.type}: does not run: {file.fault}"
        most = USELESS[0] if limits.kl is None else limits.kl
        return [
            *checks,
            verdict("quantize.kl", "does not run", round(most, 5), "nats/token", False, says, subject=file.type),
        ]
    if limits.kl is not None:
        checks.append(
            verdict("quantize.kl", round(apart.kl_mean, 5), round(limits.kl, 5), "nats/token",
                  apart.kl_mean <= limits.kl, _kl_says(file, apart), subject=file.type)
        )  # fmt: skip
    if limits.same_top is not None:
        checks.append(
            verdict("quantize.top", round(apart.same_top, 4), round(limits.same_top, 4), "share",
                  apart.same_top >= limits.same_top, _top_says(file, apart), subject=file.type)
        )  # fmt: skip
    ratio, error = apart.perplexity_ratio, apart.perplexity_ratio_error
    where = "these tokens" if apart.of_corpus else "held-out answers"
    says = f"{file.type}: perplexity on {where} is {ratio:.4f} ± {error:.4f} times that of F16."
    passed = ratio <= limits.ratio
    return [
        *checks,
        verdict("quantize.perplexity", round(ratio, 4), round(limits.ratio, 4), "ratio", passed, says,
              subject=file.type),
    ]  # fmt: skip


def _kl_says(file: GgufFile, apart: Divergence) -> str:
    return (
        f"{file.type}: diverges from F16 by {apart.kl_mean:.4f} nats a token on average (median {apart.kl_median:.4f}, "
        f"99 % below {apart.kl_99:.3f}) over {compared_on(apart)}."
    )


def compared_on(apart: Divergence) -> str:
    """The tokens that were compared, in words."""
    if not apart.of_corpus:
        return f"{apart.positions} held-out tokens"
    return f"{apart.positions} tokens, {apart.positions - apart.of_corpus} of them held-out, the others of the corpus"


def _top_says(file: GgufFile, apart: Divergence) -> str:
    return f"{file.type}: holds the same token for the likeliest as F16 in {apart.same_top:.1%}."


def kv_checks(file: GgufFile, kv: str, limits: Limits) -> list[Check]:
    """That keys and values in `kv` cost no more than weights in `kv` may (`limits`); nothing to judge for f16."""
    apart = file.kv_divergence
    if apart is None or limits.kl is None or limits.same_top is None:
        return []
    passed = apart.kl_mean <= limits.kl and apart.same_top >= limits.same_top
    return [
        verdict("quantize.kv", round(apart.kl_mean, 6), round(limits.kl, 5), "nats/token", passed,
                _kv_says(file, apart, kv), subject=file.type)
    ]  # fmt: skip


def kv_figures(file: GgufFile, kv: str, limits: Limits) -> list[Figure]:
    """What keys and values in `kv` cost, where that is not judged."""
    apart = file.kv_divergence
    if apart is None or limits.kl is not None:
        return []
    says = f"{_kv_says(file, apart, kv)} {NOT_JUDGED}"
    return [Figure(id="quantize.kv", subject=file.type, measured=round(apart.kl_mean, 6), unit="nats/token", says=says)]


def _kv_says(file: GgufFile, apart: Divergence, kv: str) -> str:
    return (
        f"{file.type}: keys and values in {kv} move its predictions by {apart.kl_mean:.5f} nats a token; the likeliest "
        f"token stays in {apart.same_top:.1%} of {apart.positions}."
    )


def quantized_figures(file: GgufFile, limits: Limits) -> list[Figure]:
    """The size of a file's weights, as read back; and how far it predicts from the merged checkpoint, where that is not
    judged."""
    share = file.fallback_share
    fallback = f"; {share:.0%} of the weights fell back to another type" if share else ""
    says = f"{file.type}: {file.bits_per_weight:.2f} bits per weight{fallback}."
    bits = file.bits_per_weight
    found = [Figure(id="quantize.bits", subject=file.type, measured=bits, unit="bits/weight", says=says)]
    apart = file.divergence
    if apart and limits.kl is None:
        says = f"{_kl_says(file, apart)} {NOT_JUDGED}"
        kl = round(apart.kl_mean, 5)
        found.append(Figure(id="quantize.kl", subject=file.type, measured=kl, unit="nats/token", says=says))
    if apart and limits.same_top is None:
        says = f"{_top_says(file, apart)} {NOT_JUDGED}"
        top = round(apart.same_top, 4)
        found.append(Figure(id="quantize.top", subject=file.type, measured=top, unit="share", says=says))
    return found
