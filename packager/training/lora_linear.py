"""A frozen linear layer and its adapter as one operation of autograd.

peft computes base(x) + s * B(A(x)) as five operations and keeps four results. Here the adapter is
added in place by the matrix product itself, an NF4 weight is expanded once in each direction, and
the adapter stays in fp32 while the product runs in the type of x. The same in training and in
evaluation, so bitsandbytes' repacking of the weight (see `model.load`) is never reached.

On a GPU the same arithmetic is an operator that torch.compile takes as it is (`adapted_linear`).
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import bitsandbytes as bnb
import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from torch.nn import functional

from packager.training.parallel import World, shard, whole

BLOCK, NESTED_BLOCK = 64, 256
"""Weights that share a scale in NF4, and scales that share one themselves: bitsandbytes' own defaults."""


class Frozen(NamedTuple):
    """A frozen weight [out, in]: as it is (`weight` alone), or as NF4 with doubly quantized scales."""

    weight: Tensor
    absmax: Tensor | None = None
    code: Tensor | None = None
    nested: Tensor | None = None
    offset: Tensor | None = None

    def expand(self, shape: tuple[int, int], dtype: torch.dtype) -> Tensor:
        """The weight as a matrix of `dtype`."""
        weight, absmax = self.weight, self.absmax
        if weight.numel() < shape[0] * shape[1] // (1 if absmax is None else 2):
            weight = whole(weight)
        if absmax is None:
            return weight.view(shape).to(dtype)
        if self.code is not None:
            absmax = torch.ops.bitsandbytes.dequantize_blockwise(
                absmax, self.nested, self.code, NESTED_BLOCK, torch.float32
            )
            absmax = absmax + self.offset
        expanded: Tensor = torch.ops.bitsandbytes.dequantize_4bit(weight, absmax, BLOCK, "nf4", shape, dtype)
        return expanded


def fuse(model: nn.Module, seed: Tensor | None = None) -> int:
    """Replace the forward of every adapted linear layer in `model`; returns how many.

    With a `seed` (see `drop`) it is `adapted_linear`, for a GPU. Layers of other kinds (embeddings,
    convolutions) keep peft's own forward.
    """
    fused = 0
    for module in model.modules():
        if isinstance(module, LoraLayer) and isinstance(module.get_base_layer(), nn.Linear):
            (name,) = module.active_adapters
            module.frozen, module.adapter, module.seed = _frozen(module.get_base_layer()), name, seed
            module.salt = None if seed is None else torch.full_like(seed, fused)
            kind: Any = type(module)
            module.__class__ = _adapted_kind(kind)
            fused += 1
    return fused


def packed_weights(model: nn.Module) -> int:
    """How many weights of the adapted layers of `model` are NF4: those that `keep_expanded` keeps in 16 or 32 bits."""
    bases = [module.get_base_layer() for module in _adapted(model)]
    return sum(base.in_features * base.out_features for base in bases if isinstance(base, bnb.nn.Linear4bit))


def keep_expanded(model: nn.Module, dtype: torch.dtype, *, expanded: bool) -> None:
    """Have the adapted layers of `model` keep their weights as matrices of `dtype` too, or expand them at each use.

    The numbers are the same.
    """
    for module in _adapted(model):
        base = module.get_base_layer()
        frozen = _frozen(base)
        module.frozen = Frozen(frozen.expand((base.out_features, base.in_features), dtype)) if expanded else frozen


def shard_frozen(model: nn.Module, world: World, device: torch.device) -> None:
    """Move `model`, which has been through `fuse`, to `device`, of its adapted weights this process's slices only."""
    adapted = _adapted(model)
    for module in adapted:
        base = module.get_base_layer()
        base.weight.data = shard(base.weight.data, world)
    model.to(device)
    for module in adapted:
        module.frozen = _frozen(module.get_base_layer())


def _adapted(model: nn.Module) -> list[Any]:
    return [module for module in model.modules() if isinstance(module, _Adapted)]


def _frozen(base: nn.Linear) -> Frozen:
    if not isinstance(base, bnb.nn.Linear4bit):
        return Frozen(base.weight.data)
    state = base.weight.quant_state
    if not state.nested:
        return Frozen(base.weight.data, state.absmax)
    return Frozen(base.weight.data, state.absmax, state.state2.code, state.state2.absmax, state.offset)


