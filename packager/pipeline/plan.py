"""What a build would do, told without building: each stage, done or to run, why, and what it cost last time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from packager.artifacts import run_folder
from packager.artifacts.kinds import Artifact
from packager.artifacts.run_folder import RunFolder, stage_key
from packager.errors import InputError
from packager.pipeline.line import STAGES, line
from packager.recipe.recipe import Recipe

A = TypeVar("A", bound=Artifact)


@dataclass(frozen=True)
class StagePlan:
    """What a build would do at one stage."""

    stage: str
    done: bool
    why: str
    seconds: float | None
    """How long it took when it was last built here, if it ever was."""
    peak_ram: int | None


@dataclass
class Planner:
    """Takes the stages in order and builds nothing: keys follow from settings and inputs alone."""

    run: RunFolder
    steps: list[StagePlan] = field(default_factory=list)

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
        self.steps.append(StagePlan(name, done is not None, why, seconds, ram))
        return done or returns.model_construct(folder=self.run.path / name, key=key)

    def kept(
        self,
        name: str,
        returns: type[A],
        function: Callable[..., A],
        config: BaseModel | None,
        *inputs: Artifact | None,
        **_: object,
    ) -> A | None:
        """As the run folder has it; what is not there is no step of the plan."""
        found, _why = self.run.earlier(name, returns, config, inputs)
        if found is not None:
            self.steps.append(StagePlan(name, True, "unchanged", *self.run.last_cost(name)))
        return found


def plan(
    recipe: Recipe, folder: Path, until: str = STAGES[-1], *, verify: bool = False, evaluating: bool = False
) -> list[StagePlan]:
    """Each stage: cached or to be run, why, and what it cost last time."""
    planned = Planner(run_folder.peek(folder, verify=verify))
    for artifact in line(recipe, planned, evaluating=evaluating):
        if artifact.folder.name == until:
            break
    return planned.steps


def finished(recipe: Recipe, folder: Path, *, verify: bool = False) -> list[Artifact]:
    """What every stage made; raises `InputError` if that is not all that the recipe says now."""
    planned = Planner(run_folder.peek(folder, verify=verify))
    made = list(line(recipe, planned))
    for step in planned.steps:
        if not step.done:
            raise InputError(
                f"The package of {recipe.name} is not what its recipe says now ({step.stage}: {step.why}).",
                f"packager build {recipe.name}",
            )
    return made
