"""The line: every stage once, in its order; the only file that knows it.

Each entry names the stage's front door, its section of the recipe, the stages whose artifacts it takes, and
the versions that matter to its result. `line` walks along it: given a `RunFolder` it builds, given a
`Planner` it only says what would be built and why.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from packager.artifacts.checks import tally
from packager.artifacts.evaluation import Evaluation
from packager.artifacts.kinds import (
    Adapter,
    Artifact,
    Checked,
    Checkpoint,
    Dataset,
    Ggufs,
    Merged,
    Modelfile,
    Package,
    Prompt,
    Proof,
    Report,
)
from packager.artifacts.knowledge import Knowledge, Lessons
from packager.artifacts.stage import Stage
from packager.checkpoint.locate import base_fingerprint
from packager.data.rows.table import rows_fingerprint
from packager.recipe.recipe import Recipe
from packager.stages import (
    base,
    convert,
    data,
    evaluate,
    knowledge,
    lessons,
    merge,
    modelfile,
    package,
    prompt,
    prove,
    quantize,
    report,
    train,
)


class Run(Protocol):
    """What takes the stages in their order: a run folder, or a plan."""

    def make(self, stage: Stage[Any], recipe: Recipe, inputs: Sequence[Artifact | None]) -> Artifact: ...

    def kept(self, stage: Stage[Any], recipe: Recipe, inputs: Sequence[Artifact | None]) -> Artifact | None: ...


def evaluating_of(recipe: Recipe) -> evaluate.Evaluating:
    """The parts of the recipe that its evaluation depends on."""
    return evaluate.Evaluating(evaluate=recipe.evaluate, data=recipe.data, serve=recipe.serve, language=recipe.language)


def _lower(merged: Merged) -> str:
    """What a user would otherwise run against what was merged, on the same held-out answers."""
    before, after = merged.heldout_loss_base, merged.heldout_loss
    if before is None or after is None:
        return "no adapter"
    return f"held-out loss {before:.3f} (the base in 16 bits) -> {after:.3f}, {(before - after) / before:.0%} lower"


def _sizes(ggufs: Ggufs) -> str:
    return ", ".join(f"{f.type} {f.size / 1e6:,.0f} MB ({f.bits_per_weight:.2f} bits/weight)" for f in ggufs.files)


def _losses(adapter: Adapter) -> str:
    return (
        f"held-out loss {adapter.heldout_loss_before:.3f}"
        f"{' (the base rounded to NF4)' if adapter.method == 'qlora' else ''} -> {adapter.heldout_loss_after:.3f}"
        f" in {adapter.steps} steps, {adapter.tokens_per_second:.0f} tokens/s"
    )


LINE: tuple[Stage[Any], ...] = (
    Stage("base", base.base, Checkpoint,
          section=lambda r: r.base, versions=("transformers",),
          sources=lambda r: base_fingerprint(r.base), online=True,
          says=lambda c: f"{c.architecture}, {c.parameters / 1e6:,.0f}M parameters"),
    Stage("data", data.data, Dataset, ("base",),
          section=data.preparation_of,
          sources=lambda r: rows_fingerprint(r.data), online=True,
          says=lambda d: f"{d.train_rows} rows to train on, {d.heldout_rows} held out"),
    Stage("knowledge", knowledge.knowledge, Knowledge, ("data",),
          section=knowledge.material_of, wanted=lambda r: r.knowledge is not None,
          sources=knowledge.fingerprint, says=lambda k: f"{k.passages} passages from {len(k.sources)} sources"),
    Stage("lessons", lessons.lessons, Lessons, ("data", "knowledge"),
          section=lessons.teaching_of, wanted=lessons.wanted,
          sources=knowledge.fingerprint, says=lambda k: f"{k.rows} rows with passages"),
    Stage("prompt", prompt.prompt, Prompt, ("base", "data", "lessons"),
          versions=("llama_cpp_python", "transformers"), says=lambda p: f"prompts proven: {tally(p.checks)}"),
    Stage("modelfile", modelfile.modelfile, Modelfile, ("data", "prompt"), section=lambda r: r.serve),
    Stage("adapter", train.adapter, Adapter, ("base", "data", "lessons"),
          section=lambda r: r.train, versions=("torch", "transformers", "peft", "bitsandbytes"),
          wanted=lambda r: r.train.method != "none", resumable=True, says=_losses),
    Stage("merged", merge.merge, Merged, ("base", "data", "adapter"),
          section=lambda r: merge.Merge(imatrix=r.quantize.imatrix, context=r.serve.context),
          versions=("torch", "transformers", "bitsandbytes"), says=_lower),
    Stage("f16", convert.convert, Ggufs, ("merged", "data", "prompt"),
          section=lambda r: convert.Lineage(recipe=r.name, language=r.language, context=r.serve.context),
          versions=("llama_cpp_python", "transformers"), says=_sizes),
    Stage("gguf", quantize.quantize, Ggufs, ("merged", "f16"),
          section=lambda r: quantize.Quantizing(**r.quantize.model_dump(), order=tuple(r.quantize.tensors),
                                                context=r.serve.context, kv=r.serve.kv),
          versions=("llama_cpp_python",), says=_sizes),
    Stage("proof", prove.prove, Proof,
          ("data", "prompt", "adapter", "merged", "f16", "gguf", "modelfile", "knowledge", "lessons"),
          section=prove.proving_of, versions=("llama_cpp_python",), says=lambda p: tally(p.checks)),
    Stage("evaluation", evaluate.evaluate, Evaluation,
          ("base", "data", "adapter", "merged", "f16", "gguf", "knowledge"),
          section=evaluating_of, versions=("llama_cpp_python", "rouge_score"),
          sources=lambda r: evaluate.fingerprint(evaluating_of(r)),
          on_request=True, resumable=True, online=True, says=evaluate.summary),
    Stage("report", report.report, Report,
          ("base", "data", "adapter", "merged", "gguf", "proof", "evaluation", "knowledge"),
          section=lambda r: r, versions=("reportlab",), says=lambda r: f"report.html, {r.size / 1e3:,.0f} kB"),
    Stage("package", package.package, Package,
          ("base", "data", "adapter", "merged", "gguf", "modelfile", "proof", "evaluation", "report", "knowledge"),
          section=lambda r: r, deliverable=True,
          says=lambda p: f"{len(p.files)} files, {p.size / 1e6:,.0f} MB"),
)  # fmt: skip
STAGES = tuple(stage.name for stage in LINE)


def line(recipe: Recipe, run: Run, *, evaluating: bool = False) -> Iterator[Artifact]:
    """What each stage made, in order.

    An evaluation, which may take hours, is made when it is asked for (`evaluating`) or a limit of the recipe needs it;
    else a build only takes up one that was made of the same artifacts with the same settings.
    """
    made: dict[str, Artifact | None] = {}
    for stage in LINE:
        inputs = [made.get(name) for name in stage.takes]
        if not stage.wanted(recipe) or (stage.on_request and any(isinstance(a, Checked) and a.failed for a in inputs)):
            continue
        take = run.kept if stage.on_request and not (evaluating or recipe.evaluate.must_pass) else run.make
        made[stage.name] = artifact = take(stage, recipe, inputs)
        if artifact is not None:
            yield artifact
