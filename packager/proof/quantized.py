"""Quantized GGUF files and the F16 file they were made of -> what they lost, how far they predict from it, the checks.

The files are run in a child process, as a damaged one can abort it; one that does not run is named in
`fault`. Fails with `ProofFailed` for a file that is not whole.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from packager.artifacts.kinds import Check, Dataset, Divergence, GgufFile, verdict
from packager.errors import Interrupted, PackagerError, ProofFailed
from packager.llamacpp import gguf_file
from packager.llamacpp.gguf_file import GgufInfo
from packager.llamacpp.limits import running
from packager.llamacpp.model import GgufModel
from packager.process import child, progress
from packager.prompt.corpus import Sample, answer_samples, corpus_samples
from packager.proof import divergence
from packager.proof.divergence import RunningDivergence
from packager.recipe.sections import Thresholds

ANSWER_TOKENS = 768
"""Held-out answer tokens on which predictions are compared."""
LEAST_TOKENS = 256
"""With fewer than these, the corpus that every stage is proven on is added."""


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


def compared(files: Sequence[GgufFile], original: Path, data: Dataset, out: Path) -> tuple[GgufFile, ...]:
    """The files with their divergence from the F16 file, or with why they do not run."""
    samples = answer_samples(data.folder / "heldout.jsonl", data.end_of_turn, ANSWER_TOKENS)
    if sum(len(s.at) for s in samples) < LEAST_TOKENS:  # a handful would judge by chance
        samples += corpus_samples(data.folder, LEAST_TOKENS)
    size = original.stat().st_size + sum(file.size for file in files)
    paths, (seconds, memory) = [out / file.name for file in files], running(size)
    try:
        measured = child.call(divergences, original, paths, samples, timeout=seconds, memory_limit=memory).value
    except Interrupted:
        raise
    except PackagerError as error:
        if len(files) == 1:
            return (files[0].model_copy(update={"divergence": None, "fault": error.message}),)
        return tuple(one for file in files for one in compared([file], original, data, out))
    return tuple(f.model_copy(update={"divergence": d, "fault": ""}) for f, d in zip(files, measured, strict=True))


def divergences(original: Path, paths: Sequence[Path], samples: Sequence[Sample]) -> list[Divergence]:
    """How far each file predicts from `original`; all advance together, so one chunk of logits a file is held."""
    context, threads = max(len(s.ids) for s in samples), child.physical_cores()
    comparisons = [RunningDivergence() for _ in paths]
    with contextlib.ExitStack() as stack:
        models = [
            stack.enter_context(GgufModel.open(path, context=context, threads=threads)) for path in (original, *paths)
        ]
        for number, sample in enumerate(samples):
            chosen = set(sample.at)
            wanted = [i in chosen for i in range(len(sample.ids))]
            for chunks in zip(*(model.logits(sample.ids, wanted) for model in models), strict=True):
                targets = [sample.ids[i + 1] for i in chunks[0][0]]
                first, *others = (divergence.log_softmax(rows) for _, rows in chunks)
                for one, log_q in zip(comparisons, others, strict=True):
                    one.add(first, log_q, targets)
            progress.update(number + 1, len(samples), "held-out rows compared")
    return [one.result() for one in comparisons]


def quantized_checks(file: GgufFile, limits: Thresholds) -> list[Check]:
    """What kind of file it is, read back, and how far it predicts from the F16 file."""
    got = ", ".join(f"{count} {name}" for name, count in sorted(file.tensor_types.items()))
    fallback = f"; {file.fallback_share:.0%} of the weights fell back to another type" if file.fallback_share else ""
    odd = f" {len(file.unplanned)} are not as llama.cpp chooses: {file.unplanned[0]}." if file.unplanned else ""
    checks = [
        verdict("quantize.type", file.file_type, file.type, "type", file.file_type == file.type and not odd,
              f"{file.type}: read back as {file.file_type or 'nothing'} with {got} tensors.{odd}"),
        verdict("quantize.bits", file.bits_per_weight, "recorded", "bits/weight", file.bits_per_weight > 0,
              f"{file.type}: {file.bits_per_weight:.2f} bits per weight{fallback}."),
    ]  # fmt: skip
    apart = file.divergence
    if apart is None:
        says = f"{file.type}: does not run: {file.fault}"
        return [*checks, verdict("quantize.kl", "does not run", limits.max_kl, "nats/token", False, says)]
    ratio, error = apart.perplexity_ratio, apart.perplexity_ratio_error
    return [
        *checks,
        verdict("quantize.kl", round(apart.kl_mean, 5), limits.max_kl, "nats/token", apart.kl_mean <= limits.max_kl,
              f"{file.type}: diverges from F16 by {apart.kl_mean:.4f} nats a token on average (median "
              f"{apart.kl_median:.4f}, 99 % below {apart.kl_99:.3f}) over {apart.positions} held-out tokens."),
        verdict("quantize.top", round(apart.same_top, 4), limits.min_same_top, "share",
              apart.same_top >= limits.min_same_top,
              f"{file.type}: holds the same token for the likeliest as F16 in {apart.same_top:.1%}."),
        verdict("quantize.perplexity", round(ratio, 4), limits.max_perplexity_ratio, "ratio",
              ratio <= limits.max_perplexity_ratio,
              f"{file.type}: perplexity on held-out answers is {ratio:.4f} ± {error:.4f} times that of F16."),
    ]  # fmt: skip