@functools.cache  # one class for all layers of a kind: torch.compile makes one program for one class
def _adapted_kind(kind: Any) -> type[nn.Module]:
    return type(kind.__name__, (_Adapted, kind), {})


class _Adapted:
    """The forward of one adapted layer, put before peft's own class."""

    frozen: Frozen
    adapter: str
    seed: Tensor | None
    salt: Tensor | None

    def forward(self: Any, x: Tensor) -> Tensor:
        a, b = self.lora_A[self.adapter].weight, self.lora_B[self.adapter].weight
        scale, dropout = self.scaling[self.adapter], self.lora_dropout[self.adapter]
        bias = self.base_layer.bias
        drops = isinstance(dropout, nn.Dropout) and self.training
        bias = None if bias is None else bias.to(x.dtype)
        if self.seed is not None:
            dropped = drop(x, dropout.p, self.seed, self.salt) if drops else None
            scaled = (a * scale).to(x.dtype)
            y: Tensor = adapted_linear(x, dropped, *self.frozen, bias, scaled, b.to(x.dtype))[0]
            return y
        dropped = dropout(x) if drops else None
        return _AdaptedLinear.apply(x, dropped, a, b, float(scale), self.frozen, bias)  # type: ignore


def drop(x: Tensor, p: float, seed: Tensor, salt: Tensor) -> Tensor:
    """Dropout that depends on `seed`, `salt` (int32 [1]) and an element's place alone.

    So it is the same when a layer is computed again, nothing has to be kept of it, and a recorded
    launch draws anew when the seed's value has changed. The hash is MurmurHash3's finalizer.
    """
    return _drop(x, p, seed, salt) if torch.compiler.is_compiling() else _compiled_drop()(x, p, seed, salt)


def _drop(x: Tensor, p: float, seed: Tensor, salt: Tensor) -> Tensor:
    place = torch.arange(x.numel(), dtype=torch.int32, device=x.device).view(x.shape)
    mixed = place ^ _mixed(seed ^ _mixed(salt + 1))
    kept = (_mixed(mixed) & 0x7FFFFFFF) >= int(p * 2**31)
    return torch.where(kept, x * (1 / (1 - p)), 0)


def _mixed(h: Tensor) -> Tensor:
    h = (h ^ ((h >> 16) & 0xFFFF)) * -2048144789
    h = (h ^ ((h >> 13) & 0x7FFFF)) * -1028477387
    return h ^ ((h >> 16) & 0xFFFF)


@functools.cache
def _compiled_drop() -> Any:
    return torch.compile(_drop, dynamic=True)


def _forward(
    flat: Tensor, source: Tensor, frozen: Frozen, bias: Tensor | None, a: Tensor, b: Tensor, scale: float
) -> tuple[Tensor, Tensor]:
    """y [n, out] and source A' [n, rank], of flat and source [n, in], all of one type."""
    y = functional.linear(flat, frozen.expand((b.shape[0], a.shape[1]), flat.dtype), bias)
    inner = source @ a.t()
    y.addmm_(inner, b.t(), alpha=scale)
    return y, inner


