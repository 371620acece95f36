"""A recipe -> the settings that it gives and that change nothing, each in a sentence that says why.

A setting without effect is not wrong, but who gave it expects something of it: `packager check` and every build say
so before the training, not after it. Only what the recipe itself gives is looked at, not the defaults.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from packager.recipe.recipe import Recipe
from packager.recipe.sections import Section, Train

WIDE = ("F32", "F16", "BF16")
"""Types of 16 bits and more: nothing is rounded to blocks."""
WITHOUT_IMATRIX = (*WIDE, "Q8_0")
HUB, WHEEL = "hf:", "pypi:"
SHEETS = (".xlsx", ".xlsm", ".xls", ".ods")


def idle_settings(recipe: Recipe, rows: int | None = None) -> list[str]:
    """What has no effect; `rows` are those of the data, as far as they are known."""
    return [
        *_base(recipe),
        *_data(recipe),
        *_train(recipe, rows),
        *_quantize(recipe),
        *_serve(recipe),
        *_proof(recipe),
        *_evaluate(recipe),
    ]


def idle_steps(config: Train, steps: int) -> Iterator[str]:
    """What of a training of so many steps has no effect."""
    if config.warmup_steps and config.warmup_steps >= steps:
        yield (
            f"train.warmup_steps is {config.warmup_steps}, and the training has about {steps} steps: the learning rate "
            "never reaches train.learning_rate"
        )
    if config.evaluate_every and config.evaluate_every >= steps:
        yield f"train.evaluate_every is {config.evaluate_every}, and the training has about {steps} steps: none comes"


def _given(section: Section, *names: str) -> list[str]:
    """Those of the fields that the recipe gives, with another value than the default."""
    kinds = type(section).model_fields
    return [
        name
        for name in names
        if name in section.model_fields_set
        and getattr(section, name) != kinds[name].get_default(call_default_factory=True)
    ]


def _base(recipe: Recipe) -> Iterator[str]:
    base = recipe.base
    if base.revision and not base.model.startswith(HUB):
        yield f"base.revision names a commit on the Hub, and base.model is {base.model}"


def _data(recipe: Recipe) -> Iterator[str]:
    data = recipe.data
    source = data.source.lower()
    if not source.startswith(HUB):
        for name in _given(data, "revision", "subset", "hub_split"):
            yield f"data.{name} is for a data set on the Hub, and data.source is {data.source}"
    if _given(data, "sheet") and not source.endswith(SHEETS) and "." in source.rpartition("/")[2]:
        yield f"data.sheet is for a spreadsheet, and data.source is {data.source}"
    if _given(data, "unmatched_bracket") and data.format not in ("medquad", "mixed"):
        yield f"data.unmatched_bracket is for data.format: medquad, and this is {data.format}"
    if data.format in ("messages", "sharegpt", "alpaca"):
        for name in _given(data.fields, "question", "answer"):
            yield f"data.fields.{name} is for data.format: qa; {data.format} names its own columns"
    if data.fields.source and not (recipe.knowledge and recipe.knowledge.rows):
        yield "data.fields.source is shown by knowledge.rows only, and the recipe has no knowledge"


def _train(recipe: Recipe, rows: int | None) -> Iterator[str]:
    train = recipe.train
    if train.method == "none":
        names = [name for name in type(train).model_fields if name != "method"]
        for name in _given(train, *names):
            yield f"train.{name} has nothing to train: train.method is none"
        if _given(recipe.thresholds, "min_loss_drop"):
            yield "thresholds.min_loss_drop has no training to judge: train.method is none"
        return
    if train.patience and not train.evaluate_every:
        yield "train.patience counts evaluations, and train.evaluate_every asks for none: the training never ends early"
    micro = train.batch.examples_per_micro_batch
    if micro and micro > train.batch.examples_per_step:
        yield (
            f"train.batch.examples_per_micro_batch is {micro}, more than the {train.batch.examples_per_step} of a step"
        )
    if rows:
        kept = max(1, math.ceil(rows * (1 - recipe.data.split.fraction)))
        yield from idle_steps(train, train.steps(kept))
        if train.max_steps and "epochs" in train.model_fields_set:
            without = train.model_copy(update={"max_steps": None}).steps(kept)
            longer, shorter = ("epochs", "max_steps") if without > train.max_steps else ("max_steps", "epochs")
            if without != train.max_steps:
                yield f"train.{longer} would train longer than train.{shorter}, which ends the training"


def _quantize(recipe: Recipe) -> Iterator[str]:
    wanted = recipe.quantize
    if wanted.tensors and all(name in WIDE for name in wanted.types):
        yield f"quantize.tensors is for files of less than 16 bits, and quantize.types is {', '.join(wanted.types)}"
    if "imatrix" in wanted.model_fields_set and wanted.imatrix and all(t in WITHOUT_IMATRIX for t in wanted.types):
        yield f"quantize.imatrix is not used by {', '.join(wanted.types)}"
    if _given(recipe.device, "prefer") and len(wanted.types) == 1:
        yield "device.prefer chooses among files, and quantize.types names one"


def _serve(recipe: Recipe) -> Iterator[str]:
    serve = recipe.serve
    if serve.temperature == 0:
        for name in _given(serve, "top_k", "top_p", "min_p"):
            yield f"serve.{name} chooses among likely tokens, and serve.temperature: 0 always takes the likeliest"
    if serve.repeat_penalty == 1 and _given(serve, "repeat_last_n"):
        yield "serve.repeat_last_n is for serve.repeat_penalty, which is 1 (off)"
    if serve.max_answer_tokens >= serve.context:
        yield (
            f"serve.max_answer_tokens is {serve.max_answer_tokens}: serve.context ({serve.context}) ends every answer "
            "before that"
        )


def _proof(recipe: Recipe) -> Iterator[str]:
    own = recipe.thresholds
    if not recipe.smoke and _given(own, "min_language_share"):
        yield "thresholds.min_language_share judges answers, and the recipe has no smoke questions"
    if recipe.knowledge is None:
        for name in _given(own, "min_found_first", "min_found_three", "min_silent", "min_unclaimed"):
            yield f"thresholds.{name} judges the search over approved material, and the recipe has no knowledge"


def _evaluate(recipe: Recipe) -> Iterator[str]:
    wanted, judge = recipe.evaluate, recipe.evaluate.judge
    if set(wanted.metrics) <= {"likelihood"} and not wanted.probes and judge is None:
        for name in _given(wanted, "max_answer_tokens", "temperature"):
            yield f"evaluate.{name} is for answers, and evaluate.metrics asks for none"
    if judge and not (judge.prompt_price or judge.answer_price):
        yield "evaluate.judge.max_cost cannot hold: evaluate.judge.prompt_price and answer_price are 0"
    if judge and wanted.rows and "rows" in judge.model_fields_set and judge.rows > wanted.rows:
        yield f"evaluate.judge.rows is {judge.rows}, and evaluate.rows leaves it {wanted.rows}"
