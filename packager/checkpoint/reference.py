"""The reference computation: a checkpoint's predictions in float32, from its files, in bounded memory.

Checkpoint folder, with or without an adapter, on 16-bit weights or through an NF4 round trip ->
log-probabilities at chosen positions. transformers' own model code runs, but every matrix is read
block by block when it is multiplied and forgotten again, so an 8B model needs no 16 GB. A model
whose matrices are not plain linear layers is loaded whole. Fails with `ProofFailed` if a weight
that the configuration asks for is not in the files.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packager.checkpoint import lora, weights
from packager.checkpoint.matrices import Matrices
from packager.checkpoint.matrices import opened as opened_matrices
from packager.checkpoint.nf4 import round_trip
from packager.checkpoint.streaming import Pass, lacking, streamed
from packager.process import progress
from packager.process.memory import keep_freed_memory
from packager.prompt.masking import Encoded
from packager.proof import divergence

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from torch import Tensor

BATCH_TOKENS = 4096
"""Padded tokens that run through the layers at once: each batch reads all weights once."""
LOGIT_BYTES = 64 << 20
"""Logits in memory at once."""
ACTIVATION_BYTES = 1 << 28
"""Arrays up to this size, and so many bytes of them, take memory that earlier ones gave back: a layer's are as large as
the last one's, and to map each anew takes a tenth of the time."""


