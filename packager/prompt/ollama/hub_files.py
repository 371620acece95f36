"""`template`, `system` and `params`: what Ollama reads from a GGUF repo of the Hub in place of a Modelfile.

Modelfile -> the three files, and back again to commands, so that both can be held against each other.
Source: https://huggingface.co/docs/hub/ollama (a Go template, a text, a JSON object of parameters).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from packager.prompt.ollama.modelfile import ModelfileCommand, parse_modelfile

HUB_FILES = ("template", "system", "params")
_NOT_PARAMETERS = frozenset(
    {"model", "requires", "template", "system", "license", "adapter", "draft", "renderer", "parser", "message"}
)


def hub_files(modelfile: str) -> dict[str, str]:
    """The files that say what a Modelfile says, by their names; `system` only where it has one.

    A file ends where its value ends: a newline more would be one more in the prompt. What a Modelfile
    says besides (FROM, REQUIRES, LICENSE, ...) has no such file.
    """
    commands = parse_modelfile(modelfile)
    files = {c.name: c.value for c in commands if c.name in HUB_FILES}
    params: dict[str, int | float | list[str]] = {
        c.name: json.loads(c.value) for c in _parameters(commands) if c.name != "stop"
    }
    if stops := [c.value for c in commands if c.name == "stop"]:
        params["stop"] = stops
    return files | {"params": json.dumps(params, indent=2, ensure_ascii=False) + "\n"}


def hub_differences(modelfile: str, files: Mapping[str, str]) -> list[str]:
    """What files of a repo say otherwise than the Modelfile, a line each."""
    commands = parse_modelfile(modelfile)
    found = []
    for name in ("template", "system"):
        said = [c.value for c in commands if c.name == name]
        if said != [files[name]] if name in files else said:
            found.append(f"{name}: does not say what the Modelfile says")
    try:
        read = _read_params(files["params"])
    except (KeyError, ValueError, AttributeError, TypeError):
        return [*found, "params: is missing or no JSON object"]
    wanted = list(_parameters(commands))
    differing = sorted({c.name for c in {*read} ^ {*wanted}})
    if differing or sorted(read) != sorted(wanted):
        found.append(f"params: {', '.join(differing) or 'stop'} not as in the Modelfile")
    return found


def _parameters(commands: Sequence[ModelfileCommand]) -> list[ModelfileCommand]:
    return [c for c in commands if c.name not in _NOT_PARAMETERS]


def _read_params(text: str) -> list[ModelfileCommand]:
    """The file as the PARAMETER commands it stands for."""
    params = json.loads(text)
    stops = params.pop("stop", [])
    return [
        *(ModelfileCommand(name, repr(value)) for name, value in params.items()),
        *(ModelfileCommand("stop", s) for s in stops),
    ]
