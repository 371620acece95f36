"""Base + adapter -> the merged checkpoint, proven to predict what base + adapter predict.

Whether the base is first rounded to NF4, as the adapter saw it in training, is decided by held-out
loss. The arithmetic is in `packager/checkpoint/merge.py`; fails as that does. What was measured is judged
here, so that a build does not go on with a merge that diverged.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from packager.artifacts.checks import Check, Figure, verdict
from packager.artifacts.kinds import Adapter, Checkpoint, Dataset, Divergence, Merged
from packager.checkpoint import lora
from packager.checkpoint.merge import merge_adapter
from packager.process import progress
from packager.prompt.corpus import answer_samples, corpus_samples
from packager.recipe.sections import Section

HELDOUT_TOKENS = 512
"""Held-out answer tokens on which the base to merge into is chosen."""
POSITIONS = 256
"""Predictions that are compared, and kept for the F16 file to be compared with."""
DELTA_TOLERANCE = 0.05
"""Rounding W + dW to FP16 adds noise of about 2^-11 |W| per weight to the measured norm."""
MERGE_KL = 1e-3
"""Nats per token: see docs/proof.md for what was measured."""
KEPT = 0.5
"""Share of what training gained that must be left after the merge; other rows and other weights gain otherwise."""


class Merge(Section):
    """What the merged checkpoint is run for, beside its proof."""

    imatrix: bool
    """Whether to note which columns matter, for quantization."""


def merge(config: Merge | None, base: Checkpoint, data: Dataset, adapter: Adapter | None, out: Path) -> Merged:
    """Write the merged checkpoint and `reference.npz`, some of its predictions, into `out`; without an
    adapter, the base in FP16. With `imatrix`, also `imatrix.gguf`."""
    choice = _choose_base(base, data, adapter) if adapter else MergeBase()
    merged = merge_adapter(base, data, adapter, out, nf4=choice.nf4)
    found = _compare(base, data, adapter, out, nf4=choice.nf4, imatrix=bool(config and config.imatrix))
    merged = merged.model_copy(
        update={
            "rounded_to_nf4": choice.nf4,
            "heldout_loss_base": choice.loss_base,
            "heldout_loss_16bit": choice.loss_16bit,
            "heldout_loss_nf4": choice.loss_nf4,
            "divergence": found,
        }
    )
    return merged.model_copy(update={"checks": tuple(_judged(merged, adapter)), "figures": _figures(merged)})


@dataclass(frozen=True)
class MergeBase:
    """Which base the adapter is merged into, and the held-out losses that decided it."""

    nf4: bool = False
    loss_base: float | None = None
    """Without the adapter."""
    loss_16bit: float | None = None
    loss_nf4: float | None = None


def _choose_base(base: Checkpoint, data: Dataset, adapter: Adapter) -> MergeBase:
    """The 16-bit base, or the one rounded to NF4: whichever predicts held-out answers better.

    QLoRA trains the adapter on rounded weights: it may have learned to make up for the rounding.
    """
    from packager.checkpoint import reference

    samples = answer_samples(data.folder / "heldout.jsonl", data.end_of_turn, HELDOUT_TOKENS)
    with reference.opened(base.folder) as untrained:
        before = float(untrained.losses(samples).mean())
    with reference.opened(base.folder, adapter.folder) as clean:
        losses = clean.losses(samples)
    if not adapter.on_nf4 or lora.unusual(adapter.folder, base.folder):
        return MergeBase(loss_base=before, loss_16bit=float(losses.mean()))
    with reference.opened(base.folder, adapter.folder, nf4=True) as rounded:
        losses_nf4 = rounded.losses(samples)
    nf4 = bool(losses_nf4.mean() < losses.mean())
    progress.note(
        f"held-out loss on the 16-bit base {losses.mean():.4f}, rounded to NF4 {losses_nf4.mean():.4f}: "
        f"merging into the {'rounded' if nf4 else '16-bit'} one"
    )
    return MergeBase(nf4, before, float(losses.mean()), float(losses_nf4.mean()))


def _compare(
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
        reference.opened(out) as made,
    ):
        compared, kept = RunningDivergence(), []
        for (log_p, targets), (log_q, _) in zip(source.predictions(samples), made.predictions(samples), strict=True):
            compared.add(log_p, log_q, targets)
            kept.append(log_q.astype("float16"))
        if imatrix:
            importance.collect(made, base, data, out)
    divergence.save_reference(out / divergence.REFERENCE, samples, kept)
    return compared.result()


def _judged(merged: Merged, adapter: Adapter | None) -> list[Check]:
    """The checks of what was merged."""
    expected = merged.delta_norm_expected
    error = abs(merged.delta_norm - expected) / expected if expected else 0.0
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
        checks += [
            verdict("merge.delta", round(error, 5), DELTA_TOLERANCE, "relative",
                  expected > 0 and error <= DELTA_TOLERANCE,
                  f"The weights moved by {merged.delta_norm:.4g}; the adapter says {expected:.4g}."),
        ]  # fmt: skip
        checks += _kept_what_was_learned(merged, adapter)
    return checks


def _figures(merged: Merged) -> tuple[Figure, ...]:
    """What merging itself refuses (a weight that is not finite), or what peft did and nobody else counted."""
    largest = Figure(id="merge.largest_weight", measured=merged.largest_weight, unit="weight",
                     says="The largest merged weight; FP16 holds up to 65,504.")  # fmt: skip
    if not merged.by_peft:
        return (largest,)
    pairs = Figure(id="merge.pairs", measured=merged.pairs_total, unit="pairs",
                   says=f"peft merged {merged.pairs_total} adapter pairs.")  # fmt: skip
    return largest, pairs


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
