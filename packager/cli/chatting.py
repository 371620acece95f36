"""Talk to a packaged model in the terminal: the package's own system message and sampling, streamed."""

from __future__ import annotations

import json
import secrets
import sys
from pathlib import Path

import click

from packager.errors import InputError
from packager.llamacpp.model import GgufModel
from packager.process import child
from packager.recipe.recipe import Recipe
from packager.recipe.sections import Serve


def chat(recipe: Recipe, package: Path, file_type: str | None, question: str | None) -> None:
    """Answer one question, or a conversation until an empty line or Ctrl-D."""
    if not (package / "manifest.json").is_file():
        raise InputError(f"There is no package at {package}.", "build the recipe first")
    manifest = json.loads((package / "manifest.json").read_text(encoding="utf-8"))
    default = next(file["name"] for file in manifest["files"] if file["default"])
    path = package / (f"{recipe.name}-{file_type}.gguf" if file_type else default)
    if not path.is_file():
        raise InputError(f"There is no packaged model at {path}.", "build the recipe first")
    serve, system = Serve.model_validate(manifest["recipe"]["serve"]), manifest["data"]["system"]
    with GgufModel.open(path, context=serve.context, threads=child.physical_cores(), kv=serve.kv) as model:
        messages = [{"role": "system", "content": system}] if system else []
        limit = {"max_tokens": serve.max_answer_tokens}
        interactive = question is None and sys.stdin.isatty()
        if interactive:
            click.echo(f"{path.name}: faça uma pergunta; linha vazia encerra. Não é um dispositivo médico.")
        asked = question or _next(interactive)
        while asked:
            messages.append({"role": "user", "content": asked})
            answer = ""
            for _, text in model.stream(model.prompt_ids(messages), serve, secrets.randbits(31), **limit):
                click.echo(text, nl=False)
                answer += text
            click.echo()
            messages.append({"role": "assistant", "content": answer.strip()})
            asked = None if question else _next(interactive)


def _next(interactive: bool) -> str | None:
    try:
        return input("\n> " if interactive else "").strip() or None
    except EOFError:
        return None
