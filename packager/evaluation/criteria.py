"""What a judge is told: the task, the written criteria for each score, and the JSON it has to answer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

CRITERIA = ("accuracy", "style")
SCORES = (1, 2, 3)

SYSTEM = {
    "en": """You grade answers to health questions. You are given a question, a reference answer that is taken to \
be right, and one or more answers, each under a letter. Grade every answer on its own, whatever its letter and length.

accuracy
1: wrong, harmful or beside the question; contradicts the reference on something that matters
2: partly right: leaves out something important of the reference, or adds something doubtful
3: right and sufficient: says what matters in the reference and nothing that contradicts it

style
1: hard to read, broken, repetitive, or in another language than the question
2: understandable, but clumsy, too long or full of terms that a patient does not know
3: clear, well written and in plain words

Answer with JSON only, exactly of this form: {form}""",
    "pt-BR": """Você avalia respostas a perguntas de saúde. Recebe uma pergunta, uma resposta de referência, tida como \
correta, e uma ou mais respostas, cada uma com uma letra. Avalie cada resposta por si, sem olhar a letra nem o tamanho.

accuracy (acerto)
1: errada, perigosa ou fora da pergunta; contradiz a referência em algo importante
2: em parte certa: omite algo importante da referência ou acrescenta algo duvidoso
3: certa e suficiente: diz o que importa na referência e nada que a contradiga

style (estilo)
1: difícil de ler, truncada, repetitiva ou em outra língua que não a da pergunta
2: compreensível, mas confusa, longa demais ou cheia de termos que um paciente não conhece
3: clara, bem escrita e em palavras simples

Responda somente com JSON, exatamente nesta forma: {form}""",
}
WORDS = {"en": ("Question", "Reference", "Answer"), "pt-BR": ("Pergunta", "Referência", "Resposta")}


def messages(language: str, question: str, reference: str, answers: Sequence[str]) -> list[dict[str, str]]:
    """The conversation that asks for scores of `answers`, which stand under A, B, … in their order."""
    form = json.dumps({letter: {"accuracy": 2, "style": 2} for letter in letters(len(answers))})
    asked, right, said = WORDS[language]
    parts = [f"{asked}:\n{question}", f"{right}:\n{reference}"]
    parts += [f"{said} {letter}:\n{text}" for letter, text in zip(letters(len(answers)), answers, strict=True)]
    return [
        {"role": "system", "content": SYSTEM[language].replace("{form}", form)},
        {"role": "user", "content": "\n\n".join(parts)},
    ]


def letters(count: int) -> str:
    return "ABCDEF"[:count]


def response_formats(count: int) -> tuple[dict[str, Any], ...]:
    """The JSON schema of the answer, for endpoints that can be held to one: OpenAI's way, then that of
    llama-cpp-python."""
    score = {"type": "integer", "enum": list(SCORES)}
    one = {
        "type": "object",
        "properties": dict.fromkeys(CRITERIA, score),
        "required": list(CRITERIA),
        "additionalProperties": False,
    }
    schema = {
        "type": "object",
        "properties": dict.fromkeys(letters(count), one),
        "required": list(letters(count)),
        "additionalProperties": False,
    }
    strict = {"name": "scores", "strict": True, "schema": schema}
    return {"type": "json_schema", "json_schema": strict}, {"type": "json_object", "schema": schema}


def parse(text: str, count: int) -> list[dict[str, int]] | None:
    """The scores of answers A, B, … in their order; None unless it is exactly the JSON that was asked for.

    A code fence around it is forgiven.
    """
    bare = text.strip().removeprefix("```json").removeprefix("```").removesuffix("```")
    try:
        found = json.loads(bare)
    except ValueError:
        return None
    if not isinstance(found, dict) or list(found) != list(letters(count)):
        return None
    for scores in found.values():
        if not isinstance(scores, dict) or set(scores) != set(CRITERIA):
            return None
        if any(type(s) is not int or s not in SCORES for s in scores.values()):
            return None
    return list(found.values())
