"""YAML (and `set=` overrides) -> `Recipe`.

Every problem of a recipe is reported at once, as one `InputError`, each with its path and, for an
unknown field, the nearest right name.
"""

from __future__ import annotations

import copy
import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml
from pydantic import ValidationError

from packager.errors import InputError, all_at_once
from packager.recipe.fields import section_in
from packager.recipe.overrides import ASIDE, apply_override, set_field
from packager.recipe.recipe import Recipe
from packager.recipe.sections import Section
from packager.recipe.yaml_text import Loader, mend, place_of

ROOT = Path(__file__).resolve().parents[2]
"""The checkout: where recipes/ and vendor/ lie."""
SHIPPED = ROOT / "recipes"


class FaultyRecipe(InputError):
    """A recipe with wrong fields; for who wants to say what else is wrong, what it is without them."""

    def __init__(self, message: str, fix: str = "", rest: Recipe | None = None, faulty: frozenset[str] = frozenset()):
        """`rest`: those fields as they are by default, None where there is no such recipe; `faulty`: their sections."""
        super().__init__(message, fix)
        self.rest, self.faulty = rest, faulty


def shipped() -> list[Path]:
    """The recipes of this checkout."""
    return sorted(SHIPPED.glob("*.yaml"))


def located(path: str) -> Path:
    """A file that a recipe names: as seen from here, or else from the checkout, where `make` runs.

    Raises `InputError` for a text that can be no path.
    """
    here = expanded(path)
    return here if here.exists() or not (ROOT / here).exists() else ROOT / here


def expanded(path: str) -> Path:
    """A path as it was written, `~` filled in; it need not be there. Raises `InputError` for a text that can be
    none."""
    try:
        here = Path(path).expanduser()
        (ROOT / here).exists()
        return here
    except (OSError, ValueError, RuntimeError) as error:  # too long, a NUL in it, a home that is nobody's
        raise InputError(
            f"This is no path of a file: {path[:80]!r} ({error.__class__.__name__}).", "correct it"
        ) from error


def own_folder() -> Path:
    """Where recipes of one's own are written: recipes/ here, or this folder itself where there is none."""
    return Path("recipes") if Path("recipes").is_dir() else Path()


def is_named(name: str) -> bool:
    """Is there a recipe of that name, here or among those shipped?"""
    try:
        return any((folder / f"{name}.yaml").is_file() for folder in _folders())
    except OSError:  # too long to be a file's name
        return False


def _folders() -> tuple[Path, ...]:
    return (Path("recipes"), Path(), SHIPPED)


def find(name_or_path: str) -> Path:
    """The file of a recipe given by its name or path; raises `InputError` with the nearest name."""
    located(name_or_path)  # raises where it can be no path
    path = Path(name_or_path)
    if path.suffix in {".yaml", ".yml"}:
        if path.is_file():
            return path
        raise InputError(f"No recipe file at {path}.", "check the path, or run `packager recipes`")
    for folder in _folders():
        named = folder / f"{name_or_path}.yaml"
        if named.is_file():
            return named
    names = sorted({p.stem for folder in _folders() for p in folder.glob("[!.]*.yaml")})
    near = difflib.get_close_matches(name_or_path, names, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(names)}."
    if path.is_dir():
        raise InputError(f"{path} is a folder, not a recipe.", f"give a recipe in it as PATH.yaml; or {hint}")
    raise InputError(f"No recipe is called '{name_or_path}'.", f"{hint} A file is given as PATH.yaml")


