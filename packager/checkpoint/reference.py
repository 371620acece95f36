"""The reference computation: a checkpoint's predictions in float32, from its files, in bounded memory.

Checkpoint folder, with or without an adapter, on 16-bit weights or through an NF4 round trip ->
log-probabilities at chosen positions. transformers' own model code runs, but every matrix is read
block by block when it is multiplied and forgotten again, so an 8B model needs no 16 GB. A model
whose matrices are not plain linear layers is loaded whole. Fails with `ProofFailed` if a weight
that the configuration asks for is not in the files.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packager.artifacts.kinds import Divergence
from packager.checkpoint import lora, weights
from packager.errors import ProofFailed
from packager.process import progress
from packager.prompt.masking import Encoded
from packager.proof import divergence
from packager.proof.divergence import RunningDivergence

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from torch import Tensor

BATCH_TOKENS = 4096
"""Padded tokens that run through the layers at once: each batch reads all weights once."""
BLOCK_ELEMENTS = 8 << 20
"""Elements of a matrix in memory at once (32 MB)."""
LOGIT_BYTES = 64 << 20
"""Logits in memory at once."""


class Reference:
    """A checkpoint that can be asked for its predictions. Made by `opened`."""

    def __init__(self, model: Any, device: Any) -> None:
        self._model, self._device = model, device
        self._body = getattr(model, model.base_model_prefix)
        self._forward = self._body.forward

    def predictions(self, samples: Sequence[Encoded]) -> Iterator[tuple[divergence.Float32, list[int]]]:
        """Yield log-probabilities [n, vocabulary] and the n tokens that follow, for all positions of
        all samples in their order; n depends on the vocabulary alone."""
        import torch

        rows = max(1, LOGIT_BYTES // 4 // self._model.config.get_text_config().vocab_size)
        targets = [sample.ids[i + 1] for sample in samples for i in sample.at]
        hidden = torch.cat([h[list(s.at)] for h, s in zip(self._hidden(samples), samples, strict=True)])
        for start in range(0, len(targets), rows):
            logits = self._head(hidden[start : start + rows])
            yield torch.log_softmax(logits, dim=-1).cpu().numpy(), targets[start : start + rows]

    def losses(self, samples: Sequence[Encoded]) -> npt.NDArray[np.float64]:
        """-log p of every target, in nats, in the samples' order."""
        import numpy as np

        found = [-log_p[np.arange(len(t)), t].astype(np.float64) for log_p, t in self.predictions(samples)]
        return np.concatenate(found)

    def observe(self, samples: Sequence[Encoded], see: Callable[[str, Tensor], None]) -> None:
        """Run the samples through the layers. For every batch and every linear layer but the head,
        `see(name of the layer, its inputs [tokens, in])`; padding is left out."""
        import torch
        from torch import nn

        real: Any = None
        head = self._model.get_output_embeddings()

        def watch(name: str) -> Callable[..., None]:
            def hook(_: Any, inputs: tuple[Tensor, ...]) -> None:
                rows = inputs[0].reshape(-1, inputs[0].shape[-1])
                if len(rows) == real.numel():  # an expert is given some of the tokens, in an order of its own
                    see(name, rows[real.flatten()])

            return hook

        with contextlib.ExitStack() as hooks, torch.inference_mode():
            for name, module in self._model.named_modules():
                if type(module) is nn.Linear and module is not head:
                    hooks.callback(module.register_forward_pre_hook(watch(name)).remove)
            for batch, ids in self._padded(samples):
                lengths = torch.tensor([len(samples[i].ids) for i in batch], device=self._device)
                real = torch.arange(ids.shape[1], device=self._device) < lengths[:, None]
                self._body(input_ids=ids, use_cache=False)

    def _hidden(self, samples: Sequence[Encoded]) -> list[Tensor]:
        """The last hidden states [tokens, hidden] of every sample."""
        import torch

        found: list[Any] = [None] * len(samples)
        for batch, ids in self._padded(samples):
            with torch.no_grad():
                states = self._body(input_ids=ids, use_cache=False).last_hidden_state
            for row, i in zip(states, batch, strict=True):
                found[i] = row[: len(samples[i].ids)].clone()
        return found

    def _padded(self, samples: Sequence[Encoded]) -> Iterator[tuple[list[int], Tensor]]:
        """Lots of samples of like length: their numbers, and their tokens [samples, longest]."""
        import torch

        order = sorted(range(len(samples)), key=lambda i: len(samples[i].ids))
        for batch in _batches(order, [len(s.ids) for s in samples]):
            width = max(len(samples[i].ids) for i in batch)
            # Padding is on the right, where causal attention never looks.
            rows = [[*samples[i].ids, *[0] * (width - len(samples[i].ids))] for i in batch]
            yield batch, torch.tensor(rows, device=self._device)

    def _head(self, hidden: Tensor) -> Tensor:
        """The model's own head, whatever it does around its matrix: the model runs with a body that
        returns `hidden` [n, hidden] as it is."""
        import torch
        from transformers.modeling_outputs import BaseModelOutputWithPastAndCrossAttentions as Output

        made = Output(last_hidden_state=hidden[None])
        self._body.forward = lambda *_, **__: made
        try:
            ids = torch.zeros((1, len(hidden)), dtype=torch.long, device=hidden.device)
            with torch.no_grad():
                logits: Tensor = self._model(input_ids=ids, use_cache=False).logits[0].float()
        finally:
            self._body.forward = self._forward
        return logits


