"""A causal model -> the parts of it that the faster ways run by themselves.

Fails with `Unfit` for a model that lacks them; `compute.choose` then takes a slower way.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


class Unfit(Exception):
    """A faster way does not fit this model; why, in words."""


def body_of(causal: Any) -> Any:
    """All but the head: token ids -> hidden states."""
    body = getattr(causal, causal.base_model_prefix, None)
    if not isinstance(body, nn.Module):
        raise Unfit(f"it has no body of the name {causal.base_model_prefix!r}")
    return body


def head_of(causal: Any) -> Any:
    """What makes logits of hidden states."""
    head = causal.get_output_embeddings()
    if not isinstance(head, nn.Module):
        raise Unfit("it has no head of its own")
    return head


def hidden_of(output: Any) -> Tensor:
    """The last hidden states in what a body returns."""
    states = getattr(output, "last_hidden_state", None)
    if not isinstance(states, Tensor):
        raise Unfit("its body returns no last_hidden_state")
    return states


def attend_by(causal: Any, name: str) -> None:
    """Have `causal` attend by the function that transformers knows by this name."""
    try:
        causal.set_attn_implementation(name)
    except ValueError as error:  # of transformers, for a class that takes no other attention than its own
        raise Unfit(str(error)) from error


def while_it_ran(error: BaseException) -> bool:
    """Whether `error` arose while some module was being called: in code of the model's author, and not in what
    prepares its input or reads its output."""
    called = {nn.Module._call_impl.__code__, nn.Module._wrapped_call_impl.__code__}
    step = error.__traceback__
    while step and step.tb_frame.f_code not in called:
        step = step.tb_next
    return step is not None
