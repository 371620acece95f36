"""Every stage's evidence -> `proof.json`: a list of checks, each with what was measured.

The structural facts were measured by the stages that made the artifacts; here they are judged, and
every quantized file is asked the recipe's questions on this CPU, each in a process of its own. A
failed check does not raise: the proof is written whole, and the build stops before packaging.
"""

from __future__ import annotations

import math
from pathlib import Path

from packager.artifacts.files import sha256_of, write_json
from packager.artifacts.kinds import Adapter, Answer, Check, Dataset, GgufFile, Ggufs, Merged, Modelfile, Proof, verdict
from packager.errors import Interrupted, PackagerError
from packager.process import child, progress
from packager.prompt.template import load_tokenizer, special_tokens
from packager.proof import smoke
from packager.proof.fit import forgiven
from packager.proof.limits import Cost, limits_of
from packager.proof.smoke import SmokeTest
from packager.recipe.sections import Device, Section, Serve, Smoke, Thresholds

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
    config: Prove,
    data: Dataset,
    adapter: Adapter | None,
    merged: Merged,
    f16: Ggufs,
    ggufs: Ggufs,
    modelfile: Modelfile,
    out: Path,
) -> Proof:
    """Judge every artifact and write `proof.json` into `out`."""
    checks = [*data.checks, *(_train(adapter, config.thresholds) if adapter else ()), *merged.checks]
    checks += f16.checks
    checks += [
        c for file in ggufs.files for c in _quantized(file, limits_of(file.type, merged.parameters, config.thresholds))
    ]
    checks += modelfile.checks
    specials = special_tokens(load_tokenizer(data.folder))
    answers: list[Answer] = []
    for file in ggufs.files:
        said, judged = _smoke(ggufs.folder / file.name, file, specials, data.system, config)
        answers += said
        checks += judged
    checks = forgiven(checks, ggufs.files)
    if not config.questions:
        progress.note("the recipe asks no questions (smoke), so no answer was judged")
    proof = Proof(folder=out, passed=all(c.passed for c in checks), checks=tuple(checks), answers=tuple(answers))
    write_json(out / "proof.json", proof.model_dump(mode="json", exclude={"folder", "key"}))
    return proof


def _train(adapter: Adapter, thresholds: Thresholds) -> list[Check]:
    before, after = adapter.heldout_loss_before, adapter.heldout_loss_after
    finite = all(math.isfinite(x) for x in (before, after, adapter.final_train_loss))
    limit = before * (1 - thresholds.min_loss_drop)
    drop = (before - after) / before if before else 0.0
    on = " (the base rounded to NF4, which nobody runs)" if adapter.method == "qlora" else ""
    return [
        verdict("train.finite", round(adapter.final_train_loss, 4), "finite", "nats/token", finite,
               "Training stayed finite."),
        verdict("train.heldout_loss", round(after, 4), round(limit, 4), "nats/token", after < limit,
               f"In training, loss on held-out answers went from {before:.3f}{on} to {after:.3f} ({drop:.0%} lower)."),
    ]  # fmt: skip


def _quantized(file: GgufFile, limits: Cost) -> list[Check]:
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
    found = file.divergence
    if found is None:
        says = f"{file.type}: does not run: {file.fault}"
        return [*checks, verdict("quantize.kl", "does not run", round(limits.kl, 5), "nats/token", False, says)]
    ratio, error = found.perplexity_ratio, found.perplexity_ratio_error
    return [
        *checks,
        verdict("quantize.kl", round(found.kl_mean, 5), round(limits.kl, 5), "nats/token", found.kl_mean <= limits.kl,
              f"{file.type}: diverges from F16 by {found.kl_mean:.4f} nats a token on average (median "
              f"{found.kl_median:.4f}, 99 % below {found.kl_99:.3f}) over {found.positions} held-out tokens."),
        verdict("quantize.top", round(found.same_top, 4), round(limits.same_top, 4), "share",
              found.same_top >= limits.same_top,
              f"{file.type}: holds the same token for the likeliest as F16 in {found.same_top:.1%}."),
        verdict("quantize.perplexity", round(ratio, 4), round(limits.ratio, 4), "ratio",
              ratio <= limits.ratio,
              f"{file.type}: perplexity on held-out answers is {ratio:.4f} ± {error:.4f} times that of F16."),
    ]  # fmt: skip


def _smoke(
    path: Path, file: GgufFile, specials: tuple[str, ...], system: str | None, config: Prove
) -> tuple[list[Answer], list[Check]]:
    """Ask one file in a child of its own; a crash is a failed check, not the end of the build."""
    asked = SmokeTest(
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
        said, ram = child.call(smoke.ask, path, asked, timeout=limit, memory_limit=memory).value
    except Interrupted:
        raise
    except PackagerError as error:
        return [], [_loads(file, False, error.message)]
    return said, [_loads(file, True, ""), *smoke.judge(file, said, specials, ram, asked)]


def _loads(file: GgufFile, passed: bool, why: str) -> Check:
    says = f"{file.type}: loads and runs on this CPU." if passed else f"{file.type}: does not run: {why}"
    return verdict("smoke.loads", int(passed), 1, "", passed, says)
