"""What training, merging and quantizing noted of themselves, as frozen values within their artifacts."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class AsTrained(BaseModel):
    """What the training's own process saw, for the merge to be held against: nothing in it was computed by what
    merges or by what checks the merge."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pairs: int
    """Layers that peft adapted."""
    scale: float
    """Each one's update is scale B A, as peft's module has it."""
    computed_in: str
    """float32, bfloat16 or float16."""
    rows: int
    """How many rows were scored: the first of those on which the merge chooses its base."""
    loss_base: float
    """Loss on their answers (nats/token) before the first step, on the base as it is trained on: with qlora
    rounded to NF4."""
    loss_tuned: float | None
    """The same with the adapter that was saved; None for LoftQ's, which is rewritten for another base."""


class Moved(BaseModel):
    """How the weights of a merge moved along the update that was meant: see `checkpoint/change.py`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    along: float
    """Their move along the update, in parts of it; 1: all of it."""
    left: float
    """What rounding to FP16 leaves of the update, in parts of it: less than 1 where it is below the last place."""
    rounding: float
    """The norm of what rounding to FP16 adds across it."""
    worst: str
    """The matrix that is furthest off."""
    off: float
    """How far `along` is from `left` there, relatively."""
    unexplained: float
    """Norm of what neither update nor rounding explains there, in parts of the update."""


class Divergence(BaseModel):
    """How far a model's predictions are from those of the one it was made from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    positions: int
    """How many tokens were predicted by both."""
    of_corpus: int = 0
    """How many of them are of the corpus, where held-out answers were to be compared and are too few."""
    kl_mean: float
    """Mean KL divergence from the source's distribution, nats per token; so the next two."""
    kl_median: float
    kl_99: float
    """99 % of the positions diverge less than this."""
    kl_worst_text: float | None = None
    """The mean of the text that diverges most, where texts were told apart: some reach further than others."""
    same_top: float
    """Share of positions at which both hold the same token for the likeliest."""
    spread: float | None = None
    """Mean over the positions of 1 - sum p^2, p the source's probabilities: 0 where it is sure of one token, near 1
    where many are alike. None where it was not measured."""
    loss: float
    """Mean negative log-likelihood of the tokens, nats."""
    perplexity_ratio: float
    """exp of the mean change of the loss; 1: as good as its source."""
    perplexity_ratio_error: float
    """Standard error of the ratio."""
