"""A finished package + a question -> what the clinic's page would show: passages, a refusal, and in the mode `assisted`
the model's words, held against the passages.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from packager.artifacts.files import cache_folder
from packager.errors import InputError
from packager.evaluation import assisted
from packager.knowledge import index, search
from packager.knowledge.answer import NEAREST, Shown, approved
from packager.knowledge.grounding import Grounded, ground, prompt
from packager.knowledge.lessons import Case
from packager.process import child
from packager.recipe.sections import Serve


@dataclass(frozen=True)
class Reply:
    """What is shown."""

    mode: str
    shown: Shown
    written: Grounded | None = None
    """The model's words, in the mode `assisted`."""

    def as_json(self) -> dict[str, object]:
        """As `packager ask --json` prints it."""
        told = self.shown.as_json() | {"mode": self.mode}
        if self.written:
            told |= {"written": self.written.text, "struck": list(self.written.struck)}
        return told


def ask(package: Path, question: str) -> Reply:
    """Raises `InputError` without a package that has approved material, `MissingResource` where the search cannot be
    compiled."""
    if not (package / index.INDEX).is_file():
        raise InputError(
            f"There is no approved material in {package}.",
            "give the recipe a section knowledge (docs/knowledge.md) and build it first",
        )
    manifest = json.loads((package / "manifest.json").read_text(encoding="utf-8"))
    mode, programs = str(manifest["knowledge"]["mode"]), cache_folder("knowledge")
    with search.opened(package, programs) as opened:
        shown = approved(opened, question)
    if mode != "assisted" or not shown.sure:
        return Reply(mode, shown)
    recipe = manifest["recipe"]
    texts = [hit.passage.text for hit in shown.passages][: recipe["knowledge"]["passages"]]
    case = Case(question, prompt(programs, question, texts, recipe["language"]), tuple(texts), "")
    path = package / next(file["name"] for file in manifest["files"] if file["default"])
    serve, system = Serve.model_validate(recipe["serve"]), manifest["data"]["system"]
    written = child.call(assisted.answer_one, path, case, system, serve).value
    return Reply(mode, shown, ground(programs, written, texts))


def of_reply(reply: Reply) -> str:
    """For people: each passage with its source, or the refusal; below it, marked, what the model wrote."""
    if reply.shown.silent:
        meant = [f"  {question}" for question in reply.shown.meant]
        return "\n".join([reply.shown.text, *(["Perguntas parecidas no material aprovado:"] if meant else []), *meant])
    said = [] if reply.shown.sure else [NEAREST]
    for hit in reply.shown.passages:
        said.append(f"{hit.passage.question}\n{hit.passage.text}\n  Fonte: {hit.passage.source}".strip())
    if reply.written:
        said.append(f"Escrito pelo computador a partir do material acima; confira:\n{reply.written.text}")
    return "\n\n".join(said)
