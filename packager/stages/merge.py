"""Base + adapter -> the merged checkpoint, proven to predict what base + adapter predict.

Whether the base is first rounded to NF4, as the adapter saw it in training, is decided by held-out
loss. The arithmetic is in `packager/checkpoint/merge.py`; fails as that does. What was measured is judged
here, so that a build does not go on with a merge that diverged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from packager.artifacts.kinds import Adapter, Check, Checkpoint, Dataset, Divergence, Merged, verdict
from packager.checkpoint import lora
from packager.checkpoint.merge import merge_adapter
from packager.process import progress
from packager.prompt.corpus import Sample, answer_samples, corpus_samples
from packager.prompt.long_texts import long_samples
from packager.proof import head
from packager.proof.reproduction import reproduced
from packager.recipe.sections import Section

HELDOUT_TOKENS = 512
"""Held-out answer tokens on which the base to merge into is chosen."""
POSITIONS = 256
"""Predictions that are compared, and kept for the F16 file to be compared with."""
DELTA_TOLERANCE = 2e-3
"""Along the update, relatively, beside what rounding explains: a right merge has 0 (checkpoint/change.py)."""
UNEXPLAINED = 0.02
"""Across it: what float32 in another order may leave. A wrong pair leaves 1 or more."""
MERGE_KL = 1e-3
"""Nats per token: see docs/proof.md for what was measured."""
KEPT = 0.5
"""Share of what training gained that must be left after the merge; other rows and other weights gain otherwise."""


class Merge(Section):
    """What the merged checkpoint is run for, beside its proof."""

    imatrix: bool
    """Whether to note which columns matter, for quantization."""
    context: int = 0
    """Tokens that the files are served with: predictions are compared that far."""


def merge(config: Merge | None, base: Checkpoint, data: Dataset, adapter: Adapter | None, out: Path) -> Merged:
    """Write the merged checkpoint and `reference.npz`, some of its predictions, into `out`; without an
    adapter, the base in FP16. With `imatrix`, also `imatrix.gguf`."""
    choice = _choose_base(base, data, adapter) if adapter else MergeBase()
    merged = merge_adapter(base, data, adapter, out, nf4=choice.nf4)
    config = config or Merge(imatrix=False)
    far, too_far = long_samples(out, data.folder, config.context, base.parameters)
    for boundary in too_far:
        progress.note(f"not compared beyond {boundary} tokens, where this model computes otherwise: it is too large")
    found = _compare(base, data, adapter, out, far, nf4=choice.nf4, imatrix=config.imatrix)
    merged = merged.model_copy(
        update={
            "rounded_to_nf4": choice.nf4,
            "heldout_tokens": choice.tokens,
            "heldout_loss": choice.loss,
            "heldout_loss_base": choice.loss_base,
            "heldout_loss_16bit": choice.loss_16bit,
            "heldout_loss_nf4": choice.loss_nf4,
            "divergence": found,
        }
    )
    checks = [*_judged(merged, adapter), *head.tied(base.folder)]
    if adapter:
        checks += reproduced(adapter, choice.seen_base, choice.seen_tuned)
    return merged.model_copy(update={"checks": tuple(checks)})


@dataclass(frozen=True)
class MergeBase:
    """Which base the adapter is merged into, and the held-out losses that decided it."""

    nf4: bool = False
    tokens: int = 0
    loss: float | None = None
    """On the base that is taken."""
    loss_base: float | None = None
    """On the 16-bit base without the adapter."""
    loss_16bit: float | None = None
    loss_nf4: float | None = None
    seen_base: float | None = None
    """On the rows that training's own process scored, and on the base that it trained on, without the adapter."""
    seen_tuned: float | None = None
    """The same with it."""


