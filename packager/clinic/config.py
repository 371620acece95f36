"""Facts of a proven package -> `runtime/config.json` and `runtime/prova.json`; docs/bundle.md names every key."""

from __future__ import annotations

import math
import statistics
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packager.artifacts.files import write_json
from packager.artifacts.kinds import Answer, Proof
from packager.artifacts.knowledge import Searched
from packager.clinic import served
from packager.clinic.targets import Target
from packager.package import licence, signing
from packager.package.material import as_approved
from packager.prompt.ollama.modelfile import REQUIRES, REQUIRES_OF_PARTS
from packager.proof import smoke
from packager.recipe.recipe import Recipe
from packager.recipe.sections import Smoke as Question

FORMAT = 4
"""Of both files; the start program takes over to folders of its own format only (source/versions.c)."""
BANNER = (
    "\nDEMONSTRAÇÃO: este modelo pequeno só mostra como o programa funciona.\nNão use as respostas com pacientes.\n"
)
"""For LEIA-ME.txt."""
MODE_TEXTS = {
    "free": "",
    "assisted": "\nModo assistido: primeiro vem o texto aprovado, palavra por palavra, com a fonte; abaixo dele,\n"
    "marcado, um texto que o computador escreveu a partir dele.\n",
    "approved": "\nSó material aprovado: cada resposta é um texto aprovado, palavra por palavra, com a fonte.\n"
    "Neste modo o modelo não escreve nada.\n",
}
"""For LEIA-ME.txt."""
UNAPPROVED = (
    "\nATENÇÃO: não consta quem leu e aprovou estes textos. Antes do uso, um profissional de saúde responsável\n"
    "tem de lê-los e aprová-los.\n"
)
OLLAMA_NOTE = (
    "\n   ATENÇÃO: no Ollama o modelo responde sozinho. Ele não procura no material aprovado, não mostra fontes\n"
    "   e não é conferido com elas. Para isso, use a página (iniciar).\n"
)
TITLES = {"pt-BR": "Assistente de perguntas e respostas", "en": "Questions and answers"}


@dataclass(frozen=True)
class ClinicFacts:
    """What the clinic's program and page have to know."""

    recipe: Recipe
    version: str
    licence: str
    model: str
    """The file to start: the default one, or its first part."""
    in_parts: bool
    """Whether the default file had to be split."""
    model_type: str
    model_bytes: int
    system: str | None
    stops: tuple[str, ...]
    proof: Proof
    proven_as: str
    """What the default file was called when it was proven."""
    likely: tuple[Mapping[int, float], ...]
    """Of each smoke question, `served.likely_beginnings`."""
    targets: tuple[Target, ...]
    material_bytes: int = 0
    """Of the approved material's files; 0 without."""
    searches: tuple[Searched, ...] = ()
    """What the self-test must find again."""
    examples: tuple[str, ...] = ()
    """Questions to begin with, where the approved material answers."""
    served_ram: int = 0
    """The most memory that the server took on this machine, in bytes; 0: it was not run here."""
    begins: tuple[str, ...] = ()
    """What that server says to each question when it takes the likeliest tokens; empty: the proof's words stand in."""
    signer: str = ""
    """The public key that will sign it, `ssh-ed25519 AAAA…`; '' if none will."""


def write_config(facts: ClinicFacts, runtime: Path) -> None:
    """Write all of it into the folder `runtime`; what the page reads goes into `pagina/` as well."""
    (runtime / "pagina").mkdir(parents=True, exist_ok=True)
    for place in (runtime, runtime / "pagina"):
        write_json(place / "config.json", settings_of(facts))
    write_json(runtime / "prova.json", proof_of(facts))


def settings_of(facts: ClinicFacts) -> dict[str, Any]:
    """config.json."""
    recipe, serve = facts.recipe, facts.recipe.serve
    shown = recipe.clinic.demonstration and facts.proof.mode == "free"  # approved texts are no demonstration
    return {
        "format": FORMAT,
        "recipe": recipe.name,
        "title": licence.titled(facts.licence, recipe.clinic.title or TITLES[recipe.language]),
        "mode": facts.proof.mode,
        "passages": recipe.knowledge.passages if recipe.knowledge else 0,
        "demonstration": shown,
        "ollama_note": "" if facts.proof.mode == "free" else as_approved(OLLAMA_NOTE, recipe.dossier.approval),
        "approved_by": recipe.dossier.approval,
        "banner": BANNER if shown else _mode_text(facts.proof.mode, recipe.dossier.approval),
        "feedback": recipe.clinic.feedback,
        "examples": list(facts.examples) or [question.ask for question in recipe.smoke],
        "language": recipe.language,
        "version": facts.version,
        "model": facts.model,
        "model_mb": math.ceil(facts.model_bytes / 1e6),
        "context": serve.context,
        "kv": serve.kv,
        "max_answer_tokens": serve.max_answer_tokens,
        **facts.recipe.serve.sampling,
        "seed": smoke.SEED,
        "needed_ram_mb": _needed_ram_mb(facts),
        "material_ram_mb": math.ceil(facts.material_bytes * 1.5 / 1e6),
        "ollama_minimum": REQUIRES_OF_PARTS if facts.in_parts else REQUIRES,
        "targets": {target.name: programs(target) for target in facts.targets},
        "signed": bool(facts.signer),
        "signer": facts.signer,
        "signer_numbers": signing.numbers(facts.signer) if facts.signer else "",
        "system": facts.system or "",
        "stops": list(facts.stops),
    }


