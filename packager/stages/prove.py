"""Every stage's evidence -> `proof.json`: a list of checks, each with what was measured.

The structural facts were measured by the stages that made the artifacts; here they are judged, and
every quantized file is asked the recipe's questions on this CPU, each in a process of its own. A
failed check does not raise: the proof is written whole, and the build stops before packaging.
"""

from __future__ import annotations

import math
from pathlib import Path

from packager import chat, proc, smoke
from packager.artifacts import (
    Adapter,
    Answer,
    Check,
    Dataset,
    GgufFile,
    Ggufs,
    Merged,
    Modelfile,
    Proof,
    sha256_of,
    write_json,
)
from packager.errors import Interrupted, PackagerError
from packager.recipe import Device, Section, Serve, Smoke, Thresholds

LOAD_SECONDS = 300.0
"""Time that one file may take to load and answer, before it counts as hanging, beside what its
answers take at the slowest speed that passes."""


class Prove(Section):
    """The parts of the recipe that the proof depends on."""

    questions: tuple[Smoke, ...]
    language: str
    serve: Serve
    device: Device
    thresholds: Thresholds


def prove(
    config: Prove, data: Dataset, adapter: Adapter | None, merged: Merged, ggufs: Ggufs, modelfile: Modelfile, out: Path
) -> Proof:
    """Judge every artifact and write `proof.json` into `out`."""
    checks = [*_data(data), *(_train(adapter, config.thresholds) if adapter else ()), *_merge(merged)]
    checks += [_quantized(file) for file in ggufs.files]
    checks += modelfile.checks
    specials = chat.special_tokens(chat.load_tokenizer(data.folder))
    answers: list[Answer] = []
    for file in ggufs.files:
        said, judged = _smoke(ggufs.folder / file.name, file, specials, data.system, config)
        answers += said
        checks += judged
    proof = Proof(folder=out, passed=all(c.passed for c in checks), checks=tuple(checks), answers=tuple(answers))
    write_json(out / "proof.json", proof.model_dump(mode="json", exclude={"folder", "key"}))
    return proof


def _data(data: Dataset) -> list[Check]:
    rows = data.train_rows + data.heldout_rows
    share = data.too_long / max(1, rows + data.too_long)
    return [
        _check("data.no_leak", "data", data.leaked, 0, "rows", data.leaked == 0,
               f"None of the {data.heldout_rows} held-out questions or answers is in the {data.train_rows} trained."),
        _check("data.end_of_turn", "data", data.unterminated, 0, "rows", data.unterminated == 0,
               f"Every trained answer ends in {data.end_of_turn}, so the model learns to stop."),
        _check("data.left_out", "data", round(share, 4), "recorded", "share", True,
               f"{data.too_long} rows were left out for their length."),
    ]  # fmt: skip


def _train(adapter: Adapter, thresholds: Thresholds) -> list[Check]:
    before, after = adapter.heldout_loss_before, adapter.heldout_loss_after
    finite = all(math.isfinite(x) for x in (before, after, adapter.final_train_loss))
    limit = before * (1 - thresholds.min_loss_drop)
    drop = (before - after) / before if before else 0.0
    return [
        _check("train.finite", "train", round(adapter.final_train_loss, 4), "finite", "nats/token", finite,
               "Training stayed finite."),
        _check("train.heldout_loss", "train", round(after, 4), round(limit, 4), "nats/token", after < limit,
               f"Loss on held-out answers went from {before:.3f} to {after:.3f} ({drop:.0%} lower)."),
    ]  # fmt: skip


def _merge(merged: Merged) -> list[Check]:
    expected = merged.delta_norm_expected
    error = abs(merged.delta_norm - expected) / expected if expected else 0.0
    checks = [
        _check("merge.finite", "merge", merged.largest_weight, 65504.0, "weight", merged.largest_weight < 65504.0,
               "All merged weights are finite in FP16."),
    ]  # fmt: skip
    if merged.pairs_total:
        used = f"All {merged.pairs_total} adapter pairs are in the merged weights."
        checks += [
            _check("merge.pairs", "merge", merged.pairs_used, merged.pairs_total, "pairs",
                   merged.pairs_used == merged.pairs_total, used),
            _check("merge.delta", "merge", round(error, 5), DELTA_TOLERANCE, "relative",
                   expected > 0 and error <= DELTA_TOLERANCE,
                   f"The weights moved by {merged.delta_norm:.4g}; the adapter says {expected:.4g}."),
        ]  # fmt: skip
    return checks


DELTA_TOLERANCE = 0.05
"""Rounding W + dW to FP16 adds noise of about 2^-11 |W| per weight to the measured norm."""


def _quantized(file: GgufFile) -> Check:
    got = ", ".join(f"{count} {name}" for name, count in sorted(file.tensor_types.items()))
    return _check("quantize.type", "quantize", file.bits_per_weight, "recorded", "bits/weight",
                  file.bits_per_weight > 0, f"{file.type}: read back as {got} tensors.")  # fmt: skip


def _smoke(
    path: Path, file: GgufFile, specials: tuple[str, ...], system: str | None, config: Prove
) -> tuple[list[Answer], list[Check]]:
    """Ask one file in a child of its own; a crash is a failed check, not the end of the build."""
    asked = smoke.Asked(
        questions=config.questions,
        system=system,
        serve=config.serve,
        language=config.language,
        device=config.device,
        thresholds=config.thresholds,
    )
    if sha256_of(path) != file.sha256:
        return [], [_loads(file, False, "its bytes changed since it was written")]
    slowest = max(config.device.min_tokens_per_second, 0.5)
    limit = LOAD_SECONDS + len(config.questions) * config.serve.max_answer_tokens / slowest
    memory = int(2 * config.device.ram_gb * smoke.GIGABYTE) + 2 * file.size
    try:
        finished = proc.call(smoke.ask, path, asked, timeout=limit, memory_limit=memory)
    except Interrupted:
        raise
    except PackagerError as error:
        return [], [_loads(file, False, error.message)]
    said = finished.value
    return said, [_loads(file, True, ""), *smoke.judge(file, said, specials, finished.peak_ram, asked)]


def _loads(file: GgufFile, passed: bool, why: str) -> Check:
    says = f"{file.type}: loads and runs on this CPU." if passed else f"{file.type}: does not run: {why}"
    return _check("smoke.loads", "prove", int(passed), 1, "", passed, says)


def _check(
    name: str, stage: str, measured: float | str, threshold: float | str, unit: str, passed: bool, says: str
) -> Check:
    return Check(id=name, stage=stage, measured=measured, threshold=threshold, unit=unit, passed=passed, says=says)
