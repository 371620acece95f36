"""Everything that can fail early, checked before the first stage: recipe, data, base, tools, room.

Recipe and run folder -> the base and what its rows come to, or one error that lists every problem found.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from packager.checkpoint.converted_shapes import shapes_in_gguf
from packager.checkpoint.locate import Located, inspect_base
from packager.checkpoint.prompt_at_hand import prompt_of
from packager.data.audit.beforehand import Amount, check_data
from packager.data.rows.table import template_of
from packager.errors import InputError, Interrupted, MissingResource, PackagerError, together
from packager.evaluation import safety
from packager.knowledge import engine
from packager.knowledge.embedding_model import embedding_model
from packager.llamacpp import vendored
from packager.llamacpp.gguf_file import quantization_types, tensor_types
from packager.llamacpp.processor_check import check_runs
from packager.llamacpp.quantizer import refuse_idle_patterns
from packager.pipeline.room import STAGES, Need, check_room, kept_per_token, need, shape_of
from packager.process import machine, progress
from packager.recipe.idle import idle_settings
from packager.recipe.loading import FaultyRecipe, located
from packager.recipe.recipe import Recipe

T = TypeVar("T")

FETCHED = ("hf:", "pypi:")
"""How a base or data begins that is not on this machine."""

NEEDS_IMATRIX = ("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ2_M", "IQ3_XXS", "IQ3_XS", "Q2_K_S")
"""Types that llama.cpp refuses to make without an importance matrix (src/llama-quant.cpp)."""


@dataclass(frozen=True)
class Checked:
    """A recipe that can be built, as far as can be known."""

    base: Located
    amount: Amount | None
    """None where the rows were not looked at, or trained on."""
    need: Need


def check(
    recipe: Recipe, folder: Path, waiting: Collection[str] = ("data", *STAGES), *, thorough: bool = True
) -> Checked:
    """Check all that can be known before the first stage; returns the base that was found, and what the rows are.

    Disk and memory are asked for the stages in `waiting` only; without `thorough`, many rows are not counted. Raises
    one error with every problem: `InputError` if any is the user's, else `MissingResource`.
    """
    problems: list[PackagerError] = []
    attempt = functools.partial(_attempt, problems)
    steps: tuple[Callable[[], object], ...] = (
        machine.check_temporary, vendored.converter, *_by_itself(recipe), lambda: _search(recipe),
    )  # fmt: skip
    for step in steps:
        attempt(step)
    inspected = attempt(lambda: inspect_base(recipe.base))
    found = inspected[0] if inspected else None
    if inspected and found:
        problems += [
            *inspected[1],
            *_template(recipe, found),
            *_must_fit(recipe, found),
            *_tensors(recipe, found),
            *_targets(recipe, found),
        ]
    asked = [*(one.ask for one in recipe.smoke), *(one.ask for one in recipe.evaluate.probes)]
    asked = asked if "data" in waiting else []  # of rows that are made, an evaluation leaves out what does not fit
    amount = attempt(lambda: _rows(recipe, None if problems else found, asked, thorough=thorough))
    _idle(recipe, amount)
    needed = _need(recipe, found, amount, waiting) if found else Need(0, 0)
    attempt(lambda: check_room(needed, folder))
    if not problems and "gguf" in waiting:
        check_runs()
    if problems:
        raise together(problems)
    assert found is not None
    return Checked(found, amount, needed)


def beside(error: FaultyRecipe) -> list[PackagerError]:
    """What else is wrong with a recipe that has wrong fields, as far as its other sections tell. Nothing is fetched
    for it."""
    recipe, problems = error.rest, list[PackagerError]()
    if recipe is None:
        return problems
    for step in _by_itself(recipe, error.faulty):
        _attempt(problems, step)
    is_here = not recipe.base.model.startswith(FETCHED)
    if is_here and "base" not in error.faulty and (found := _attempt(problems, lambda: inspect_base(recipe.base))):
        problems += found[1]
    if not recipe.data.source.startswith(FETCHED) and "data" not in error.faulty:
        _attempt(problems, lambda: check_data(recipe.data, thorough=False))
    return problems


def _attempt(problems: list[PackagerError], step: Callable[[], T]) -> T | None:
    """What `step` returns; what it finds wrong goes to `problems`."""
    try:
        return step()
    except Interrupted:
        raise
    except PackagerError as error:
        problems.append(error)
        return None


def _by_itself(recipe: Recipe, faulty: Collection[str] = ()) -> Iterator[Callable[[], object]]:
    """What asks the recipe alone, but for what asks a section in `faulty`."""
    steps: tuple[tuple[Callable[[Recipe], object], set[str]], ...] = (
        (_types, {"quantize"}), (_knowledge, {"knowledge", "data"}), (_judged, {"evaluate", "quantize"}),
        (_safety, {"evaluate", "language"}), (_sets, {"evaluate"}), (_writer, {"train"}),
    )  # fmt: skip
    for step, sections in steps:
        if not sections & set(faulty):
            yield functools.partial(step, recipe)


def _need(recipe: Recipe, found: Located, amount: Amount | None, waiting: Collection[str]) -> Need:
    longest = amount.longest if amount else min(recipe.data.max_tokens, 512)
    linked = found.path.is_dir() and found.repo is None and not found.left_out
    shape = shape_of(found.path)
    return need(
        recipe,
        found.parameters,
        waiting,
        per_token=kept_per_token(shape),
        longest=longest,
        linked=linked,
        vocabulary=shape.vocabulary,
    )


def _rows(recipe: Recipe, found: Located | None, asked: Sequence[str], *, thorough: bool) -> Amount | None:
    """What the data stage would refuse: with the base's prompt, where there is a base that can be used."""
    try:
        given = template_of(recipe.data)
    except InputError:
        found = None  # `check_data` says it again, with what else is wrong with the data
    if found is None:
        return check_data(recipe.data, thorough=thorough)
    with prompt_of(found.path, given) as prompt:
        return check_data(recipe.data, prompt, recipe.serve, asked, thorough=thorough)


