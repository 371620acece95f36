"""A quantization type and a model's size -> how far its predictions may be from F16's.

What a type costs depends on the model: Q4_K_M takes 0.03 nats a token from an 8B model and 0.05 from a 135M one,
Q8_0 0.001 and 0.004. One limit for all lets a broken 8B file pass. So a file may cost `FACTOR` times what its type
is known to cost at its size, and never more than `USELESS`. A recipe's own thresholds take their place.

What a file costs also depends on how sure its source is. Logits that are off by independent noise of variance v move
probabilities p by a divergence of half the noise's variance under p, which is v (1 - sum p^2) / 2 on average: the
same rounding costs a model that is sure of its next token little. So the limit of the divergence grows with 1 - sum p^2
(`Divergence.spread`) beyond that of the model of the first table. Where hardly any token stands out, the model knows
nothing yet (random weights, trained for minutes). Such a network may amplify a rounding without bound (measured in
docs/proof.md): neither the divergence nor the likeliest token tells a good file from a bad one, and neither is judged.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from packager.recipe.sections import Thresholds

FACTOR = 3.0
"""Other texts, vocabularies and training than those of the tables, and some hundred tokens: measured figures of
one type differ by up to 2 (Q4_K_M of Llama 2 7B and Llama 3 8B: 0.013 and 0.031)."""
USELESS = (0.3, 0.6, 1.25)
"""KL divergence (nats a token), same likeliest token, perplexity ratio: beyond these no file is worth having."""
CHANCE = 0.03
"""Perplexity ratio that the choice of some 768 tokens may add: two standard errors of what was measured at 135M."""
SPREAD = 0.68
"""1 - sum p^2 of the model of the first table, on its held-out answers: 0.680 at 797 positions."""
UNSURE = 0.95
"""From this spread on neither divergence nor likeliest token is judged: the square of the latter's probability is
1 - spread at most, so on average it has 0.224 at most."""
SMALL, LARGE = 5e8, 4e9
"""Parameters below which the small table holds, and from which on the large one; between, their geometric mean."""


@dataclass(frozen=True)
class Cost:
    """What a type is known to cost."""

    kl: float
    same_top: float
    ratio: float


@dataclass(frozen=True)
class Limits:
    """What a file may cost."""

    kl: float | None
    """None: not judged."""
    same_top: float | None
    """None: not judged."""
    ratio: float


OF_135M = {
    "Q8": Cost(0.0044, 0.95, 1.001),
    "Q6": Cost(0.012, 0.93, 1.007),
    "Q5": Cost(0.039, 0.89, 1.039),
    "Q4_K": Cost(0.056, 0.85, 1.063),
    "Q4": Cost(0.317, 0.69, 1.387),
    "Q3": Cost(0.198, 0.75, 1.235),
    "Q2": Cost(0.588, 0.55, 1.793),
}
"""SmolLM2-135M-Instruct after the default recipe's training, 1,052 held-out answer tokens: docs/proof.md."""
OF_8B = {
    "Q8": Cost(0.00136, 0.977, 1.0004),
    "Q6": Cost(0.00545, 0.960, 1.0035),
    "Q5": Cost(0.0222, 0.930, 1.021),
    "Q4_K": Cost(0.0431, 0.905, 1.043),
    "Q4": Cost(0.0719, 0.870, 1.075),
    "Q3": Cost(0.228, 0.780, 1.262),
    "Q2": Cost(0.445, 0.711, 1.565),
}
"""Llama 3 8B on Wikitext-2, the worst of each kind without importance matrix (Q8_0, Q6_K, Q5_0, Q4_K_S, Q4_0,
Q3_K_S, Q2_K), as llama.cpp's tools/perplexity/README.md has them; ratios are its perplexities over 6.2313.
`same_top` is published for Q8_0, Q6_K, Q4_K_M (91.9 %) and Q2_K; the others lie between, by the root of the KL."""
_KINDS = ((r"I?Q4_(K|NL|XS)", "Q4_K"), (r"I?Q8", "Q8"), (r"I?Q6", "Q6"), (r"I?Q5", "Q5"), (r"I?Q4", "Q4"),
          (r"I?Q3", "Q3"), (r"I?Q[12]|T?Q[12]", "Q2"))  # fmt: skip


def limits_of(kind: str, parameters: int, own: Thresholds, spread: float | None = None) -> Limits:
    """The most that a file of this type may cost a model of so many parameters whose predictions have this `spread`;
    the recipe's `own` limits hold where it has any. A type that no table has (16 bits, new ones) is held to Q8's or to
    `USELESS`."""
    found = _of_spread(_known(kind, parameters), spread or 0.0)
    return Limits(
        kl=found.kl if own.max_kl is None else own.max_kl,
        same_top=found.same_top if own.min_same_top is None else own.min_same_top,
        ratio=found.ratio if own.max_perplexity_ratio is None else own.max_perplexity_ratio,
    )


def _of_spread(cost: Cost, spread: float) -> Limits:
    """The limits for a source that may be less sure than that of the table."""
    if spread >= UNSURE:
        return Limits(None, None, cost.ratio)
    return Limits(min(USELESS[0], cost.kl * max(1.0, spread / SPREAD)), cost.same_top, cost.ratio)


def _known(kind: str, parameters: int) -> Cost:
    kl, top, ratio = USELESS
    name = "Q8" if kind in ("F32", "F16", "BF16") else next((n for p, n in _KINDS if re.match(p, kind)), "")
    if not name:
        return Cost(kl, top, ratio)
    small, large = OF_135M[name], OF_8B[name]
    if kind.startswith("IQ4") and parameters < LARGE:
        small = OF_135M["Q4"]  # without a matrix of 256 columns they fall back, and lose as Q4_0 does
    if parameters < SMALL:
        # So small a model is unsure of its likeliest token: there the divergence tells more.
        return Cost(min(kl, FACTOR * small.kl), top, min(ratio, 1 + FACTOR * (small.ratio - 1) + CHANCE))
    if parameters >= LARGE:
        cost = large
    else:
        cost = Cost(
            math.sqrt(small.kl * large.kl),
            1 - math.sqrt((1 - small.same_top) * (1 - large.same_top)),
            1 + math.sqrt((small.ratio - 1) * (large.ratio - 1)),
        )
    return Cost(
        kl=min(kl, FACTOR * cost.kl),
        same_top=max(top, 1 - 2 * (1 - cost.same_top)),
        ratio=min(ratio, 1 + FACTOR * (cost.ratio - 1) + CHANCE),
    )
