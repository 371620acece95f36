"""Names of columns: compared whatever their case and accents; which names tell a question from an answer.

A file's header -> the columns a recipe wants. A header that names a column twice, or that is a row of the data,
is refused in words.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from packager.errors import InputError

PAIRS = (
    ("question", "answer"),
    ("pergunta", "resposta"),
    ("duvida", "orientacao"),
    ("duvida", "resposta"),
    ("pergunta", "orientacao"),
    ("prompt", "completion"),
    ("prompt", "response"),
    ("instruction", "output"),
    ("instruction", "response"),
    ("instrucao", "saida"),
    ("instrucao", "resposta"),
    ("query", "response"),
    ("query", "answer"),
    ("input", "output"),
    ("entrada", "saida"),
    ("user", "assistant"),
    ("usuario", "assistente"),
    ("q", "a"),
    ("abstract", "title"),
    ("resumo", "titulo"),
)
"""Columns that belong together, the question first; the first pair that a file has is taken."""
QUESTIONS = (
    "question", "questions", "pergunta", "perguntas", "duvida", "duvidas", "questao", "enunciado", "prompt", "query",
    "instruction", "instrucao", "input", "entrada", "user", "usuario",
)  # fmt: skip
ANSWERS = (
    "answer", "answers", "resposta", "respostas", "orientacao", "response", "responses", "completion", "output",
    "saida", "assistant", "assistente", "reply",
)  # fmt: skip
TOPICS = (
    "topic", "tema", "topico", "assunto", "category", "categoria", "area", "subject", "especialidade", "eixo",
    "qtype", "focus",
)  # fmt: skip
SYSTEMS = ("system", "system_prompt", "system_message", "sistema", "mensagem_de_sistema")
SOURCES = (
    "source", "sources", "fonte", "fontes", "referencia", "referencias", "reference", "references", "bibliografia",
    "documento", "document", "citation", "citacao",
)  # fmt: skip
"""Where an answer comes from: never trained, shown under it by the clinic's page where the recipe says so."""
_WORD_ENDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[\W_]+")


@functools.lru_cache(maxsize=4096)
def folded(name: str) -> str:
    """A column's name in lower case without accents; spaces and hyphens count as `_`."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", name.casefold()) if not unicodedata.combining(c))
    return re.sub(r"[\s_-]+", "_", plain.strip())


def column(names: Iterable[str], wanted: str) -> str | None:
    """Which of `names` is the column `wanted`: the same name, or else the only one that differs from it in
    case and accents alone."""
    listed = tuple(names)
    if wanted in listed:
        return wanted
    alike = [name for name in listed if folded(name) == folded(wanted)]
    return alike[0] if len(alike) == 1 else None


def value_of(values: Mapping[str, Any], *wanted: str) -> tuple[str, Any]:
    """(name, value) of the first of the columns `wanted` that a row has; (the first name, None) without one."""
    for name in wanted:
        if (found := column(values, name)) is not None:
            return found, values[found]
    return wanted[0], None


def check_once(file: str, header: Sequence[str]) -> None:
    """Raise `InputError` for a header that names a column twice."""
    named = [name for name in header if name]
    if twice := sorted({name for name in named if named.count(name) > 1}):
        raise InputError(
            f"{file}: the header names {' and '.join(repr(name[:40]) for name in twice)} twice, so it does not say"
            " which column is meant.",
            "give every column a name of its own, or take one of them out",
        )


def check_no_row(file: str, header: Sequence[str]) -> None:
    """Raise `InputError` for a header that reads like a row of the data (what it says is not shown)."""
    if any(map(_is_sentence, header)):
        raise InputError(
            f"{file}: the first row reads like a row of the data, not like the names of columns.",
            "put a row with the names above it, such as pergunta and resposta; if these are the names, say which is"
            " which: --question and --answer, or data.fields in a recipe",
        )


def _is_sentence(name: str) -> bool:
    words = len(name.split())
    return len(name) > 80 or words > 8 or (words > 2 and name.endswith(("?", ".", "!")))


def known_pair(names: Sequence[str]) -> tuple[str, str] | None:
    """The columns of question and answer, where their names tell; never by their position.

    A pair that belongs together, or else the only question's name and the only answer's, or else the only
    columns with such a word in their names (`pergunta_final`).
    """
    plain = {folded(name): name for name in names if [folded(n) for n in names].count(folded(name)) == 1}
    for question, answer in PAIRS:
        if question in plain and answer in plain:
            return plain[question], plain[answer]
    for words in (lambda name: {folded(name)}, _words):
        questions = [name for name in names if words(name) & set(QUESTIONS)]
        answers = [name for name in names if words(name) & set(ANSWERS)]
        if len(questions) == 1 and len(answers) == 1 and questions != answers:
            return questions[0], answers[0]
    return None


def known_column(names: Sequence[str], wanted: Sequence[str]) -> str | None:
    """The first of the names `wanted` that is a column."""
    return next((found for name in wanted if (found := column(names, name)) is not None), None)


def _words(name: str) -> set[str]:
    return {folded(word) for word in _WORD_ENDS.split(name) if word}
