"""The straight line through the stages; the only file that knows their order.

`line` names every stage once. Run with a `RunFolder` it builds; run with a `Plan` it only says
what would be built and why. An evaluation, which may take hours, is made when it is asked for;
a build only takes up one that was made of the same files with the same settings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel

from packager import artifacts, base_model, preflight, proc, progress
from packager.artifacts import (
    Adapter,
    Artifact,
    Checked,
    Checkpoint,
    Dataset,
    Evaluation,
    Ggufs,
    Merged,
    Modelfile,
    Package,
    Proof,
    Report,
    RunFolder,
    stage_key,
)
from packager.errors import InputError, ProofFailed
from packager.recipe import Recipe
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
            extra=base_model.fingerprint(recipe.base),
            online=True,
            says=lambda c: f"{c.architecture}, {c.parameters / 1e6:,.0f}M parameters",
        )
    )
    yield (
        data := to.stage(
            "data",
            Dataset,
            data_stage.data,
            data_stage.Prepare(**recipe.data.model_dump(), language=recipe.language),
            base,
            extra=data_stage.fingerprint(recipe.data),
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
                    f"held-out loss {a.heldout_loss_before:.3f} -> {a.heldout_loss_after:.3f}"
                    f" in {a.steps} steps, {a.tokens_per_second:.0f} tokens/s"
                ),
            )
        )
    yield (
        merged := to.stage(
            "merged",
            Merged,
            merge_stage.merge,
            merge_stage.Merge(imatrix=recipe.quantize.imatrix),
            base,
            data,
            adapter,
            versions=("torch", "transformers", "bitsandbytes"),
        )
    )
    yield (
        f16 := to.stage(
            "f16",
            Ggufs,
            convert_stage.convert,
            convert_stage.Lineage(recipe=recipe.name, language=recipe.language),
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
            recipe.quantize,
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


def build(
    recipe: Recipe, folder: Path, until: str = STAGES[-1], *, verify: bool = False, evaluating: bool = False
) -> Artifact:
    """Bring the run folder up to stage `until` and return what that stage made.

    `evaluating` (or until="evaluation") makes an evaluation on the way.

    Raises `InputError`/`MissingResource` before the first stage for what can be known early,
    `ProofFailed` when a check fails, `Busy` when another build holds the folder.
    """
    if until not in STAGES:
        raise InputError(f"There is no stage '{until}'.", f"use one of {', '.join(STAGES)}")
    if until == "adapter" and recipe.train.method == "none":
        raise InputError("train.method is none, so there is no stage 'adapter'.", "choose another stage")
    evaluating = evaluating or until == "evaluation"
    with proc.interruptible(), artifacts.open_run(folder, verify=verify) as run:
        waiting = _waiting(recipe, folder, until, verify, evaluating)
        if waiting:
            preflight.check(recipe, folder, waiting)
        if evaluating and "evaluation" in waiting:
            _say_what_is_left_out(evaluating_of(recipe), run)
        for artifact in line(recipe, run, evaluating=evaluating):
            if not isinstance(artifact, Proof) or until == artifact.folder.name:  # first the report of what failed
                stop_if_failed(artifact)
            if artifact.folder.name == until:
                return artifact
    raise AssertionError(f"the line ended without stage {until}")


@dataclass(frozen=True)
class Step:
    """What a build would do at one stage."""

    stage: str
    done: bool
    why: str
    seconds: float | None
    """How long it took when it was last built here, if it ever was."""
    peak_ram: int | None


@dataclass
class Plan:
    """Takes the stages in order and builds nothing: keys follow from settings and inputs alone."""

    run: RunFolder
    steps: list[Step] = field(default_factory=list)

    def stage(
        self,
        name: str,
        returns: type[A],
        function: Callable[..., A],
        config: BaseModel | None,
        *inputs: Artifact | None,
        versions: Sequence[str] = (),
        extra: object = None,
        **_: object,
    ) -> A:
        """Note whether the stage is done; an artifact that is not built carries its key only."""
        key = stage_key(name, config, inputs, versions, extra)
        done, why = self.run.committed(name, returns, key)
        seconds, ram = self.run.last_cost(name)
        self.steps.append(Step(name, done is not None, why, seconds, ram))
        return done or returns.model_construct(folder=self.run.path / name, key=key)

    def kept(self, name: str, returns: type[A], *rest: Any, **options: Any) -> A | None:
        """As the run folder has it; what is not there is no step of the plan."""
        found = self.run.kept(name, returns, *rest, **options)
        if found is not None:
            self.steps.append(Step(name, True, "unchanged", *self.run.last_cost(name)))
        return found


def plan(
    recipe: Recipe, folder: Path, until: str = STAGES[-1], *, verify: bool = False, evaluating: bool = False
) -> list[Step]:
    """Each stage: cached or to be run, why, and what it cost last time."""
    planned = Plan(artifacts.peek(folder, verify=verify))
    for artifact in line(recipe, planned, evaluating=evaluating):
        if artifact.folder.name == until:
            break
    return planned.steps


def finished(recipe: Recipe, folder: Path, *, verify: bool = False) -> list[Artifact]:
    """What every stage made; raises `InputError` if that is not all that the recipe says now."""
    planned = Plan(artifacts.peek(folder, verify=verify))
    made = list(line(recipe, planned))
    for step in planned.steps:
        if not step.done:
            raise InputError(
                f"The package of {recipe.name} is not what its recipe says now ({step.stage}: {step.why}).",
                f"packager build {recipe.name}",
            )
    return made


def _waiting(recipe: Recipe, folder: Path, until: str, verify: bool, evaluating: bool) -> tuple[str, ...]:
    """The stages that have to run; all of them if that cannot be told."""
    try:
        steps = plan(recipe, folder, until, verify=verify, evaluating=evaluating)
        return tuple(step.stage for step in steps if not step.done)
    except InputError:  # a source is missing: preflight says so, with everything else
        return STAGES


def _say_what_is_left_out(evaluating: evaluate_stage.Evaluating, run: RunFolder) -> None:
    """Before anything runs: what the evaluation will have to do without, and how to have it."""
    with progress.route(run.display):
        for one in evaluate_stage.unreachable(evaluating):
            progress.note(f"evaluation: {one.what} is left out: {one.why}; to have it, {one.fix}")


def _sizes(ggufs: Ggufs) -> str:
    return ", ".join(f"{f.type} {f.size / 1e6:,.0f} MB ({f.bits_per_weight:.2f} bits/weight)" for f in ggufs.files)


def stop_if_failed(artifact: Artifact) -> None:
    """A package that fails a check is not released, and nothing is built on what failed one."""
    if isinstance(artifact, Checked) and artifact.failed:
        lines = "\n".join(
            f"  ✗ {c.id}: {c.says} (measured {c.measured}, limit {c.threshold} {c.unit})" for c in artifact.failed
        )
        shown = artifact.folder / report_stage.PAGE if isinstance(artifact, Report) else artifact.folder
        raise ProofFailed(
            f"The proof failed; nothing was packaged.\n{lines}",
            f"see {shown}; mend the recipe or its data and build again",
        )
