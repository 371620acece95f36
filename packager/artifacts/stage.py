"""A stage of the line as a value: what makes an artifact, from what, and what else its result depends on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import BaseModel

from packager.artifacts.kinds import Artifact
from packager.recipe.recipe import Recipe

A = TypeVar("A", bound=Artifact)


@dataclass(frozen=True)
class Stage(Generic[A]):
    """One entry of the line; its artifact lies in the run folder under its name."""

    name: str
    door: Callable[..., A]
    """The front door: `door(section, *inputs, folder)`, run in a child process, writes into `folder`."""
    returns: type[A]
    takes: tuple[str, ...] = ()
    """The stages whose artifacts it is given, in that order; None for one that was skipped."""
    section: Callable[[Recipe], BaseModel | None] = lambda recipe: None
    """Its part of the recipe."""
    versions: tuple[str, ...] = ()
    """Distributions whose installed version its result depends on."""
    sources: Callable[[Recipe], object] = lambda recipe: None
    """What it reads from outside the run folder, as a hash or anything else that changes with it."""
    wanted: Callable[[Recipe], bool] = lambda recipe: True
    """Whether the recipe has this stage at all."""
    on_request: bool = False
    """Made only when it is asked for, and never of what failed a check; else taken up if it is there."""
    resumable: bool = False
    """It finds what it left when it was interrupted."""
    online: bool = False
    """It is given the Hub's token and the network."""
    deliverable: bool = False
    """Its folder is handed to people, so its record lies beside it."""
    says: Callable[[A], str] = lambda artifact: ""
    """What was made, in a few words."""
