"""The straight line through the stages; the only file that knows their order.

`line` names every stage once. Given a `RunFolder` it builds; given a `Plan` it only says what would be
built and why. An evaluation, which may take hours, is made when it is asked for;
a build only takes up one that was made of the same artifacts with the same settings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel

from packager.artifacts.evaluation import Evaluation
from packager.artifacts.kinds import (
    Adapter,
    Artifact,
    Checkpoint,
    Dataset,
    Ggufs,
    Merged,
    Modelfile,
    Package,
    Proof,
    Report,
)
from packager.checkpoint.locate import base_fingerprint
from packager.data.rows.table import rows_fingerprint
from packager.recipe.recipe import Recipe
from packager.stages import base as base_stage
from packager.stages import convert as convert_stage
from packager.stages import data as data_stage
from packager.stages import evaluate as evaluate_stage
from packager.stages import merge as merge_stage
from packager.stages import modelfile as modelfile_stage
from packager.stages import package as package_stage
from packager.stages import prove as prove_stage
from packager.stages import quantize as quantize_stage
from packager.stages import report as report_stage
from packager.stages import train as train_stage

A = TypeVar("A", bound=Artifact)

STAGES = (
    "base",
    "data",
    "adapter",
    "merged",
    "f16",
    "gguf",
    "modelfile",
    "proof",
    "evaluation",
    "report",
    "package",
)
TRAINING = ("torch", "transformers", "peft", "bitsandbytes")


class Stages(Protocol):
    """Something that takes the stages in order: a run folder, or a plan."""

    def stage(
        self,
        name: str,
        returns: type[A],
        function: Callable[..., A],
        config: BaseModel | None,
        *inputs: Artifact | None,
        versions: Sequence[str] = (),
        extra: object = None,
        resumable: bool = False,
        online: bool = False,
        record_beside: bool = False,
        says: Callable[[A], str] = ...,
    ) -> A: ...

    def kept(
        self,
        name: str,
        returns: type[A],
        function: Callable[..., A],
        config: BaseModel | None,
        *inputs: Artifact | None,
        **options: Any,
    ) -> A | None:
        """What `stage` made of the same settings and inputs before, if it did."""
        ...


def line(recipe: Recipe, to: Stages, *, evaluating: bool = False) -> Iterator[Artifact]:
    """Every stage in its order, yielding what each made; `evaluating` makes an evaluation if there is none."""
    yield (
        base := to.stage(
            "base",
            Checkpoint,
            base_stage.base,
            recipe.base,
            versions=("transformers",),
            extra=base_fingerprint(recipe.base),
            online=True,
            says=lambda c: f"{c.architecture}, {c.parameters / 1e6:,.0f}M parameters",
        )
    )
    yield (
        data := to.stage(
            "data",
            Dataset,
            data_stage.data,
            data_stage.Prepare(**recipe.data.model_dump(), language=recipe.language, serve=recipe.serve),
            base,
            extra=rows_fingerprint(recipe.data),
            online=True,
            says=lambda d: f"{d.train_rows} rows to train on, {d.heldout_rows} held out",
        )
    )
    adapter = None
    if recipe.train.method != "none":
        yield (
            adapter := to.stage(
                "adapter",
                Adapter,
                train_stage.train,
                recipe.train,
                base,
                data,
                versions=TRAINING,
                resumable=True,
                says=lambda a: (
                    f"held-out loss {a.heldout_loss_before:.3f}"
                    f"{' (the base rounded to NF4)' if a.method == 'qlora' else ''} -> {a.heldout_loss_after:.3f}"
                    f" in {a.steps} steps, {a.tokens_per_second:.0f} tokens/s"
                ),
            )
        )
    yield (
        merged := to.stage(
            "merged",
            Merged,
            merge_stage.merge,
            merge_stage.Merge(imatrix=recipe.quantize.imatrix, context=recipe.serve.context),
            base,
            data,
            adapter,
            versions=("torch", "transformers", "bitsandbytes"),
            says=_lower,
        )
    )
    yield (
        f16 := to.stage(
            "f16",
            Ggufs,
            convert_stage.convert,
            convert_stage.Lineage(recipe=recipe.name, language=recipe.language, context=recipe.serve.context),
            merged,
            data,
            versions=("llama_cpp_python", "transformers"),
            says=_sizes,
        )
    )
    yield (
        gguf := to.stage(
            "gguf",
            Ggufs,
            quantize_stage.quantize,
            quantize_stage.Quantizing(**recipe.quantize.model_dump(), context=recipe.serve.context),
            data,
            merged,
            f16,
            versions=("llama_cpp_python",),
            says=_sizes,
        )
    )
    yield (modelfile := to.stage("modelfile", Modelfile, modelfile_stage.modelfile, recipe.serve, data, f16))
    proving = prove_stage.Prove(
        questions=recipe.smoke,
        language=recipe.language,
        serve=recipe.serve,
        device=recipe.device,
        thresholds=recipe.thresholds,
    )
    yield (
        proof := to.stage(
            "proof",
            Proof,
            prove_stage.prove,
            proving,
            data,
            adapter,
            merged,
            f16,
            gguf,
            modelfile,
            versions=("llama_cpp_python",),
            says=lambda p: f"{sum(c.passed for c in p.checks)} of {len(p.checks)} checks passed",
        )
    )
    evaluation = None
    if not proof.failed:
        measured = evaluating_of(recipe)
        evaluation = (to.stage if evaluating else to.kept)(
            "evaluation",
            Evaluation,
            evaluate_stage.evaluate,
            measured,
            base,
            data,
            adapter,
            merged,
            f16,
            gguf,
            versions=("llama_cpp_python", "rouge_score"),
            extra=evaluate_stage.fingerprint(measured) if evaluating else None,
            resumable=True,
            online=True,
            says=evaluate_stage.summary,
        )
        if evaluation is not None:
            yield evaluation
    yield (
        report := to.stage(
            "report",
            Report,
            report_stage.report,
            recipe,
            base,
            data,
            adapter,
            merged,
            gguf,
            proof,
            evaluation,
            says=lambda r: f"report.html, {r.size / 1e3:,.0f} kB",
        )
    )
    yield to.stage(
        "package",
        Package,
        package_stage.package,
        recipe,
        base,
        data,
        adapter,
        merged,
        gguf,
        modelfile,
        proof,
        evaluation,
        report,
        record_beside=True,
        says=lambda p: f"{len(p.files)} files, {p.size / 1e6:,.0f} MB",
    )


def evaluating_of(recipe: Recipe) -> evaluate_stage.Evaluating:
    """The parts of the recipe that its evaluation depends on."""
    return evaluate_stage.Evaluating(
        evaluate=recipe.evaluate, data=recipe.data, serve=recipe.serve, language=recipe.language
    )


def _lower(merged: Merged) -> str:
    """What a user would otherwise run against what was merged, on the same held-out answers."""
    before, after = merged.heldout_loss_base, merged.heldout_loss
    if before is None or after is None:
        return "no adapter"
    return f"held-out loss {before:.3f} (the base in 16 bits) -> {after:.3f}, {(before - after) / before:.0%} lower"


def _sizes(ggufs: Ggufs) -> str:
    return ", ".join(f"{f.type} {f.size / 1e6:,.0f} MB ({f.bits_per_weight:.2f} bits/weight)" for f in ggufs.files)