def load(name_or_path: str, overrides: Sequence[str] = (), paths: Mapping[str, str] = MappingProxyType({})) -> Recipe:
    """The recipe of that name or path, with `field.path=value` overrides applied, and `paths` as they are: by field,
    whatever letters they have.

    Raises `FaultyRecipe` that lists every wrong field at once, or `InputError` for what is no recipe.
    """
    path = find(name_or_path)
    try:
        raw = yaml.load(path.read_text(encoding="utf-8"), Loader=Loader)
    except UnicodeDecodeError as error:
        raise InputError(f"{path.name} is not UTF-8 text.", "save it as UTF-8; a recipe is a text file") from error
    except yaml.YAMLError as error:
        raise InputError(f"{path.name} is not valid YAML: {place_of(error)}", mend(error)) from error
    except RecursionError:
        raise InputError(f"{path.name} is nested too deeply.", "take out the brackets that nothing closes") from None
    except OSError as error:
        raise InputError(f"{path.name} cannot be read: {error.strerror}.", "make it readable") from error
    if not isinstance(raw, dict):
        raise InputError(f"{path.name} holds no fields.", "see recipes/smollm2_aps.yaml for an example")
    problems: list[str] = []
    applied: dict[str, Any] = {}
    for field, given in paths.items():
        problems += filter(None, [set_field(raw, field, given, applied)])
    for override in overrides:
        problem = apply_override(raw, override, applied)
        if problem:
            problems.append(problem)
    problems += _renamed(raw.get("data"))
    raw = {name: value for name, value in raw.items() if name != "overrides" and not str(name).startswith(ASIDE)}
    raw |= {"overrides": applied}
    rest, faulty = None, frozenset[str]()
    try:
        rest = Recipe.model_validate(raw)
    except ValidationError as error:
        problems += _problems(error)
        faulty = frozenset(_section(item["loc"][0]) for item in error.errors() if item["loc"])
        rest = _without(raw, error)
    if rest and not problems:
        return rest
    many = "problem" if len(problems) == 1 else "problems"
    if ill := [override for override in overrides if "=" not in override]:
        faulty |= {_section(override.partition(".")[0]) for override in ill}
    said = all_at_once(problems, f"{len(problems)} {many} in {path.name}:")
    raise FaultyRecipe(said.message, "packager recipes --fields lists the fields", rest, faulty)


def _section(name: int | str) -> str:
    """The section that was meant by a name."""
    return str(next(iter(difflib.get_close_matches(str(name), list(Recipe.model_fields), n=1)), name))


def _without(raw: dict[str, Any], error: ValidationError) -> Recipe | None:
    """The recipe without the fields that are wrong; None if what is left is none."""
    raw = copy.deepcopy(raw)
    for item in error.errors():
        here, last = raw, ""
        for part in item["loc"]:  # as far as there are named fields: a list goes as a whole
            if last and not isinstance(here.get(last), dict):
                break
            here, last = here[last] if last else raw, str(part)
        here.pop(last, None)
    try:
        return Recipe.model_validate(raw)
    except ValidationError:
        return None


def in_yaml(text: str) -> str:
    """Text as a recipe has to have it, within brackets too: in quotes where YAML would read something else."""
    listed: str = yaml.safe_dump([text], default_flow_style=True, allow_unicode=True, width=10**6)
    return listed.strip()[1:-1]


def _renamed(data: Any) -> list[str]:
    """What is wrong with a data section that uses a field's old name; the section is given the new one.

    So the rest of it is read as it was meant, and its other problems are said with this one.
    """
    if not isinstance(data, dict):
        return []
    problems = []
    if isinstance(data.get("split"), str):
        data["hub_split"] = data.pop("split")
        problems.append(
            "data.split says which rows are held out; the split of a data set on the Hub is data.hub_split now: "
            "rename it"
        )
    if "evaluation" in data:
        data.setdefault("split", data.pop("evaluation"))
        problems.append("data.evaluation is called data.split now: rename it")
    return problems


def _problems(error: ValidationError) -> list[str]:
    found = []
    for item in error.errors():
        path = ".".join(str(part) for part in item["loc"] if part != "all-linear")
        if item["type"] == "extra_forbidden":
            near = difflib.get_close_matches(str(item["loc"][-1]), _siblings(item["loc"]), n=1)
            hint = f" (did you mean '{near[0]}'?)" if near else f" (known: {', '.join(_siblings(item['loc']))})"
            found.append(f"{path}: unknown field{hint}")
        elif item["type"] == "missing":
            found.append(f"{path}: required, but not given")
        elif item["type"] == "value_error":  # said by a section about several of its fields
            found.append(f"{path}: {item['ctx']['error']}")
        else:
            found.append(f"{path}: {_plain(item['msg'])} (found {item['input']!r})")
    return found


def _plain(message: str) -> str:
    return message[0].lower() + message[1:].replace("Input should be", "should be")


def _siblings(location: Sequence[int | str]) -> list[str]:
    section: type[Section] = Recipe
    for part in location[:-1]:
        if isinstance(part, int) or part not in section.model_fields:
            continue
        section = section_in(section.model_fields[part].annotation) or section
    return [name for name in section.model_fields if name != "overrides"]