def _template(recipe: Recipe, base: Located) -> list[PackagerError]:
    """The base's own chat template, where the recipe gives no other."""
    if recipe.data.template is not None:
        return []
    if base.template_fault:
        return [base.template_fault]
    fix = "use an instruct model, or give one in data.template"
    return [] if base.has_template else [InputError(f"{base.source} has no chat template.", fix)]


def _must_fit(recipe: Recipe, base: Located) -> list[PackagerError]:
    """Neither a row nor a conversation in the clinic may be longer than what the base computes alike everywhere."""
    problems: list[PackagerError] = []
    for name, tokens in (("serve.context", recipe.serve.context), ("data.max_tokens", recipe.data.max_tokens)):
        if over := [limit for limit in base.limits if tokens > limit.tokens]:
            why = "; ".join(limit.why for limit in over)
            fix = f"set {name} to at most {over[0].tokens}, or use another base"
            problems.append(InputError(f"{name} is {tokens}, which is too much for {base.source}: {why}.", fix))
    return problems


def _types(recipe: Recipe) -> None:
    known = quantization_types()
    unknown = [name for name in recipe.quantize.types if name not in known]
    if unknown:
        raise InputError(
            f"quantize.types: llama.cpp has no quantization called {', '.join(unknown)}.",
            f"use {', '.join(known)}",
        )
    blind = [name for name in recipe.quantize.types if name in NEEDS_IMATRIX]
    if blind and not recipe.quantize.imatrix:
        raise InputError(
            f"quantize.types: {', '.join(blind)} needs an importance matrix.",
            "set quantize.imatrix: true, or use another type, such as Q4_K_M",
        )
    if odd := [n for n in recipe.quantize.tensors.values() if n not in tensor_types()]:
        raise InputError(
            f"quantize.tensors: llama.cpp has no tensor type called {', '.join(odd)}.",
            f"use {', '.join(tensor_types())}",
        )
    if len(set(recipe.quantize.types)) < len(recipe.quantize.types):
        raise InputError("quantize.types names a type twice.", "name each type once")