class Reference:
    """A checkpoint that can be asked for its predictions. Made by `opened`."""

    def __init__(self, model: Any, device: Any, current: Pass | None = None, *, splits: bool = False) -> None:
        """`splits`: can samples go through the base alone, in the same pass? Not where the adapter's own embeddings
        replace it."""
        self.splits = splits
        self._model, self._device, self._pass = model, device, current or Pass()
        self._body = getattr(model, model.base_model_prefix)
        self._forward = self._body.forward

    def predictions(self, samples: Sequence[Encoded], bare: int = 0) -> Iterator[tuple[divergence.Float32, list[int]]]:
        """Yield log-probabilities [n, vocabulary] and the n tokens that follow, for all positions of
        all samples in their order; n depends on the vocabulary alone. The last `bare` samples go through
        the base alone, in the same pass over its weights."""
        import torch

        rows = max(1, LOGIT_BYTES // 4 // self._model.config.get_text_config().vocab_size)
        targets = [sample.ids[i + 1] for sample in samples for i in sample.at]
        first_bare = len(samples) - bare
        hidden = torch.cat([h[list(s.at)] for h, s in zip(self._hidden(samples, first_bare), samples, strict=True)])
        adapted = torch.arange(len(targets), device=self._device) < sum(len(s.at) for s in samples[:first_bare])
        for start in range(0, len(targets), rows):
            self._pass.adapted, self._pass.tokens = adapted[None, start : start + rows, None], None
            logits = self._head(hidden[start : start + rows])
            yield torch.log_softmax(logits, dim=-1).cpu().numpy(), targets[start : start + rows]

    def losses(self, samples: Sequence[Encoded], bare: int = 0) -> npt.NDArray[np.float64]:
        """-log p of every target, in nats, in the samples' order."""
        import numpy as np

        found = [-log_p[np.arange(len(t)), t].astype(np.float64) for log_p, t in self.predictions(samples, bare)]
        return np.concatenate(found)

    def observe(self, samples: Sequence[Encoded], see: Callable[[str, Tensor], None]) -> None:
        """Run the samples through the layers. For every batch and every linear layer but the head,
        `see(name of the layer, its inputs [tokens, in])`; padding is left out."""
        import torch
        from torch import nn

        head = self._model.get_output_embeddings()

        def watch(name: str) -> Callable[..., None]:
            def hook(_: Any, inputs: tuple[Tensor, ...]) -> None:
                rows = inputs[0].reshape(-1, inputs[0].shape[-1])
                if len(rows) == math.prod(self._pass.shape):  # an expert is given some of them, in an order of its own
                    see(name, rows if self._pass.tokens is None else rows[self._pass.tokens])

            return hook

        with contextlib.ExitStack() as hooks, torch.inference_mode():
            for name, module in self._model.named_modules():
                if type(module) is nn.Linear and module is not head:
                    hooks.callback(module.register_forward_pre_hook(watch(name)).remove)
            self._pass.adapted = torch.tensor(True, device=self._device)
            for _, ids, tokens in self._padded(samples):
                self._run(ids, tokens)

    def _hidden(self, samples: Sequence[Encoded], first_bare: int) -> list[Tensor]:
        """The last hidden states [tokens, hidden] of every sample; those from `first_bare` on without adapter."""
        import torch

        found: list[Any] = [None] * len(samples)
        for batch, ids, tokens in self._padded(samples):
            self._pass.adapted = torch.tensor(batch, device=self._device)[:, None, None] < first_bare
            with torch.no_grad():
                states = self._run(ids, tokens).last_hidden_state
            for row, i in zip(states, batch, strict=True):
                found[i] = row[: len(samples[i].ids)].clone()
        return found

    def _run(self, ids: Tensor, tokens: Tensor | None) -> Any:
        self._pass.shape, self._pass.tokens = tuple(ids.shape), tokens
        return self._body(input_ids=ids, use_cache=False)

    def _padded(self, samples: Sequence[Encoded]) -> Iterator[tuple[list[int], Tensor, Tensor | None]]:
        """Lots of samples of like length: their numbers, their tokens [samples, longest], and where these are
        (`Pass.tokens`)."""
        import torch

        order = sorted(range(len(samples)), key=lambda i: len(samples[i].ids))
        for batch in _batches(order, [len(s.ids) for s in samples]):
            lengths = [len(samples[i].ids) for i in batch]
            width = max(lengths)
            # Padding is on the right, where causal attention never looks.
            rows = [[*samples[i].ids, *[0] * (width - len(samples[i].ids))] for i in batch]
            tokens = None
            if min(lengths) < width:
                places = torch.arange(width) < torch.tensor(lengths)[:, None]
                tokens = places.flatten().nonzero().flatten().to(self._device)
            yield batch, torch.tensor(rows, device=self._device), tokens

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
def opened(
    folder: Path, adapter: Path | None = None, *, nf4: bool = False, matrices: Matrices | None = None
) -> Iterator[Reference]:
    """The checkpoint in `folder`, plus the adapter in its folder, unmerged; with `nf4`, its matrices
    are first rounded to NF4 as QLoRA does. On the GPU if there is one, where `matrices` may hold them already."""
    tensors = weights.checkpoint(folder)
    with contextlib.ExitStack() as stack:
        matrices = matrices or stack.enter_context(opened_matrices())
        device = matrices.device
        if device.type == "cpu":
            keep_freed_memory(ACTIVATION_BYTES, ACTIVATION_BYTES)
        if adapter is not None and (reason := lora.unusual(adapter, folder)):
            progress.note(f"the reference holds the model in memory ({reason})")
            yield Reference(_in_memory(folder, adapter, nf4=nf4).to(device), device)
            return
        pairs = lora.read_pairs(adapter, tensors) if adapter else {}
        whole = lora.read_whole(adapter, tensors) if adapter else {}
        current = Pass()
        model = streamed(folder, matrices, tensors | whole, pairs, current, nf4=nf4)
        if model is None:
            yield Reference(_in_memory(folder, adapter, nf4=nf4).to(device), device)
        else:
            yield Reference(model, device, current, splits=not whole)


def base_and_tuned(
    folder: Path, adapter: Path, samples: Sequence[Encoded], bare: int, matrices: Matrices, *, nf4: bool = False
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """-log p of every target: of the first `bare` samples on the base alone, and of all with its adapter."""
    import numpy as np

    first = sum(len(s.at) for s in samples[:bare])
    with opened(folder, adapter, nf4=nf4, matrices=matrices) as tuned:
        if tuned.splits:
            found = tuned.losses([*samples, *samples[:bare]], bare)
            return found[len(found) - first :], found[: len(found) - first]
        after = tuned.losses(samples)
    with opened(folder, nf4=nf4, matrices=matrices) as untrained:
        return untrained.losses(samples[:bare]) if bare else np.empty(0), after


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
        raise lacking(min(info["missing_keys"]))
    for module in model.modules() if nf4 else ():
        if type(module) is nn.Linear and module is not model.get_output_embeddings():
            module.weight.data = round_trip(module.weight.data)
    return (PeftModel.from_pretrained(model, adapter).get_base_model() if adapter else model).eval()
