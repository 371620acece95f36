"""A merged checkpoint -> how it predicts beside base + adapter, and the merge.* checks of the proof."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from packager.artifacts.checks import Check, Figure, verdict
from packager.artifacts.evidence import Divergence
from packager.artifacts.kinds import Adapter, Checkpoint, Dataset, Merged
from packager.checkpoint.matrices import Matrices
from packager.data.conversations import HELDOUT
from packager.prompt.corpus import compared_samples, corpus_samples
from packager.prompt.masking import Encoded

POSITIONS = 256
"""Predictions that are compared, and kept for the F16 file to be compared with."""
DELTA_TOLERANCE = 2e-3
"""Along the update, relatively, beside what rounding explains: a right merge has 0 (checkpoint/change.py)."""
UNEXPLAINED = 0.02
"""Across it: what float32 in another order may leave. A wrong pair leaves 1 or more."""
MERGE_KL = 1e-3
"""Nats per token: see docs/proof.md for what was measured."""
CHANCE = 2.0
"""Standard errors that the choice of the tokens may take: a few steps of training gain less than their spread."""
KEPT = 0.5
"""Share of what training gained that must be left after the merge; other rows and other weights gain otherwise."""


def compare_with_source(
    base: Checkpoint,
    data: Dataset,
    adapter: Adapter | None,
    out: Path,
    far: Sequence[Encoded],
    matrices: Matrices,
    *,
    nf4: bool,
    imatrix: bool,
) -> Divergence:
    """What the merged checkpoint predicts against base + adapter, unmerged, on the corpus and on the texts that
    reach `far`. Its predictions there and on held-out answers are kept, for the files that will be made of it, and with
    `imatrix` which of its columns matter."""
    from packager.checkpoint import importance, reference
    from packager.proof import divergence
    from packager.proof.divergence import RunningDivergence

    samples = [*corpus_samples(data.folder, POSITIONS), *far]
    answers, of_corpus = compared_samples(data.folder, HELDOUT, data.end_of_turn)
    with (
        reference.opened(base.folder, adapter.folder if adapter else None, nf4=nf4, matrices=matrices) as source,
        reference.opened(out, matrices=matrices) as merged,
    ):
        divergences, predictions = RunningDivergence(), []
        for (log_p, targets), (log_q, _) in zip(source.predictions(samples), merged.predictions(samples), strict=True):
            divergences.add(log_p, log_q, targets)
            predictions.append(log_q.astype("float16"))
        divergence.save_reference(out / divergence.REFERENCE, samples, predictions)
        predictions.clear()
        of_answers = (log_p for log_p, _ in merged.predictions(answers))
        divergence.save_reference(out / divergence.ANSWERS, answers, of_answers, of_corpus)
        if imatrix:
            importance.collect(merged, base, data, out)
    return divergences.result()


def merge_checks(merged: Merged, adapter: Adapter | None) -> list[Check]:
    """The checks of what was merged."""
    checks = []
    if merged.divergence:
        kl, positions = merged.divergence.kl_mean, merged.divergence.positions
        checks.append(
            verdict("merge.logits", round(kl, 7), MERGE_KL, "nats/token", kl <= MERGE_KL,
                  f"The merged checkpoint predicts as base + adapter do at {positions} positions.")
        )  # fmt: skip
    if adapter and merged.pairs_total:
        if not merged.by_peft:
            checks.append(
                verdict("merge.pairs", merged.pairs_used, merged.pairs_total, "pairs",
                      merged.pairs_used == merged.pairs_total,
                      f"{merged.pairs_used} of {merged.pairs_total} adapter pairs are in the merged weights.")
            )  # fmt: skip
        checks.append(_delta(merged))
        checks += _kept_what_was_learned(merged, adapter)
    return checks


def merge_figures(merged: Merged) -> tuple[Figure, ...]:
    """What merging itself refuses (a weight that is not finite), or what peft did and nobody else counted."""
    largest = Figure(id="merge.largest_weight", measured=merged.largest_weight, unit="weight",
                     says="The largest merged weight; FP16 holds up to 65,504.")  # fmt: skip
    if not merged.by_peft:
        return (largest,)
    pairs = Figure(id="merge.pairs", measured=merged.pairs_total, unit="pairs",
                   says=f"peft merged {merged.pairs_total} adapter pairs.")  # fmt: skip
    return largest, pairs


def _delta(merged: Merged) -> Check:
    """Whether the weights moved by the adapter's update, all of it and nothing else."""
    moved, expected = merged.moved, merged.delta_norm_expected
    assert moved is not None
    passed = expected > 0 and moved.off <= DELTA_TOLERANCE and moved.unexplained <= UNEXPLAINED
    worst = f" {moved.worst}: {moved.off:.2%} off along its update; {moved.unexplained:.2%} of it is unexplained."
    says = (
        f"The weights moved by {moved.along:.4f} of the adapter's update ({expected:.4g}), of which rounding to FP16 "
        f"leaves {moved.left:.4f}; rounding itself moves them by {moved.rounding:.3g}.{'' if passed else worst}"
    )
    return verdict("merge.delta", round(moved.off, 5), DELTA_TOLERANCE, "relative", passed, says)


def _kept_what_was_learned(merged: Merged, adapter: Adapter) -> list[Check]:
    """The base that was merged into, and whether what was learned is in it: on the same held-out answers the loss must
    fall by at least half of what training measured, as far as so many tokens can tell."""
    base, clean, nf4 = merged.heldout_loss_base, merged.heldout_loss_16bit, merged.heldout_loss_nf4
    loss = merged.heldout_loss
    if base is None or clean is None or loss is None:
        return []
    into = "the base rounded to NF4, as it was trained" if merged.rounded_to_nf4 else "the 16-bit base"
    rounded = f", {nf4:.4f} if that is rounded to NF4" if nf4 is not None else ""
    drop = (base - loss) / base
    learned = (adapter.heldout_loss_before - adapter.heldout_loss_after) / adapter.heldout_loss_before
    limit = base * (1 - KEPT * max(0.0, learned)) + CHANCE * merged.heldout_loss_error
    return [
        verdict("merge.heldout_loss", round(loss, 4), round(limit, 4), "nats/token", loss < limit,
              f"Loss on {merged.heldout_tokens} held-out answer tokens: {base:.4f} of the base as anyone would run it "
              f"(16 bits), {loss:.4f} of what was merged ({drop:.0%} lower; standard error of the difference "
              f"{merged.heldout_loss_error:.4f}). Merged into {into}: with the adapter "
              f"{clean:.4f} on 16 bits{rounded}."),
    ]  # fmt: skip
