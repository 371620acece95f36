"""All that knows Ollama's formats: the Modelfile's grammar, and its prompt templates.

`modelfile` writes and reads Modelfiles. `template` derives a Go template from a role format.
`composing` makes a Modelfile of both. `hub_files` says the same in the files of a Hub repo.
`rendering` renders it in pure Python, messages prepared as Ollama prepares them.
"""

from __future__ import annotations

from packager.ollama.composing import Composed, compose
from packager.ollama.hub_files import HUB_FILES, hub_differences, hub_files
from packager.ollama.modelfile import REQUIRES, Command, commands_of, parse, with_from, write
from packager.ollama.rendering import render_go
from packager.ollama.template import go_template, limits, preferred, stops

__all__ = [
    "HUB_FILES",
    "REQUIRES",
    "Command",
    "Composed",
    "commands_of",
    "compose",
    "go_template",
    "hub_differences",
    "hub_files",
    "limits",
    "parse",
    "preferred",
    "render_go",
    "stops",
    "with_from",
    "write",
]
