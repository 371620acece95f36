"""What the installed transformers says about a model type, read from its source without importing it.

A `model_type` of config.json -> the class that it loads, what kind of model that is, and what a field means
that config.json leaves out. Importing transformers takes seconds, reading its tables a tenth of one. Nothing
here fails: what the tables do not hold is '' or None.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

CAUSAL = "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES"
KINDS = {
    "MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES": "a model of pictures and text",
    "MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES": "a model of sound, pictures and text",
    "MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES": "a model of speech",
    "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES": "an encoder with a decoder",
    "MODEL_FOR_MASKED_LM_MAPPING_NAMES": "an encoder, which does not write answers",
}
"""Tables of models/auto/modeling_auto.py, and what the models in them are, in words; the first that fits holds."""


def causal_class(model_type: str) -> str:
    """The class that AutoModelForCausalLM makes of a model type ('' if it knows none)."""
    return _tables("modeling_auto.py").get(CAUSAL, {}).get(model_type, "")


def kind_of(model_type: str) -> str:
    """What models of this type are, where they are no plain decoder of text ('' otherwise)."""
    tables = _tables("modeling_auto.py")
    return next((words for table, words in KINDS.items() if model_type in tables.get(table, {})), "")


def is_native(model_type: str) -> bool:
    """Does transformers have this model type itself?"""
    return bool(model_type) and model_type in _tables("auto_mappings.py").get("CONFIG_MAPPING_NAMES", {})


def default(model_type: str, field: str) -> Any:
    """What a field of config.json is for this model type where the file leaves it out (None if unknown)."""
    return _defaults(model_type).get(field)


def _root() -> Path | None:
    spec = importlib.util.find_spec("transformers")
    roots = spec.submodule_search_locations if spec else None
    return Path(roots[0]) / "models" if roots else None


@functools.cache
def _tables(file: str) -> Mapping[str, dict[str, str]]:
    """The ordered dictionaries of names in a module of models/auto."""
    found = {}
    for node in _parsed(f"auto/{file}"):
        if not (isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and node.value.args):
            continue
        try:
            pairs = ast.literal_eval(node.value.args[0])
            found[getattr(node.targets[0], "id", "")] = {
                key: name[0] if isinstance(name, (list, tuple)) else name for key, name in pairs
            }
        except (ValueError, TypeError):  # a table that is computed
            continue
    return found


@functools.cache
def _defaults(model_type: str) -> Mapping[str, Any]:
    """The fields of a type's configuration class that have a plain value."""
    special = _tables("auto_mappings.py").get("SPECIAL_MODEL_TYPE_TO_MODULE_NAME", {})
    module = special.get(model_type, model_type).replace("-", "_")
    name = _tables("auto_mappings.py").get("CONFIG_MAPPING_NAMES", {}).get(model_type)
    classes = {n.name: n for n in _parsed(f"{module}/configuration_{module}.py") if isinstance(n, ast.ClassDef)}
    return dict(_fields(classes[name])) if name in classes else {}


def _fields(node: ast.ClassDef) -> Iterator[tuple[str, Any]]:
    for line in node.body:
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and line.value is not None:
            try:
                yield line.target.id, ast.literal_eval(line.value)
            except ValueError:
                continue


def _parsed(place: str) -> list[ast.stmt]:
    root = _root()
    path = root / place if root else None
    return ast.parse(path.read_text(encoding="utf-8")).body if path and path.is_file() else []