class _AdaptedLinear(torch.autograd.Function):
    """y = x W' + bias + s (x A') B', W and bias frozen; x [..., in], A [rank, in], B [out, rank], y [..., out]."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, dropped: Tensor | None, a: Tensor, b: Tensor, scale: float, frozen: Frozen, bias: Any
    ) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])
        source = flat if dropped is None else dropped.reshape(flat.shape)
        y, inner = _forward(flat, source, frozen, bias, a.to(x.dtype), b.to(x.dtype), scale)
        ctx.save_for_backward(source, inner, a, b)
        ctx.frozen, ctx.scale, ctx.separate, ctx.shape = frozen, scale, dropped is not None, x.shape
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
            grad_x = flat @ ctx.frozen.expand((b.shape[0], a.shape[1]), flat.dtype)
            if not ctx.separate:
                grad_x.addmm_(inner_grad, a.to(flat.dtype))
            grad_x = grad_x.view(ctx.shape)
        if ctx.separate and ctx.needs_input_grad[1]:
            grad_dropped = (inner_grad @ a.to(flat.dtype)).view(ctx.shape)
        return grad_x, grad_dropped, grad_a, grad_b, None, None, None


@torch.library.custom_op(
    "packager::adapted_linear",
    mutates_args=(),
    schema="(Tensor x, Tensor? dropped, Tensor weight, Tensor? absmax, Tensor? code, Tensor? nested, Tensor? offset,"
    " Tensor? bias, Tensor a, Tensor b) -> (Tensor, Tensor)",
)
def adapted_linear(
    x: Tensor,
    dropped: Tensor | None,
    weight: Tensor,
    absmax: Tensor | None,
    code: Tensor | None,
    nested: Tensor | None,
    offset: Tensor | None,
    bias: Tensor | None,
    a: Tensor,
    b: Tensor,
) -> tuple[Tensor, Tensor]:
    """`_AdaptedLinear` as an operator; A and B of the type of x, the scale in A. Also returns x A' for the backward."""
    flat = x.reshape(-1, x.shape[-1])
    source = flat if dropped is None else dropped.reshape(flat.shape)
    y, inner = _forward(flat, source, Frozen(weight, absmax, code, nested, offset), bias, a, b, 1.0)
    return y.view(*x.shape[:-1], y.shape[-1]), inner


@adapted_linear.register_fake
def _(x: Tensor, dropped: Any, weight: Any, absmax: Any, code: Any, nested: Any, offset: Any, bias: Any, a: Tensor,
      b: Tensor) -> tuple[Tensor, Tensor]:  # fmt: skip
    return x.new_empty(*x.shape[:-1], b.shape[0]), x.new_empty(x.numel() // x.shape[-1], a.shape[0])


@torch.library.custom_op(
    "packager::adapted_linear_backward",
    mutates_args=(),
    schema="(Tensor grad, Tensor source, Tensor inner, Tensor weight, Tensor? absmax, Tensor? code, Tensor? nested,"
    " Tensor? offset, Tensor a, Tensor b, bool separate) -> (Tensor, Tensor, Tensor, Tensor)",
)
def _adapted_linear_backward(
    grad: Tensor,
    source: Tensor,
    inner: Tensor,
    weight: Tensor,
    absmax: Tensor | None,
    code: Tensor | None,
    nested: Tensor | None,
    offset: Tensor | None,
    a: Tensor,
    b: Tensor,
    separate: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of x, of the dropped x (empty unless `separate`), of A and of B."""
    flat, source = grad.reshape(-1, grad.shape[-1]), source.reshape(-1, source.shape[-1])
    inner_grad = flat @ b
    grad_x = flat @ Frozen(weight, absmax, code, nested, offset).expand((b.shape[0], a.shape[1]), flat.dtype)
    if separate:
        grad_dropped = inner_grad @ a
    else:
        grad_x.addmm_(inner_grad, a)
        grad_dropped = grad_x.new_empty(0)
    return grad_x, grad_dropped, inner_grad.t() @ source, flat.t() @ inner


@_adapted_linear_backward.register_fake
def _(grad: Tensor, source: Tensor, inner: Any, weight: Any, absmax: Any, code: Any, nested: Any, offset: Any,
      a: Tensor, b: Tensor, separate: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    shape = (grad.numel() // grad.shape[-1], a.shape[1])
    return grad.new_empty(shape), grad.new_empty(shape if separate else 0), torch.empty_like(a), torch.empty_like(b)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    x, dropped, weight, absmax, code, nested, offset, _, a, b = inputs
    source = x if dropped is None else dropped
    ctx.save_for_backward(source, output[1], weight, absmax, code, nested, offset, a, b)
    ctx.separate = dropped is not None


def _gradients(ctx: Any, grad: Tensor, _: Tensor | None) -> tuple[Tensor | None, ...]:
    saved = ctx.saved_tensors  # once: checkpointing unpacks them no second time
    grad_x, grad_dropped, grad_a, grad_b = _adapted_linear_backward(grad, *saved, ctx.separate)
    shape = saved[0].shape
    return grad_x.view(shape), grad_dropped.view(shape) if ctx.separate else None, *[None] * 6, grad_a, grad_b


adapted_linear.register_autograd(_gradients, setup_context=_setup)
