"""The figures of a comparison, against sums written out by hand."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from packager.prompt.masking import Encoded
from packager.proof import divergence
from packager.proof.divergence import RunningDivergence


def test_figures_by_hand() -> None:
    p, q = np.array([[0.5, 0.25, 0.25], [0.8, 0.1, 0.1]]), np.array([[0.25, 0.5, 0.25], [0.7, 0.2, 0.1]])
    compared = RunningDivergence()
    for row_p, row_q, target in zip(p, q, (0, 1), strict=True):  # chunk by chunk
        compared.add(np.log(row_p[None]).astype("f4"), np.log(row_q[None]).astype("f4"), [target])
    found = compared.result()
    kl = [sum(a * math.log(a / b) for a, b in zip(rp, rq, strict=True)) for rp, rq in zip(p, q, strict=True)]
    change = [math.log(0.5 / 0.25), math.log(0.1 / 0.2)]
    assert found.positions == 2
    assert found.kl_mean == pytest.approx(sum(kl) / 2, rel=1e-6)
    assert found.kl_median == pytest.approx(sum(kl) / 2, rel=1e-6)
    assert found.same_top == 0.5
    assert found.loss == pytest.approx(-(math.log(0.25) + math.log(0.2)) / 2, rel=1e-6)
    assert found.perplexity_ratio == pytest.approx(math.exp(sum(change) / 2), rel=1e-6)
    assert found.perplexity_ratio_error == 0.0, "one block has no spread"


def test_tokens_of_one_text_are_not_independent() -> None:
    """Eight texts whose tokens all change alike tell no more than eight tokens do."""
    texts = np.random.default_rng(0).standard_normal(8)
    alone = divergence.standard_error(texts, list(range(1, 9)))
    assert alone == pytest.approx(texts.std(ddof=1) / math.sqrt(8))
    tokens = np.repeat(texts, 50)
    assert divergence.standard_error(tokens, list(range(50, 401, 50))) == pytest.approx(alone)
    assert divergence.standard_error(tokens, []) == pytest.approx(alone, rel=0.3), "blocks of neighbours, without texts"
    assert divergence.standard_error(tokens, [400]) > 3 * tokens.std() / math.sqrt(400)


def test_no_number_stays_no_number() -> None:
    compared = RunningDivergence()
    compared.add(np.log(np.full((1, 4), 0.25, "f4")), np.full((1, 4), np.nan, "f4"), [1])
    assert math.isnan(compared.result().kl_mean)


def test_log_softmax_of_large_logits() -> None:
    logits = np.array([[1000.0, 1000.0, -1000.0]], "f4")
    assert divergence.log_softmax(logits)[0] == pytest.approx([math.log(0.5), math.log(0.5), -2000 + math.log(0.5)])
    assert logits[0, 0] == 1000.0


def test_what_is_kept_comes_back(tmp_path: Path) -> None:
    samples = [Encoded.predicting((5, 6, 7), (0, 1)), Encoded.predicting((8, 9), (0,))]
    log_p = np.log(np.random.default_rng(0).dirichlet(np.ones(11), 3)).astype("f4")
    divergence.save_reference(tmp_path / "reference.npz", samples, [log_p[:2], log_p[2:]])
    kept, found = divergence.load_reference(tmp_path / "reference.npz")
    assert kept == samples
    assert np.abs(found.astype("f4") - log_p).max() < 0.01


def test_what_both_hold_for_impossible_diverges_by_nothing() -> None:
    log_p = np.array([[math.log(0.5), math.log(0.5), -np.inf]], np.float32)
    compared = RunningDivergence()
    compared.add(log_p, log_p.copy(), [0])
    assert compared.result().kl_mean == 0.0
    compared.add(np.full((1, 3), np.nan, np.float32), log_p, [0])
    assert math.isnan(compared.result().kl_mean), "what is no number stays none"
