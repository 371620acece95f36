"""All that knows Ollama's formats: the Modelfile's grammar, and its prompt templates.

`modelfile` writes and reads Modelfiles. `template` derives a Go template from a role format.
`composing` makes a Modelfile of both.
`rendering` renders it in pure Python, messages prepared as Ollama prepares them.
"""

from __future__ import annotations

from packager.ollama.composing import Composed, compose
from packager.ollama.modelfile import REQUIRES, Command, commands_of, parse, with_from, write
from packager.ollama.rendering import render_go
from packager.ollama.template import go_template, limits, stops

__all__ = [
    "REQUIRES",
    "Command",
    "Composed",
    "commands_of",
    "compose",
    "go_template",
    "limits",
    "parse",
    "render_go",
    "stops",
    "with_from",
    "write",
]
