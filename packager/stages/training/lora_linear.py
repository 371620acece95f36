"""A frozen linear layer and its adapter as one operation of autograd.

peft computes base(x) + s * B(A(x)) as five operations and keeps four results. Here the adapter is
added in place by the matrix product itself, an NF4 weight is expanded once in each direction, and
the adapter stays in fp32 while the product runs in the type of x. The same in training and in
evaluation, so bitsandbytes' repacking of the weight (see `model.load`) is never reached.
"""

from __future__ import annotations

from typing import Any

import bitsandbytes as bnb
import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from torch.nn import functional


def fuse(model: nn.Module) -> int:
    """Replace the forward of every adapted linear layer in `model`; returns how many.

    Layers of other kinds (embeddings, convolutions) keep peft's own forward.
    """
    fused = 0
    for module in model.modules():
        if isinstance(module, LoraLayer) and isinstance(module.get_base_layer(), nn.Linear):
            module.forward = _Forward(module)
            fused += 1
    return fused


class _Forward:
    """The forward of one adapted layer; calls what it closes over, owns nothing."""

    def __init__(self, layer: Any) -> None:
        (name,) = layer.active_adapters
        self.base = layer.get_base_layer()
        self.a, self.b = layer.lora_A[name].weight, layer.lora_B[name].weight
        self.scale = float(layer.scaling[name])
        self.dropout = layer.lora_dropout[name]

    def __call__(self, x: Tensor) -> Tensor:
        dropped = self.dropout(x) if isinstance(self.dropout, nn.Dropout) and self.dropout.training else None
        y: Tensor = _AdaptedLinear.apply(x, dropped, self.a, self.b, self.scale, self.base)  # type: ignore[no-untyped-call]
        return y


def _weight(base: nn.Linear, dtype: torch.dtype) -> Tensor:
    """The frozen weight [out, in], expanded if it is NF4."""
    if isinstance(base, bnb.nn.Linear4bit):
        expanded: Tensor = bnb.functional.dequantize_4bit(base.weight.data, base.weight.quant_state)
        return expanded.to(dtype)
    return base.weight.to(dtype)


class _AdaptedLinear(torch.autograd.Function):
    """y = x W' + bias + s (x A') B', W and bias frozen; x [..., in], A [rank, in], B [out, rank], y [..., out]."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, dropped: Tensor | None, a: Tensor, b: Tensor, scale: float, base: nn.Linear
    ) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])
        source = flat if dropped is None else dropped.reshape(flat.shape)
        bias = None if base.bias is None else base.bias.to(x.dtype)
        y = functional.linear(flat, _weight(base, x.dtype), bias)
        inner = source @ a.to(x.dtype).t()
        y.addmm_(inner, b.to(x.dtype).t(), alpha=scale)
        ctx.save_for_backward(source, inner, a, b)
        ctx.base, ctx.scale, ctx.separate, ctx.shape = base, scale, dropped is not None, x.shape
        return y.view(*x.shape[:-1], y.shape[-1])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        source, inner, a, b = ctx.saved_tensors
        flat = grad.reshape(-1, grad.shape[-1])
        inner_grad = (flat @ b.to(flat.dtype)).mul_(ctx.scale)
        grad_a = (inner_grad.t() @ source).to(a.dtype)
        grad_b = (flat.t() @ inner).to(b.dtype).mul_(ctx.scale)
        grad_x = grad_dropped = None
        if ctx.needs_input_grad[0]:
            grad_x = flat @ _weight(ctx.base, flat.dtype)
            if not ctx.separate:
                grad_x.addmm_(inner_grad, a.to(flat.dtype))
            grad_x = grad_x.view(ctx.shape)
        if ctx.separate and ctx.needs_input_grad[1]:
            grad_dropped = (inner_grad @ a.to(flat.dtype)).view(ctx.shape)
        return grad_x, grad_dropped, grad_a, grad_b, None, None
