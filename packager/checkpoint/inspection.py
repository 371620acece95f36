"""Everything about a checkpoint that can be known without its weights.

The small files of a base, and the headers of its weights -> every problem there is, each with what was
found, what was expected and what to do. Only `check_tokenizer` raises for a broken base.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from packager.checkpoint.family import family_problem
from packager.checkpoint.layout import Shapes, embedding, layout_problems
from packager.checkpoint.output_head import Equal, head_problem
from packager.checkpoint.reach import rope_problems, rotary_problems, window_problems
from packager.checkpoint.token_files import token_problems
from packager.errors import InputError, PackagerError
from packager.llamacpp.converter import pretokenizer_known

DEFAULT = "default"
"""The named template that is used."""


def weight_problems(config: Mapping[str, Any], shapes: Shapes, equal: Equal, source: str) -> list[PackagerError]:
    """config.json against every tensor's shape. Of a class that the line does not take, that alone is said."""
    if problem := family_problem(config, shapes, source):
        return [problem]
    architecture = config["architectures"][0]
    asked = (rope_problems, rotary_problems, window_problems)
    problems: list[PackagerError] = [found for problem in asked for found in problem(config, architecture)]
    problems += layout_problems(config, shapes)
    head = head_problem(config, shapes, equal)
    return [*problems, *([head] if head else [])]


def tokenizer_problems(folder: Path, config: Mapping[str, Any], shapes: Shapes) -> list[PackagerError]:
    """The tokenizer's files against each other and against the embedding."""
    name = embedding(shapes)
    size = config.get("vocab_size")
    rows = shapes[name][0] if name else size if isinstance(size, int) else 0
    return list(token_problems(folder, config, rows))


def template_problem(folder: Path, settings: Mapping[str, Any]) -> InputError | None:
    """What is wrong with the base's own chat template; `settings` are those of tokenizer_config.json."""
    if (folder / "chat_template.jinja").is_file():
        return None
    found = settings.get("chat_template")
    fix = "give the template to use in data.template"
    if found is None or isinstance(found, str):
        return None
    if not isinstance(found, list):
        kind = "fields" if isinstance(found, dict) else type(found).__name__
        return InputError(
            f"tokenizer_config.json: chat_template is {kind}; text, or a list of named templates, was expected.", fix
        )
    whole = [
        one for one in found
        if isinstance(one, dict) and isinstance(one.get("name"), str) and isinstance(one.get("template"), str)
    ]  # fmt: skip
    if len(whole) < len(found):
        return InputError("tokenizer_config.json: an entry of chat_template lacks its name or template.", fix)
    names = [one["name"] for one in whole]
    if names.count(DEFAULT) == 1:
        return None
    said = f"{names.count(DEFAULT)} of that name" if DEFAULT in names else "none of that name"
    return InputError(
        f"tokenizer_config.json: of its named chat templates ({', '.join(names) or 'an empty list'}) the one called"
        f" “{DEFAULT}” would be used; there is {said}.",
        fix,
    )


def not_a_model(folder: Path) -> InputError | None:
    """What a folder without config.json is, where that can be said."""
    adapter = folder / "adapter_config.json"
    if (folder / "config.json").is_file() or not adapter.is_file():
        return None
    try:
        base = json.loads(adapter.read_text(encoding="utf-8")).get("base_model_name_or_path") or "its base"
    except (OSError, ValueError, AttributeError):
        base = "its base"
    return InputError(
        f"base.model: {folder.name} is a LoRA adapter of {base}, not a model.",
        f"merge it into {base} and give the folder of the result, or set base.model to {base}",
    )


def check_tokenizer(folder: Path, source: str) -> None:
    """Raise `InputError` for a tokenizer that is not there, is damaged, or cannot be converted."""
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
