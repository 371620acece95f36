"""What a build would do, told without building: each stage, done or to run, why, and what it cost last time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from packager.artifacts.key import depends
from packager.artifacts.kinds import Artifact
from packager.artifacts.run_folder import RunFolder, peek
from packager.artifacts.stage import Stage
from packager.errors import InputError
from packager.pipeline import pins
from packager.pipeline.line import STAGES, line
from packager.process.progress import duration
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
    finished: bool = False
    """Whether something finished lies there, which will be replaced if it is not done."""


@dataclass
class Planner:
    """Takes the stages in order and builds nothing: whether one is done follows from its record."""

    run: RunFolder
    steps: list[StagePlan] = field(default_factory=list)

    def make(self, stage: Stage[A], recipe: Recipe, inputs: Sequence[Artifact | None]) -> A:
        """Note whether the stage is done; an artifact that is not built has no content yet.

        One that was built of the same and lost a file is taken to come out as it was: a build sees if not.
        """
        before = next((i.folder.name for i in inputs if i and not i.content), None)
        done, why, content = None, f"after {before}", ""
        if before is None:
            needs = depends(stage, stage.section(recipe), inputs, stage.sources(recipe))
            done, why = self.run.committed(stage, needs)
            content = self.run.content(stage.name, needs)
        self._note(stage.name, done is not None, why)
        return done or stage.returns.model_construct(folder=self.run.path / stage.name, content=content)

    def kept(self, stage: Stage[A], recipe: Recipe, inputs: Sequence[Artifact | None]) -> A | None:
        """As the run folder has it; what is not there is no step of the plan."""
        found, _why = self.run.earlier(stage, recipe, inputs)
        if found is not None:
            self._note(stage.name, True, "unchanged")
        return found

    def _note(self, name: str, done: bool, why: str) -> None:
        seconds, peak_ram = self.run.last_cost(name)
        self.steps.append(StagePlan(name, done, why, seconds, peak_ram, (self.run.path / name).is_dir()))


def plan(
    recipe: Recipe, folder: Path, until: str = STAGES[-1], *, verify: bool = False, evaluating: bool = False
) -> list[StagePlan]:
    """Each stage: cached or to be run, why, and what it cost last time."""
    planner = Planner(peek(folder, verify=verify))
    for artifact in line(pins.known(recipe, folder), planner, evaluating=evaluating):
        if artifact.folder.name == until:
            break
    return planner.steps


def replaced_adapter(steps: Sequence[StagePlan]) -> str:
    """What is said before a build replaces a finished adapter by another; '' where it does not."""
    step = next((step for step in steps if step.stage == "adapter" and not step.done and step.finished), None)
    if step is None:
        return ""
    first = next(one for one in steps if not one.done)
    took = f", which took {duration(step.seconds)}," if step.seconds else ""
    return (
        f"The finished adapter{took} will be replaced ({first.stage}: {first.why}). To keep it, undo the change,"
        " or build elsewhere with --build-dir."
    )


def finished(recipe: Recipe, folder: Path, *, verify: bool = False) -> dict[str, Artifact]:
    """What every stage made, by its name; raises `InputError` if that is not all that the recipe says now."""
    planner = Planner(peek(folder, verify=verify))
    artifacts = {artifact.folder.name: artifact for artifact in line(pins.known(recipe, folder), planner)}
    for step in planner.steps:
        if not step.done:
            raise InputError(
                f"The package of {recipe.name} is not what its recipe says now ({step.stage}: {step.why}).",
                f"packager build {recipe.name}",
            )
    return artifacts
