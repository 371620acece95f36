"""Unsloth's side of training.py: QLoRA of rank 16 on a checkpoint, without dropout, in a loop written by hand.

    python bench/training_unsloth.py FOLDER

It changes transformers for the whole process, so it gets one of its own. Prints a JSON line: with 16 flashcards a step,
padded to the longest, and with four sequences of 8,192 tokens a step, rows end to end. Needs a CUDA device,
Python 3.12 and the package `unsloth`, which is no dependency of this project.
"""

from __future__ import annotations

import unsloth  # isort: skip  # first, as it asks for

import itertools
import json
import sys
import time
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

import training_models as models  # noqa: E402

from packager.prompt.masking import Encoded  # noqa: E402

SHAPE = models.SHAPES["qwen25_1.5b"]
PACKED, WIDTH = 4, 8192
STEPS, WARM = {"step": 40, "packed": 6}, 3


def padded(rows: Sequence[Encoded]) -> tuple[dict[str, torch.Tensor], int]:
    """A batch with the loss on answers, and its real tokens."""
    width = max(len(row.ids) for row in rows)
    ids = torch.zeros((len(rows), width), dtype=torch.int64)
    mask, labels = torch.zeros_like(ids), torch.full_like(ids, -100)
    for i, row in enumerate(rows):
        n, answer = len(row.ids), row.trained.index(True)
        ids[i, :n], mask[i, :n] = torch.tensor(row.ids), 1
        labels[i, answer:n] = ids[i, answer:n]
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}, int(mask.sum())


def of_16() -> Iterator[tuple[dict[str, torch.Tensor], int]]:
    """The flashcards original's 16 examples a step."""
    for rows in itertools.batched(itertools.cycle(models.rows(SHAPE, 1024)), SHAPE.examples_per_step):
        yield padded(rows)


def packed() -> Iterator[tuple[dict[str, torch.Tensor], int]]:
    """Rows end to end, cut to sequences."""
    rows = models.rows(SHAPE, 4096)
    ids = torch.tensor([i for row in rows for i in row.ids])
    labels = torch.tensor([i if t else -100 for row in rows for i, t in zip(row.ids, row.trained, strict=True)])
    size = PACKED * WIDTH
    for start in itertools.cycle(range(0, len(ids) - size + 1, size)):
        cut = slice(start, start + size)
        yield {"input_ids": ids[cut].view(PACKED, WIDTH), "labels": labels[cut].view(PACKED, WIDTH)}, size


def measured(model: Any, batches: Iterator[tuple[dict[str, torch.Tensor], int]], steps: int) -> dict[str, float]:
    """Real tokens a second after the first steps, and the peak of memory."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=2e-4, fused=True)
    torch.cuda.reset_peak_memory_stats()
    tokens, began, losses = 0, 0.0, []
    for number, (batch, real) in enumerate(itertools.islice(batches, WARM + steps)):
        if number == WARM:
            torch.cuda.synchronize()
            began, tokens = time.monotonic(), 0
        with torch.autocast("cuda", torch.bfloat16):
            loss = model(**{name: value.cuda() for name, value in batch.items()}, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.detach())
        tokens += real
    torch.cuda.synchronize()
    return {
        "tokens_per_second": tokens / (time.monotonic() - began),
        "peak_gib": round(torch.cuda.max_memory_allocated() / 2**30, 2),
        "first_loss": round(float(losses[0]), 3),
        "last_loss": round(float(losses[-1]), 3),
    }


def main() -> None:
    folder = sys.argv[1]
    model, _ = unsloth.FastLanguageModel.from_pretrained(
        folder, max_seq_length=WIDTH, dtype=torch.bfloat16, load_in_4bit=True, use_gradient_checkpointing=False,
        fix_tokenizer=False,
    )  # fmt: skip
    model = unsloth.FastLanguageModel.get_peft_model(
        model, r=16, lora_alpha=32, lora_dropout=0, target_modules=models.SEVEN, bias="none",
        use_gradient_checkpointing=False,
    )  # fmt: skip
    model.train()
    found: dict[str, Any] = {"unsloth": metadata.version("unsloth"), "transformers": metadata.version("transformers")}
    found["step"] = measured(model, of_16(), STEPS["step"])
    found["packed"] = measured(model, packed(), STEPS["packed"])
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
