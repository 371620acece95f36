"""Facts of a proven package -> `runtime/config.json`, `.env` and `.bat`, `runtime/prova.json` and `prova/`.

The same facts three ways, so that the scripts in the clinic need no JSON parser; docs/bundle.md names every
key. Fails with `InputError` for a fact that a script could not hold.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packager import licence, ollama, smoke
from packager.artifacts import Answer, Proof, write_atomically, write_json
from packager.errors import InputError
from packager.llamacpp import Target
from packager.recipe import Recipe
from packager.recipe import Smoke as Question

FORMAT = 1
FILES = ("config.json", "config.env", "config.bat")


@dataclass(frozen=True)
class Facts:
    """What the clinic's scripts and page have to know."""

    recipe: Recipe
    version: str
    licence: str
    model: str
    """The file to start: the default one, or its first part."""
    model_type: str
    model_bytes: int
    system: str | None
    stops: tuple[str, ...]
    proof: Proof
    proven_as: str
    """What the default file was called when it was proven."""
    targets: tuple[Target, ...]
    signed: bool


def write(facts: Facts, runtime: Path) -> None:
    """Write all of it into the folder `runtime`; what the page reads goes into `pagina/` as well."""
    (runtime / "pagina").mkdir(parents=True, exist_ok=True)
    config, proven = of(facts), proof_of(facts)
    text = lines(config)
    write_json(runtime / "config.json", config)
    write_atomically(runtime / "config.env", env(text))
    write_atomically(runtime / "config.bat", bat(text))
    write_json(runtime / "prova.json", proven)
    for name in ("config.json", "prova.json"):
        write_atomically(runtime / "pagina" / name, (runtime / name).read_text(encoding="utf-8"))
    (runtime / "prova").mkdir(exist_ok=True)
    for number, question in enumerate(proven["questions"], 1):
        stem = runtime / "prova" / f"{number:02d}"
        write_json(stem.with_suffix(".json"), question["request"])
        write_atomically(stem.with_suffix(".txt"), question["answer"] + "\n")
        write_atomically(stem.with_suffix(".expect"), "".join(f"{w}\n" for w in question["expect_any"]))
        write_atomically(stem.with_suffix(".reject"), "".join(f"{w}\n" for w in question["reject_any"]))


def of(facts: Facts) -> dict[str, Any]:
    """config.json."""
    recipe, serve = facts.recipe, facts.recipe.serve
    answers = _answers(facts)
    return {
        "format": FORMAT,
        "recipe": recipe.name,
        "title": licence.titled(facts.licence, recipe.name),
        "description": recipe.description,
        "language": recipe.language,
        "version": facts.version,
        "model": facts.model,
        "model_type": facts.model_type,
        "model_mb": math.ceil(facts.model_bytes / 1e6),
        "context": serve.context,
        "max_answer_tokens": serve.max_answer_tokens,
        **_sampling(facts),
        "seed": smoke.SEED,
        "ram_mb": _ram_mb(facts),
        "proven_tokens_per_second": _speed(answers),
        "proven_seconds_to_first_token": max((a.seconds_to_first_token for a in answers), default=0.0),
        "min_tokens_per_second": recipe.device.min_tokens_per_second,
        "max_seconds_to_first_token": recipe.device.max_seconds_to_first_token,
        "questions": len(recipe.smoke),
        "ollama_minimum": ollama.REQUIRES,
        "targets": {t.name: {"server": t.server, "cpu_features": list(t.cpu_features)} for t in facts.targets},
        "signed": facts.signed,
        "system": facts.system or "",
        "stops": list(facts.stops),
    }


def proof_of(facts: Facts) -> dict[str, Any]:
    """prova.json: the smoke questions, and what was proven with them."""
    answers, device = _answers(facts), facts.recipe.device
    return {
        "format": FORMAT,
        "model": facts.model,
        "ram_mb": _ram_mb(facts),
        "tokens_per_second": _speed(answers),
        "seconds_to_first_token": max((a.seconds_to_first_token for a in answers), default=0.0),
        "min_tokens_per_second": device.min_tokens_per_second,
        "max_seconds_to_first_token": device.max_seconds_to_first_token,
        "questions": [_question(facts, q, a) for q, a in zip(facts.recipe.smoke, answers, strict=True)],
    }


def request(facts: Facts, ask: str) -> dict[str, Any]:
    """The body of POST /v1/chat/completions that asks as the proof asked."""
    messages = [{"role": "system", "content": facts.system}] if facts.system else []
    return {
        "messages": [*messages, {"role": "user", "content": ask}],
        **_sampling(facts),
        "max_tokens": facts.recipe.serve.max_answer_tokens,
        "seed": smoke.SEED,
        "stream": False,
    }


def env(facts: Mapping[str, str]) -> str:
    """`KEY='value'` lines, to be read with `.` by any sh."""
    return "".join(f"{key}='{value}'\n" for key, value in _checked(facts, "'\n\r\0"))


def bat(facts: Mapping[str, str]) -> str:
    """`set "KEY=value"` lines, to be read with `call` by cmd."""
    checked = _checked(facts, '"!^\n\r\0')
    return "@echo off\r\n" + "".join('set "{}={}"\r\n'.format(key, value.replace("%", "%%")) for key, value in checked)


def lines(config: Mapping[str, Any]) -> dict[str, str]:
    """The facts that scripts need, as text."""
    scripts = {k: v for k, v in config.items() if k not in ("description", "system", "stops", "targets", "signed")}
    known = {key.upper(): str(value) for key, value in scripts.items()}
    needed: dict[str, str] = {}
    for name, target in config["targets"].items():
        needed[f"CPU_{name.partition('-')[2].upper()}"] = " ".join(target["cpu_features"])
    return known | {"TARGETS": " ".join(config["targets"]), "SIGNED": str(int(config["signed"]))} | needed


def _checked(facts: Mapping[str, str], forbidden: str) -> Sequence[tuple[str, str]]:
    for key, value in facts.items():
        if bad := next((c for c in value if c in forbidden), None):
            raise InputError(f"{key} of the bundle holds {bad!r}, which a start script cannot.", "take it out")
    return list(facts.items())


def _sampling(facts: Facts) -> dict[str, float]:
    serve = facts.recipe.serve
    return {
        "temperature": serve.temperature,
        "top_k": serve.top_k,
        "top_p": serve.top_p,
        "min_p": serve.min_p,
        "repeat_penalty": serve.repeat_penalty,
        "repeat_last_n": serve.repeat_last_n,
    }


def _answers(facts: Facts) -> list[Answer]:
    return [a for a in facts.proof.answers if a.file == facts.proven_as]


def _speed(answers: Sequence[Answer]) -> float:
    return statistics.median([a.tokens_per_second for a in answers]) if answers else 0.0


def _ram_mb(facts: Facts) -> int:
    """The default file's memory, as the proof measured it; its sentence begins with the type."""
    measured = [
        float(c.measured)
        for c in facts.proof.checks
        if c.id == "smoke.ram" and c.says.startswith(f"{facts.model_type}:")
    ]
    return math.ceil(measured[0] * 1000) if measured else 0


def _question(facts: Facts, question: Question, answer: Answer) -> dict[str, Any]:
    return {
        "ask": question.ask,
        "answer": answer.answer,
        "tokens": answer.tokens,
        "stopped": answer.stopped,
        "expect_any": list(question.expect_any),
        "reject_any": list(question.reject_any),
        "request": request(facts, question.ask),
    }