def _choose_base(base: Checkpoint, data: Dataset, adapter: Adapter) -> MergeBase:
    """The 16-bit base, or the one rounded to NF4: whichever predicts held-out answers better.

    QLoRA trains the adapter on rounded weights: it may have learned to make up for the rounding.
    """
    from packager.checkpoint import reference

    samples = answer_samples(data.folder / "heldout.jsonl", data.end_of_turn, HELDOUT_TOKENS)
    seen = adapter.as_trained
    rows = seen.rows if seen else 0
    fixed = sum(len(s.at) for s in samples[:rows])
    base_losses, losses = reference.base_and_tuned(base.folder, adapter.folder, samples, len(samples))
    found = MergeBase(
        tokens=len(losses),
        loss=float(losses.mean()),
        loss_base=float(base_losses.mean()),
        loss_16bit=float(losses.mean()),
        seen_base=float(base_losses[:fixed].mean()) if fixed else None,
        seen_tuned=float(losses[:fixed].mean()) if fixed else None,
    )
    if adapter.method != "qlora" or lora.unusual(adapter.folder, base.folder):
        return found
    if not adapter.on_nf4:  # LoftQ's: trained on NF4, made to stand on the 16-bit base
        with reference.opened(base.folder, nf4=True) as rounded:
            return replace(found, seen_base=float(rounded.losses(samples[:rows]).mean()) if rows else None)
    nf4_base, losses_nf4 = reference.base_and_tuned(base.folder, adapter.folder, samples, rows, nf4=True)
    nf4 = bool(losses_nf4.mean() < losses.mean())
    progress.note(
        f"held-out loss on the 16-bit base {losses.mean():.4f}, rounded to NF4 {losses_nf4.mean():.4f}: "
        f"merging into the {'rounded' if nf4 else '16-bit'} one"
    )
    return replace(
        found,
        nf4=nf4,
        loss=float((losses_nf4 if nf4 else losses).mean()),
        loss_nf4=float(losses_nf4.mean()),
        seen_base=float(nf4_base.mean()) if fixed else None,
        seen_tuned=float(losses_nf4[:fixed].mean()) if fixed else None,
    )


def _compare(
    base: Checkpoint,
    data: Dataset,
    adapter: Adapter | None,
    out: Path,
    far: Sequence[Sample],
    *,
    nf4: bool,
    imatrix: bool,
) -> Divergence:
    """What the merged checkpoint predicts against base + adapter, unmerged; its predictions are kept,
    and with `imatrix` which of its columns matter."""
    from packager.checkpoint import importance, reference
    from packager.proof import divergence
    from packager.proof.divergence import RunningDivergence

    samples = [*corpus_samples(data.folder, POSITIONS), *far]
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
            _delta(merged),
        ]  # fmt: skip
        checks += _kept_what_was_learned(merged, adapter)
    return checks


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
    """The base that was merged into, and whether what was learned is in it: on the same held-out
    answers the loss must fall by at least half of what training measured."""
    base, clean, nf4 = merged.heldout_loss_base, merged.heldout_loss_16bit, merged.heldout_loss_nf4
    loss = merged.heldout_loss
    if base is None or clean is None or loss is None:
        return []
    into = "the base rounded to NF4, as it was trained" if merged.rounded_to_nf4 else "the 16-bit base"
    rounded = f", {nf4:.4f} if that is rounded to NF4" if nf4 is not None else ""
    drop = (base - loss) / base
    learned = (adapter.heldout_loss_before - adapter.heldout_loss_after) / adapter.heldout_loss_before
    limit = base * (1 - KEPT * max(0.0, learned))
    return [
        verdict("merge.heldout_loss", round(loss, 4), round(limit, 4), "nats/token", loss < limit,
              f"Loss on {merged.heldout_tokens} held-out answer tokens: {base:.4f} of the base as anyone would run it "
              f"(16 bits), {loss:.4f} of what was merged ({drop:.0%} lower). Merged into {into}: with the adapter "
              f"{clean:.4f} on 16 bits{rounded}."),
    ]  # fmt: skip
