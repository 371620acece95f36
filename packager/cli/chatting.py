"""Talk to a packaged model, in the terminal or in a browser: the package's own system message and sampling, streamed.

A finished package -> a `Conversation`. Raises `InputError` without a package or file; leaves with 130 when the user
presses Ctrl-C.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import click

from packager.errors import InputError
from packager.llamacpp.model import GgufModel
from packager.process import child
from packager.recipe.recipe import Recipe
from packager.recipe.sections import Serve

LEAVE, HELP = ("/bye", "/sair", "/exit", "/quit"), ("/help", "/ajuda", "/?")
HELP_TEXT = {
    "pt-BR": "  /sair (ou /bye, linha vazia, Ctrl-D): encerrar    Ctrl-C: parar a resposta; sem resposta, encerrar\n"
    "  /nova: esquecer a conversa    /ajuda (ou /help): isto",
    "en": "  /bye (or an empty line, Ctrl-D): leave    Ctrl-C: stop the answer; without one, leave\n"
    "  /new: forget the conversation    /help: this",
}
FORGET = ("/new", "/nova")


@dataclass
class Conversation:
    """A loaded model, and what was said."""

    model: GgufModel
    serve: Serve
    system: str | None
    name: str
    messages: list[dict[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self.messages[:] = [{"role": "system", "content": self.system}] if self.system else []

    def answer(self, question: str) -> Iterator[str]:
        """The answer piece by piece; what was said until the caller stopped stays in the conversation."""
        asked = [*self.messages, {"role": "user", "content": question}]
        said = ""
        pieces = self.model.stream(
            self.model.prompt_ids(asked), self.serve, secrets.randbits(31), max_tokens=self.serve.max_answer_tokens
        )
        try:
            for _, text in pieces:
                said += text
                yield text
        finally:
            pieces.close()  # type: ignore[attr-defined]
            self.messages[:] = [*asked, {"role": "assistant", "content": said.strip()}]


@contextlib.contextmanager
def opened(recipe: Recipe, package: Path, file_type: str | None) -> Iterator[Conversation]:
    """A conversation with the package's default file, or the one of `file_type`."""
    if not (package / "manifest.json").is_file():
        raise InputError(f"There is no package at {package}.", f"packager build {recipe.name}")
    manifest = json.loads((package / "manifest.json").read_text(encoding="utf-8"))
    default = next(file["name"] for file in manifest["files"] if file["default"])
    path = package / (f"{recipe.name}-{file_type}.gguf" if file_type else default)
    if not path.is_file():
        types = ", ".join(str(file["type"]) for file in manifest["files"])
        raise InputError(f"There is no packaged model at {path}.", f"the package has {types}: give --file one of them")
    serve, system = Serve.model_validate(manifest["recipe"]["serve"]), manifest["data"]["system"]
    with GgufModel.open(path, context=serve.context, threads=child.physical_cores(), kv=serve.kv) as model:
        if "knowledge" in manifest:
            note = f"O modelo responde sozinho, sem o material aprovado; para vê-lo: packager ask {recipe.name}"
            click.echo(note, err=True)
        yield Conversation(model, serve, system, path.name)


def chat(recipe: Recipe, package: Path, file_type: str | None, question: str | None) -> None:
    """Answer one question, or talk until an empty line, /bye or Ctrl-D."""
    with opened(recipe, package, file_type) as talk:
        if question is not None:
            _say(talk, question)
            return
        interactive = sys.stdin.isatty()
        if interactive:
            click.echo(f"{talk.name}: {_greeting(recipe.language)}")
        while (asked := _next(interactive)) is not None:
            if asked in HELP:
                click.echo(HELP_TEXT[recipe.language])
            elif asked in FORGET:
                talk.forget()
            else:
                _say(talk, asked)


def _greeting(language: str) -> str:
    if language == "pt-BR":
        return "faça uma pergunta; /ajuda diz o resto. Não é um dispositivo médico."
    return "ask a question; /help tells the rest. It is not a medical device."


def _say(talk: Conversation, question: str) -> None:
    """Print the answer as it comes; Ctrl-C stops it."""
    stopped = False

    def stop(signum: int, frame: object) -> None:
        nonlocal stopped
        stopped = True

    before = signal.signal(signal.SIGINT, stop)
    try:
        pieces = talk.answer(question)
        for text in pieces:
            click.echo(text, nl=False)
            if stopped:
                pieces.close()  # type: ignore[attr-defined]
                click.echo(" [...]", nl=False)
                break
    except InputError as error:  # the conversation has outgrown the context
        click.echo(f"{error.message} -> /new", err=True)
    finally:
        signal.signal(signal.SIGINT, before)
    click.echo()


def _next(interactive: bool) -> str | None:
    """What is asked next; None to leave. Ctrl-C leaves with exit code 130."""
    try:
        asked = input("\n> " if interactive else "").strip()
    except EOFError:
        return None
    except KeyboardInterrupt:
        click.echo()
        raise click.exceptions.Exit(130) from None
    return None if not asked or asked in LEAVE else asked