@contextlib.contextmanager
def opened(folder: Path, adapter: Path | None = None, *, nf4: bool = False) -> Iterator[Reference]:
    """The checkpoint in `folder`, plus the adapter in its folder, unmerged; with `nf4`, its matrices
    are first rounded to NF4 as QLoRA does. On the GPU if there is one."""
    import torch

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    tensors = weights.checkpoint(folder)
    if adapter is not None and (reason := lora.unusual(adapter, folder)):
        progress.note(f"the reference holds the model in memory ({reason})")
        yield Reference(_in_memory(folder, adapter, nf4=nf4).to(device), device)
        return
    pairs = lora.read_pairs(adapter, tensors) if adapter else {}
    tensors |= lora.read_whole(adapter, tensors) if adapter else {}
    with weights.Reader() as reader:
        model = _streamed(folder, reader, tensors, pairs, device, nf4=nf4)
        yield Reference(model or _in_memory(folder, adapter, nf4=nf4).to(device), device)


def compare(source: Reference, made: Reference, samples: Sequence[Encoded]) -> Divergence:
    """How far `made` predicts from `source`."""
    comparison = RunningDivergence()
    for (log_p, targets), (log_q, _) in zip(source.predictions(samples), made.predictions(samples), strict=True):
        comparison.add(log_p, log_q, targets)
    return comparison.result()


def round_trip(matrix: divergence.Float32) -> divergence.Float32:
    """A matrix rounded to NF4 with double quantization and back, as bitsandbytes loads it for QLoRA."""
    import torch
    from bitsandbytes import functional

    packed, state = functional.quantize_4bit(
        torch.from_numpy(matrix).contiguous(), quant_type="nf4", compress_statistics=True
    )
    found: divergence.Float32 = functional.dequantize_4bit(packed, state).float().numpy()
    return found


def _batches(order: Sequence[int], lengths: Sequence[int]) -> Iterator[list[int]]:
    """`order`, which goes by length, in lots of at most BATCH_TOKENS padded tokens."""
    batch: list[int] = []
    for i in order:
        if batch and (len(batch) + 1) * lengths[i] > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def _in_memory(folder: Path, adapter: Path | None, *, nf4: bool) -> Any:
    import torch
    from peft import PeftModel
    from torch import nn
    from transformers import AutoModelForCausalLM

    model, info = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, local_files_only=True, trust_remote_code=False, output_loading_info=True
    )
    if info["missing_keys"]:
        raise _lacking(min(info["missing_keys"]))
    for module in model.modules() if nf4 else ():
        if type(module) is nn.Linear and module is not model.get_output_embeddings():
            module.weight.data = torch.from_numpy(round_trip(module.weight.data.numpy()))
    return (PeftModel.from_pretrained(model, adapter).get_base_model() if adapter else model).eval()


def _lacking(name: str) -> ProofFailed:
    return ProofFailed(f"merge.logits: the checkpoint has no {name}.", "use another base model")


def _streamed(
    folder: Path,
    reader: weights.Reader,
    tensors: Mapping[str, weights.Tensor],
    pairs: Mapping[str, lora.Pair],
    device: Any,
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
                raise _lacking(f"{name}.{part}")
            if part == "weight" and type(module) is nn.Linear:
                round_to_nf4 = nf4 and module is not head
                product = _product(module, reader, tensor, pairs.get(f"{name}.weight"), nf4=round_to_nf4)
                module.forward = product  # type: ignore[method-assign, assignment]
            elif part == "weight" and module is table:
                module.forward = _lookup(reader, tensor, device)
            else:
                value = torch.from_numpy(reader.rows(tensor).reshape(tensor.shape).copy())
                module._parameters[part] = nn.Parameter(value.to(device), requires_grad=False)
    for module in model.modules():
        for part, buffer in module._buffers.items():
            module._buffers[part] = None if buffer is None else buffer.to(device)
    return model


def _product(
    module: Any, reader: weights.Reader, tensor: weights.Tensor, pair: lora.Pair | None, *, nf4: bool
) -> Callable[[Tensor], Tensor]:
    """x [..., in] -> x W' + scale (x A') B' + bias, W read block by block (whole, to round it to NF4)."""
    import torch

    step = tensor.rows if nf4 else max(1, BLOCK_ELEMENTS // tensor.shape[1])
    low_rank = (torch.from_numpy(pair.a.copy()), torch.from_numpy(pair.b.copy())) if pair else None
    factors: list[Tensor] = []
    """What DoRA multiplies the outputs of each block with; found when it is first run."""

    def forward(x: Tensor) -> Tensor:
        out = x.new_empty((*x.shape[:-1], tensor.rows))
        first = not factors
        for start in range(0, tensor.rows, step):
            stop = min(start + step, tensor.rows)
            block = reader.rows(tensor, start, stop)
            block = round_trip(block) if nf4 else block if block.flags.writeable else block.copy()
            matrix = torch.from_numpy(block).to(x.device)
            out[..., start:stop] = x @ matrix.T
            if pair and low_rank and pair.magnitude is not None and first:
                length = (matrix + pair.scale * (low_rank[1][start:stop] @ low_rank[0]).to(x.device)).norm(dim=1)
                factors.append(torch.from_numpy(pair.magnitude[start:stop].copy()).to(x.device) / length)
        if pair and low_rank:
            a, b = (side.to(x.device) for side in low_rank)
            out += pair.scale * ((x @ a.T) @ b.T)
        if factors:
            out *= torch.cat(factors)
        return out if module.bias is None else out + module.bias

    return forward


def _lookup(reader: weights.Reader, tensor: weights.Tensor, device: Any) -> Callable[[Tensor], Tensor]:
    """ids [...] -> rows of the embedding [..., hidden]; only the rows that occur are read."""
    import numpy as np
    import torch

    def forward(ids: Tensor) -> Tensor:
        wanted, where = torch.unique(ids, return_inverse=True)
        rows = np.concatenate([reader.rows(tensor, i, i + 1) for i in wanted.tolist()])
        return torch.from_numpy(rows).to(device)[where]

    return forward
