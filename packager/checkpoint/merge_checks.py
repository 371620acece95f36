"""A merged checkpoint -> how it predicts beside base + adapter, and the merge.* checks of the proof."""

from __future__ import annotations

from pathlib import Path

from packager.artifacts.kinds import Adapter, Check, Checkpoint, Dataset, Divergence, Merged, verdict
from packager.prompt.corpus import corpus_samples

POSITIONS = 256
"""Predictions that are compared, and kept for the F16 file to be compared with."""
DELTA_TOLERANCE = 0.05
"""Rounding W + dW to FP16 adds noise of about 2^-11 |W| per weight to the measured norm."""
MERGE_KL = 1e-3
"""Nats per token: see docs/proof.md for what was measured."""
KEPT = 0.5
"""Share of what training gained that must be left after the merge; other rows and other weights gain otherwise."""


def compare_with_source(
    base: Checkpoint, data: Dataset, adapter: Adapter | None, out: Path, *, nf4: bool, imatrix: bool
) -> Divergence:
    """What the merged checkpoint predicts against base + adapter, unmerged; its predictions are kept,
    and with `imatrix` which of its columns matter."""
    from packager.checkpoint import importance, reference
    from packager.proof import divergence
    from packager.proof.divergence import RunningDivergence

    samples = corpus_samples(data.folder, POSITIONS)
    with (
        reference.opened(base.folder, adapter.folder if adapter else None, nf4=nf4) as source,
        reference.opened(out) as merged,
    ):
        divergences, predictions = RunningDivergence(), []
        for (log_p, targets), (log_q, _) in zip(source.predictions(samples), merged.predictions(samples), strict=True):
            divergences.add(log_p, log_q, targets)
            predictions.append(log_q.astype("float16"))
        if imatrix:
            importance.collect(merged, base, data, out)
    divergence.save_reference(out / divergence.REFERENCE, samples, predictions)
    return divergences.result()


def merge_checks(merged: Merged, adapter: Adapter | None) -> list[Check]:
    """The checks of what was merged."""
    expected = merged.delta_norm_expected
    error = abs(merged.delta_norm - expected) / expected if expected else 0.0
    checks = [
        verdict("merge.finite", merged.largest_weight, 65504.0, "weight", merged.largest_weight < 65504.0,
              "All merged weights are finite in FP16."),
    ]  # fmt: skip
    if merged.divergence:
        kl, positions = merged.divergence.kl_mean, merged.divergence.positions
        checks.append(
            verdict("merge.logits", round(kl, 7), MERGE_KL, "nats/token", kl <= MERGE_KL,
                  f"The merged checkpoint predicts as base + adapter do at {positions} positions.")
        )  # fmt: skip
    if adapter and merged.pairs_total:
        checks += [
            verdict("merge.pairs", merged.pairs_used, merged.pairs_total, "pairs",
                  merged.pairs_used == merged.pairs_total,
                  f"{merged.pairs_used} of {merged.pairs_total} adapter pairs are in the merged weights."),
            verdict("merge.delta", round(error, 5), DELTA_TOLERANCE, "relative",
                  expected > 0 and error <= DELTA_TOLERANCE,
                  f"The weights moved by {merged.delta_norm:.4g}; the adapter says {expected:.4g}."),
        ]  # fmt: skip
        checks += _kept_what_was_learned(merged, adapter)
    return checks


def _kept_what_was_learned(merged: Merged, adapter: Adapter) -> list[Check]:
    """The base that was merged into, and whether what was learned is in it: on the same held-out
    answers the loss must fall by at least half of what training measured."""
    base, clean, nf4 = merged.heldout_loss_base, merged.heldout_loss_16bit, merged.heldout_loss_nf4
    if base is None or clean is None:
        return []
    loss = nf4 if merged.rounded_to_nf4 and nf4 is not None else clean
    into = "the base rounded to NF4, as it was trained" if merged.rounded_to_nf4 else "the 16-bit base"
    rounded = f", and {nf4:.4f} if that is rounded to NF4" if nf4 is not None else ""
    learned = (adapter.heldout_loss_before - adapter.heldout_loss_after) / adapter.heldout_loss_before
    limit = base * (1 - KEPT * max(0.0, learned))
    return [
        verdict("merge.heldout_loss", round(loss, 4), round(limit, 4), "nats/token", loss < limit,
              f"Merged into {into}. Loss on held-out answers: {base:.4f} without the adapter, {clean:.4f} with it on "
              f"the 16-bit base{rounded}."),
    ]  # fmt: skip
