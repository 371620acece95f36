"""Ollama's TEMPLATE and stops, as they were proven -> `Modelfile`, with SYSTEM and sampling.

The file is written, read back from disk as Ollama reads it, and must say what was proven before the training. Fails
before writing on text that a Modelfile cannot hold (`InputError`); a file that does not read back is a failed check.
"""

from __future__ import annotations

from pathlib import Path

from packager.artifacts.files import write_atomically
from packager.artifacts.kinds import Dataset, Modelfile, Prompt
from packager.prompt.deriving import derive_roles
from packager.prompt.ollama.modelfile import commands_of, write_modelfile
from packager.prompt.servable import must_fit
from packager.prompt.template import load_template, load_tokenizer, special_tokens
from packager.proof.modelfile import read_back, stop_check
from packager.recipe.sections import Serve

NAME = "Modelfile"


def modelfile(config: Serve, data: Dataset, prompt: Prompt, out: Path) -> Modelfile:
    """Write `Modelfile` into `out` and read it back."""
    roles = derive_roles(load_template(data.folder), special_tokens(load_tokenizer(data.folder)))
    must_fit(data.folder, roles, data.system, config)
    commands = commands_of(prompt.template, data.system, config, prompt.stops)
    text = write_modelfile(commands)
    write_atomically(out / NAME, text)
    return Modelfile(
        folder=out,
        template=prompt.template,
        stops=prompt.stops,
        system=data.system,
        text=text,
        checks=(read_back(out / NAME, commands), stop_check(out / NAME, data.end_of_turn, prompt)),
    )