def _targets(recipe: Recipe, base: Located) -> list[PackagerError]:
    """The layers that the recipe names for its adapter, as far as the base's tensors are known."""
    wanted = recipe.train.lora.targets
    if recipe.train.method == "none" or isinstance(wanted, str) or not base.shapes:
        return []
    layers = [name.removesuffix(".weight") for name in base.shapes if name.endswith(".weight")]
    absent = [t for t in wanted if not any(layer == t or layer.endswith(f".{t}") for layer in layers)]
    if not absent or all(t == "lm_head" for t in absent):  # a tied one has no tensor of its own
        return []
    found = sorted({layer.rpartition(".")[2] for layer in layers if layer.endswith("proj")})
    fix = f"it has: {', '.join(found)}" if found else "name layers that the base has"
    return [InputError(f"train.lora.targets: the base has no layer {', '.join(absent)}.", fix)]


def _tensors(recipe: Recipe, base: Located) -> list[PackagerError]:
    """The single tensors that the recipe gives a type: that there are such, and that they can have it."""
    wanted = recipe.quantize.tensors
    shapes = shapes_in_gguf(base) if wanted else {}
    try:
        for said in refuse_idle_patterns(wanted, shapes) if shapes else ():
            progress.note(said)
    except InputError as error:
        return [error]
    return []


def _idle(recipe: Recipe, amount: Amount | None) -> None:
    rows = amount.train_rows + amount.heldout_rows if amount else None
    for idle in idle_settings(recipe, rows):
        progress.note(f"no effect: {idle}")


def _judged(recipe: Recipe) -> None:
    """The models whose answers a judge is to see must be among those that are measured."""
    wanted, judge = recipe.evaluate, recipe.evaluate.judge
    measured = (*(("base", "tuned") if wanted.base else ()), *recipe.quantize.types)
    if judge and (odd := [name for name in judge.models if name not in measured]):
        raise InputError(f"evaluate.judge.models: {', '.join(odd)} is not measured.", f"use {', '.join(measured)}")


def _safety(recipe: Recipe) -> None:
    """The safety questions can be read, and are in the recipe's language."""
    wanted = recipe.evaluate.safety
    if wanted is None:
        return
    if not wanted.questions and recipe.language != "pt-BR":
        raise InputError(
            f"The shipped safety questions are in Portuguese; this recipe's language is {recipe.language}.",
            "name a file of your own in evaluate.safety.questions, or take evaluate.safety out",
        )
    safety.questions_of(wanted)


def _knowledge(recipe: Recipe) -> None:
    """The approved material, where the recipe has any, is there."""
    if (wanted := recipe.knowledge) is None:
        return
    problems: list[PackagerError] = []
    if wanted.rows and not recipe.data.fields.source:
        problems.append(
            InputError(
                "knowledge.rows shows each answer with its document, but data.fields.source names no column.",
                "set data.fields.source, or knowledge.rows: false",
            )
        )
    if wanted.folder and not located(wanted.folder).is_dir():
        problems.append(InputError(f"knowledge.folder: there is no folder {wanted.folder}.", "correct it"))
    if wanted.questions and not located(wanted.questions).is_file():
        problems.append(InputError(f"knowledge.questions: there is no file {wanted.questions}.", "correct it"))
    if problems:
        raise together(problems)


def _sets(recipe: Recipe) -> None:
    """Say which validation sets are not on this machine: an evaluation leaves them out, and a build goes on."""
    for name, wanted in recipe.evaluate.sets.items():
        if not wanted.source.startswith(FETCHED) and not located(wanted.source).exists():
            progress.note(f"evaluate.sets.{name}: there is no file or folder {wanted.source}; it will not be measured")


def _search(recipe: Recipe) -> None:
    """What the search in approved material is made of."""
    if recipe.knowledge:
        embedding_model()
        engine.compiler()


def _writer(recipe: Recipe) -> None:
    """The library that `train.log` names has to be installed."""
    name = recipe.train.log
    if recipe.train.method != "none" and name != "none" and importlib.util.find_spec(name) is None:
        raise MissingResource(f"train.log is {name}, which is not installed.", f"pip install {name}")