def _mode_text(mode: str, approval: str) -> str:
    """What LEIA-ME.txt says of a mode, and of who approved its material."""
    if mode == "free":
        return ""
    return as_approved(MODE_TEXTS[mode], approval) + (f"Aprovado por: {approval}\n" if approval else UNAPPROVED)


def programs(target: Target) -> list[dict[str, Any]]:
    """The servers of a target as the start program chooses among them: the first whose features are all there."""
    return [{"program": target.binary(v), "cpu_features": list(v.cpu_features)} for v in target.variants]


def proof_of(facts: ClinicFacts) -> dict[str, Any]:
    """prova.json: the smoke questions, and what was proven with them."""
    answers, device = _answers(facts), facts.recipe.device
    # Another build of llama.cpp rounds otherwise, and a small model's likeliest tokens are often near each other: the
    # words that the self-test shows beside the clinic's are those of the program that ships.
    begun = facts.begins or tuple(answer.begins for answer in answers)
    asked = zip(facts.recipe.smoke, answers, begun, facts.likely, strict=True)
    return {
        "format": FORMAT,
        "model": facts.model,
        "ram_mb": _ram_mb(facts),
        "tokens_per_second": _speed(answers),
        "seconds_to_first_token": max((a.seconds_to_first_token for a in answers), default=0.0),
        "min_tokens_per_second": device.min_tokens_per_second,
        "max_seconds_to_first_token": device.max_seconds_to_first_token,
        "most_apart_nats": served.MOST_APART,
        "searches": [one.model_dump() for one in facts.searches],
        "questions": [_question(facts, *one) for one in asked],
    }


def request(facts: ClinicFacts, ask: str) -> dict[str, Any]:
    """The body of POST /v1/chat/completions for the likeliest tokens, as the proof took them (`smoke.BEGINNING`), and
    their log-probabilities."""
    return {
        "messages": messages(facts.system, ask),
        **facts.recipe.serve.sampling,
        "temperature": 0.0,
        "max_tokens": min(smoke.BEGINNING, facts.recipe.serve.max_answer_tokens),
        "seed": smoke.SEED,
        "cache_prompt": False,
        "stream": False,
        "logprobs": True,
        "top_logprobs": served.ASKED,
    }


def messages(system: str | None, ask: str) -> list[dict[str, str]]:
    """A conversation that begins with this question."""
    first = [{"role": "system", "content": system}] if system else []
    return [*first, {"role": "user", "content": ask}]


def fill_in(text: str, config: Mapping[str, Any]) -> str:
    """`$key` in a text for people -> what config.json says under it."""
    return string.Template(text).substitute(config)


def _answers(facts: ClinicFacts) -> list[Answer]:
    return [a for a in facts.proof.answers if a.file == facts.proven_as]


def _speed(answers: Sequence[Answer]) -> float:
    return statistics.median([a.tokens_per_second for a in answers]) if answers else 0.0


def _ram_mb(facts: ClinicFacts) -> int:
    """The default file's memory, as the proof measured it."""
    measured = [float(c.measured) for c in facts.proof.checks if c.id == "smoke.ram" and c.subject == facts.model_type]
    return math.ceil(measured[0] * 1000) if measured else 0


def _needed_ram_mb(facts: ClinicFacts) -> int:
    """What must be free: a twentieth more than the program that ships took here, or a tenth more than the proof."""
    if facts.served_ram:
        return math.ceil(facts.served_ram * 21 / 20 / 1e6)
    return math.ceil(_ram_mb(facts) * 11 / 10)


def _question(
    facts: ClinicFacts, question: Question, answer: Answer, begins: str, likely: Mapping[int, float]
) -> dict[str, Any]:
    return {
        "ask": question.ask,
        "answer": answer.answer,
        "tokens": answer.tokens,
        "begins": begins.rstrip("\ufffd").rstrip(),
        "likely": [{"id": token, "logprob": value} for token, value in likely.items()],
        "request": request(facts, question.ask),
    }
