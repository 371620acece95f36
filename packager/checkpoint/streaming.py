"""transformers' model code over a checkpoint's files: a model whose matrices are read when they are multiplied.

Tensors of safetensors files and an adapter's pairs -> a module tree without matrices of its own. Fails with
`ProofFailed` if a weight that the configuration asks for is not in the files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packager.checkpoint import lora, weights
from packager.checkpoint.matrices import Matrices
from packager.errors import ProofFailed

if TYPE_CHECKING:
    from torch import Tensor


@dataclass
class Pass:
    """What the layers compute when texts run through them; set before."""

    adapted: Tensor | None = None
    """bool, broadcasts over the outputs of a layer: what the adapter is added to."""
    shape: tuple[int, ...] = ()
    """[texts, width]."""
    tokens: Tensor | None = None
    """Numbers of the places, text after text, that hold tokens; None where there is no padding. A layer that is given
    another shape multiplies all that it is given."""


def lacking(name: str) -> ProofFailed:
    return ProofFailed(f"merge.logits: the checkpoint has no {name}.", "use another base model")


def streamed(
    folder: Path,
    matrices: Matrices,
    tensors: Mapping[str, weights.Tensor],
    pairs: Mapping[str, lora.Pair],
    current: Pass,
    *,
    nf4: bool,
) -> Any:
    """The model without its matrices: linear and embedding layers read theirs from `tensors` when
    they run. None if the model has weights of another kind."""
    import torch
    from accelerate import init_empty_weights
    from torch import nn
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    with init_empty_weights(include_buffers=False):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.eval()
    layers: list[tuple[str, Any]] = list(model.named_modules())
    head, table = model.get_output_embeddings(), model.get_input_embeddings()
    named = next(name for name, module in layers if module is table)
    tied = tensors.get(f"{named}.weight") if config.get_text_config().tie_word_embeddings else None
    for name, module in layers:
        for part, parameter in list(module.named_parameters(recurse=False)):
            plain = type(module) is nn.Linear or (type(module) is nn.Embedding and module is table)
            if parameter.dim() > 1 and not (plain and part == "weight"):
                return None
            tensor = tied if module is head and tied and part == "weight" else tensors.get(f"{name}.{part}")
            if tensor is None:
                raise lacking(f"{name}.{part}")
            if part == "weight" and type(module) is nn.Linear:
                round_to_nf4 = nf4 and module is not head
                product = _product(module, matrices, tensor, pairs.get(f"{name}.weight"), current, nf4=round_to_nf4)
                module.forward = product  # type: ignore[method-assign, assignment]
            elif part == "weight" and module is table:
                module.forward = _lookup(matrices, tensor)
            else:
                value = matrices.block(tensor, 0, tensor.rows).reshape(tensor.shape)
                module._parameters[part] = nn.Parameter(value.to(matrices.device), requires_grad=False)
    for module in model.modules():
        for part, buffer in module._buffers.items():
            module._buffers[part] = None if buffer is None else buffer.to(matrices.device)
    return model


def _product(
    module: Any,
    matrices: Matrices,
    tensor: weights.Tensor,
    pair: lora.Pair | None,
    current: Pass,
    *,
    nf4: bool,
) -> Callable[[Tensor], Tensor]:
    """x [..., in] -> x W' + scale (x A') B' + bias, and 0 for padding; W read block by block (whole, to round it)."""
    import torch

    low_rank = (torch.from_numpy(pair.a.copy()), torch.from_numpy(pair.b.copy())) if pair else None
    factors: list[Tensor] = []
    """What DoRA multiplies the outputs of each block with; found when it is first run."""

    def of_tokens(x: Tensor, adapted: Tensor | None) -> Tensor:
        out = x.new_empty((len(x), tensor.rows))
        first = not factors
        for start, stop, matrix in matrices.blocks(tensor, nf4=nf4):
            torch.mm(x, matrix.T, out=out[:, start:stop])
            if pair and low_rank and pair.magnitude is not None and first:
                length = (matrix + pair.scale * (low_rank[1][start:stop] @ low_rank[0]).to(x.device)).norm(dim=1)
                factors.append(torch.from_numpy(pair.magnitude[start:stop].copy()).to(x.device) / length)
        if pair and low_rank:
            a, b = (side.to(x.device) for side in low_rank)
            assert adapted is not None
            out.addmm_((x @ a.T) * (pair.scale * adapted), b.T)
            if factors:
                out *= torch.where(adapted, torch.cat(factors), 1.0)
        return out if module.bias is None else out + module.bias

    def forward(x: Tensor) -> Tensor:
        rows, shape = x.reshape(-1, x.shape[-1]), (*x.shape[:-1], tensor.rows)
        adapted = None
        if pair and current.adapted is not None:
            adapted = current.adapted.expand(*x.shape[:-1], 1).reshape(-1, 1)
        tokens = current.tokens
        if tokens is None or x.shape[:-1] != current.shape:
            return of_tokens(rows, adapted).view(shape)
        found = of_tokens(rows[tokens], None if adapted is None else adapted[tokens])
        return found.new_zeros((len(rows), tensor.rows)).index_copy_(0, tokens, found).view(shape)

    return forward


def _lookup(matrices: Matrices, tensor: weights.Tensor) -> Callable[[Tensor], Tensor]:
    """ids [...] -> rows of the embedding [..., hidden]; only the rows that occur are read."""
    import torch

    def forward(ids: Tensor) -> Tensor:
        wanted, where = torch.unique(ids, return_inverse=True)
        return matrices.rows(tensor, wanted.tolist())[where]

    return forward
