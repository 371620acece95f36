"""A build: what can be known early, then the stages of the line that are not done, as far as it is wanted."""

from __future__ import annotations

import contextlib
from pathlib import Path

from packager.artifacts.evaluation import Evaluation
from packager.artifacts.kinds import Artifact, Checked, Proof, Report
from packager.artifacts.run_folder import RunFolder, open_run
from packager.errors import InputError, ProofFailed
from packager.pipeline import pins, preflight
from packager.pipeline.line import LINE, STAGES, evaluating_of, line
from packager.pipeline.plan import StagePlan, plan, replaced_adapter
from packager.process import child, preloaded, progress, stopping
from packager.recipe.recipe import Recipe
from packager.report.causes import cause_of
from packager.stages import evaluate as evaluate_stage
from packager.stages import report as report_stage


def build(
    recipe: Recipe,
    folder: Path,
    until: str = STAGES[-1],
    *,
    verify: bool = False,
    evaluating: bool = False,
    update: bool = False,
) -> Artifact:
    """Bring the run folder up to stage `until` and return what that stage made.

    `evaluating` (or until="evaluation") makes an evaluation on the way. `update` takes the newest commits of
    sources on the Hub instead of those that the folder was made of.

    Raises `InputError`/`MissingResource` before the first stage for what can be known early,
    `ProofFailed` when a check fails, `Busy` when another build holds the folder.
    """
    if until not in STAGES:
        raise InputError(f"There is no stage '{until}'.", f"use one of {', '.join(STAGES)}")
    if until == "adapter" and recipe.train.method == "none":
        raise InputError("train.method is none, so there is no stage 'adapter'.", "choose another stage")
    evaluating = evaluating or until == "evaluation"
    with stopping.interruptible(), open_run(folder, verify=verify) as run, contextlib.ExitStack() as beside:
        with progress.route(run.display):
            recipe = pins.resolved(recipe, folder, update=True) if update else pins.known(recipe, folder)
            steps = _steps(recipe, folder, until, verify, evaluating)
            waiting = STAGES if steps is None else tuple(step.stage for step in steps if not step.done)
            if warning := replaced_adapter(steps or ()):
                progress.note(f"! {warning}")
            if waiting:
                preflight.check(recipe, folder, waiting, thorough=False)
                recipe = pins.resolved(recipe, folder)
        if evaluating and "evaluation" in waiting:
            _say_what_is_left_out(evaluating_of(recipe), run)
        if any("torch" in stage.versions for stage in LINE if stage.name in waiting):
            beside.enter_context(preloaded.importing_process(child.environment()))
        for artifact in line(recipe, run, evaluating=evaluating):
            reported = isinstance(artifact, Proof | Evaluation) and until != artifact.folder.name
            if not reported:  # first the report of what failed
                stop_if_failed(artifact)
            if artifact.folder.name == until:
                return artifact
    raise AssertionError(f"the line ended without stage {until}")


def _steps(recipe: Recipe, folder: Path, until: str, verify: bool, evaluating: bool) -> list[StagePlan] | None:
    """What is to be done; None if that cannot be told."""
    try:
        return plan(recipe, folder, until, verify=verify, evaluating=evaluating)
    except InputError:  # a source is missing: preflight says so, with everything else
        return None


def _say_what_is_left_out(evaluating: evaluate_stage.Evaluating, run: RunFolder) -> None:
    """Before anything runs: what the evaluation will have to do without, and how to have it."""
    with progress.route(run.display):
        for one in evaluate_stage.unreachable(evaluating):
            progress.note(f"evaluation: {one.what} is left out: {one.why}; to have it, {one.fix}")


def stop_if_failed(artifact: Artifact) -> None:
    """A package that fails a check is not released, and nothing is built on what failed one."""
    if isinstance(artifact, Checked) and artifact.failed:
        lines = "\n".join(
            f"  {'–' if c.waived else '✗'} {c.id}: {c.says} (measured {c.measured}, limit {c.threshold} {c.unit})"
            + (f" Waived: {c.waived}" if c.waived else f"\n      {cause_of(c)[1]}" if cause_of(c)[1] else "")
            for c in artifact.checks
            if not c.passed
        )
        shown = artifact.folder / report_stage.PAGE if isinstance(artifact, Report) else artifact.folder
        raise ProofFailed(
            f"The proof failed; nothing was packaged.\n{lines}",
            f"see {shown}; mend the recipe or its data and build again",
        )
