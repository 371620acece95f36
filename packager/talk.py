"""Talk to a packaged model in the terminal: the recipe's system message and sampling, streamed."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from packager import llamacpp, proc
from packager.chat import ChatTemplate
from packager.errors import InputError
from packager.recipe import Recipe


def chat(recipe: Recipe, package: Path, file_type: str | None, question: str | None) -> None:
    """Answer one question, or a conversation until an empty line or Ctrl-D."""
    path = package / f"{recipe.name}-{file_type or recipe.quantize.types[0]}.gguf"
    if not path.is_file():
        raise InputError(f"There is no packaged model at {path}.", f"packager build {recipe.name}")
    with llamacpp.GgufModel.open(path, context=recipe.serve.context, threads=proc.physical_cores()) as model:
        template = ChatTemplate(model.chat_template, model.bos_token, model.eos_token)
        messages = [{"role": "system", "content": recipe.data.system}] if recipe.data.system else []
        interactive = question is None and sys.stdin.isatty()
        if interactive:
            click.echo(f"{path.name}: faça uma pergunta; linha vazia encerra. Não é um dispositivo médico.")
        asked = question or _next(interactive)
        while asked:
            messages.append({"role": "user", "content": asked})
            prompt = model.tokenize(template.render(messages, add_generation_prompt=True))
            if len(prompt) >= recipe.serve.context - 1:
                raise InputError("The conversation no longer fits the context.", "start a new one, or raise serve.context")
            messages.append({"role": "assistant", "content": _stream(model, prompt, recipe)})
            asked = None if question else _next(interactive)


def _next(interactive: bool) -> str | None:
    try:
        return input("\n> " if interactive else "").strip() or None
    except EOFError:
        return None


def _stream(model: llamacpp.GgufModel, prompt: list[int], recipe: Recipe) -> str:
    tokens: list[int] = []
    shown = ""
    room = min(recipe.serve.max_answer_tokens, recipe.serve.context - len(prompt) - 1)
    for token in model.generate(prompt, recipe.serve, seed=None):
        if token in model.eog_tokens or len(tokens) >= room:
            break
        tokens.append(token)
        text = model.text(tokens)
        if not text.endswith("\ufffd"):  # a character whose bytes are not all there yet
            click.echo(text[len(shown) :], nl=False)
            shown = text
    click.echo()
    return shown.strip()
