"""The losses that the training's process saw, and the reference's on the same rows -> checks.

The reference reads the base and the adapter anew and computes in float32; training computed with weights as
bitsandbytes and transformers loaded them, with peft's modules, in the processor's own type. What both
read the same way they must score alike, within the rounding of that type. Measured on the default recipe
(SmolLM2-135M, 24 layers' worth of rounding, 129 answer tokens): see `ROUNDING`.
"""

from __future__ import annotations

from packager.artifacts.checks import Check, verdict
from packager.artifacts.kinds import Adapter

ROUNDING = {"float32": 1e-3, "float16": 5e-3, "bfloat16": 1.5e-2}
"""Nats a token, by the type that training computed in, for losses up to 1; above, in parts of the loss."""


def reproduced(adapter: Adapter, base: float | None, tuned: float | None) -> list[Check]:
    """The reference's losses on the fixed rows of `adapter.as_trained`, without and with the adapter."""
    seen = adapter.as_trained
    if seen is None:
        return []
    on = "base rounded to NF4" if adapter.method == "qlora" else "base"
    pairs = [("merge.base_loss", seen.loss_base, base, f"the {on}"),
             ("merge.tuned_loss", seen.loss_tuned, tuned, f"the {on} with its adapter")]  # fmt: skip
    return [
        _check(name, theirs, ours, what, seen.computed_in)
        for name, theirs, ours, what in pairs
        if theirs is not None and ours is not None
    ]


def _check(name: str, theirs: float, ours: float, what: str, computed_in: str) -> Check:
    allowed = ROUNDING[computed_in] * max(1.0, theirs)
    off = abs(ours - theirs)
    says = (
        f"On the same rows training saw a loss of {theirs:.4f} for {what} (in {computed_in}), the reference {ours:.4f}."
    )
    return verdict(name, round(off, 5), round(allowed, 5), "nats/token", off <= allowed, says)
