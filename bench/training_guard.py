"""The same batch through ours and through the plain model: loss and gradients."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
import training_models as models
import training_sides as sides
from torch.nn import functional

from packager.prompt.masking import Encoded


def guard(shape: models.Shape, rows: Sequence[Encoded], *, fresh: bool = False, **changes: Any) -> dict[str, float]:
    """Loss and gradients of one batch: ours (compiled, recorded) against the plain model row by row, bf16 and fp32."""
    found: dict[str, tuple[float, torch.Tensor]] = {}
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        adapted = sides.stock(shape, sides.GPU, torch.bfloat16, 0.0)
        if dtype == torch.float32:
            adapted.float()
            for module in adapted.modules():
                if hasattr(module, "compute_dtype"):
                    module.compute_dtype = dtype
        parameters = scattered(dict(adapted.named_parameters()), fresh)
        trained = sum(sum(row.trained[1:]) for row in rows)
        total = 0.0
        for row in rows:
            with torch.autocast("cuda", torch.bfloat16) if dtype == torch.bfloat16 else nullcontext():
                logits = adapted(input_ids=torch.tensor([row.ids], device=sides.GPU), use_cache=False).logits[0].float()
            at = [i for i in range(1, len(row.ids)) if row.trained[i]]
            chosen = logits[torch.tensor(at, device=sides.GPU) - 1]
            loss = functional.cross_entropy(
                chosen, torch.tensor([row.ids[i] for i in at], device=sides.GPU), reduction="sum"
            )
            (loss / trained).backward()
            total += loss.item() / trained
        found[name] = (total, torch.cat([p.grad.flatten().float() for p in parameters.values()]))
        del adapted, parameters
        sides.measured(sides.GPU)
    config = sides.recipe(shape, 0.0, len(rows))
    with tempfile.TemporaryDirectory() as out:
        run = sides.prepared(shape, rows, config, Path(out), **changes)
    parameters = scattered(run.trainee.parameters, fresh)
    for _ in range(3):  # as it is, recorded, replayed
        run.trainee.weights.grad.zero_()
        run.trainee.peft.train()
        trained = sum(sum(row.trained[1:]) for row in rows)
        scale = run.loss_scale / trained
        total = sum(run.compute.accumulate(b, scale)[0].item() / trained for b in run.compute.lay_out(rows))
    ours = torch.cat([p.grad.flatten() for p in parameters.values()])
    figures: dict[str, float] = {"loss": total, "recordings": len(run.compute.recorder.recordings)}
    for name, (loss, gradient) in found.items():
        figures[f"loss_{name}"] = loss
        figures[f"loss_off_{name}"] = abs(total - loss) / loss
        figures[f"cosine_{name}"] = functional.cosine_similarity(ours, gradient, dim=0).item()
    figures["cosine_bf16_to_fp32"] = functional.cosine_similarity(found["bf16"][1], found["fp32"][1], dim=0).item()
    return figures | sides.measured(sides.GPU)


def scattered(parameters: dict[str, Any], fresh: bool) -> dict[str, Any]:
    """The adapter's matrices by name, with the same values in every model; B is zero if it is to be fresh."""
    chosen = {n.replace(".default", ""): p for n, p in sorted(parameters.items()) if "lora_" in n}
    generator = torch.Generator(sides.GPU).manual_seed(1)
    with torch.no_grad():
        for name, parameter in chosen.items():
            spread = 0.0 if fresh and "lora_B" in name else 0.02
            parameter.copy_(torch.randn(parameter.shape, generator=generator, device=sides.GPU) * spread)
    return chosen
