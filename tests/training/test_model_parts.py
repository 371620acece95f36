"""What a faster way needs of a model, and whose an error is."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from packager.training.graphs import layers_of
from packager.training.loss import head_sums
from packager.training.model_parts import Unfit, body_of, head_of, hidden_of, while_it_ran


def test_a_model_without_a_part_is_said_to_lack_it() -> None:
    class Bare(nn.Module):
        base_model_prefix = "model"

        def get_output_embeddings(self) -> None:
            return None

    for part, lacks in ((body_of, "no body of the name 'model'"), (head_of, "no head"), (layers_of, "no list")):
        with pytest.raises(Unfit, match=lacks):
            part(Bare())
    with pytest.raises(Unfit, match="no last_hidden_state"):
        hidden_of(SimpleNamespace(logits=torch.zeros(1)))
    head = nn.Linear(8, 4, bias=False).requires_grad_(requires_grad=False)
    with pytest.raises(Unfit, match="more than one product"):
        head_sums(torch.zeros(2, 6), head, torch.zeros(2, dtype=torch.int64))


def test_whose_an_error_is() -> None:
    class Refusing(nn.Module):
        def forward(self, given: torch.Tensor) -> torch.Tensor:
            raise ValueError("not this")

    def raised(call: Callable[[], object]) -> bool:
        with pytest.raises((ValueError, TypeError, RuntimeError)) as caught:
            call()
        return while_it_ran(caught.value)

    assert raised(lambda: Refusing()(torch.zeros(1)))
    assert raised(lambda: Refusing()(torch.zeros(1), cu_seq_lens_q=None))  # a word its forward does not know
    assert raised(lambda: nn.Sequential(nn.Linear(2, 2), Refusing())(torch.zeros(1, 2)))
    assert not raised(lambda: torch.zeros(2) @ torch.zeros(3))  # ours: nobody's module was running
    assert not raised(lambda: int("x"))
