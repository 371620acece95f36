"""What an audit found, in Portuguese: why rows were left out, kinds of damage and contradiction, places.

The audit is recorded in English; a reason that is not known here is quoted as it was recorded.
"""

from __future__ import annotations

import re

from packager.data.audit.rendering import places as places_in_english
from packager.report.words import Tongue

REASONS = (
    (r"repeat another row", r"repetem outra linha"),
    (r"longer than (\d+) tokens", r"mais longas que \1 tokens"),
    (r"missing field '(.+)'", r"falta a coluna '\1'"),
    (r"empty '(.+?)': it says what is written for an empty cell.*", r"'\1' vazia, ou com o que se escreve numa célula"
     r" vazia (nan, None, #REF!)"),
    (r"empty '(.+?)'.*", r"'\1' vazia"),
    (r"'(.+?)' is not text, but a number", r"'\1' é um número, e não um texto"),
    (r"'(.+?)' is not text, but a date or time.*", r"'\1' é uma data ou hora, e não um texto"),
    (r"'(.+?)' is not text.*", r"'\1' não é um texto"),
    (r"invalid JSON.*", r"JSON inválido"),
    (r"broken CSV.*", r"CSV com aspas que não fecham, ou com texto depois delas"),
    (r"broken XML.*", r"XML inválido"),
    (r"(\d+) cells?, but the header has (\d+)", r"células na linha: \1, no cabeçalho: \2"),
    (r"user and assistant do not alternate.*", r"pergunta e resposta não se alternam"),
    (r"message \d+ is a tool's turn.*", r"uma fala de ferramenta, que não se treina"),
    (r"'(.+?)' holds a value that cannot be read.*", r"'\1' tem um valor que não se pode ler"),
    (r".*characters that are no text", r"caracteres que não são texto"),
)  # fmt: skip
DAMAGE = {
    "mojibake": "letras trocadas: UTF-8 lido em outra codificação (orientaÃ§Ã£o)",
    "html": "marcas de HTML",
    "excel": "marcas do Excel (_x000D_)",
    "control": "caracteres de controle ou invisíveis",
    "escape": "códigos deixados como texto, como \\n, \\u00e3 ou %C3%A3",
    "lost": "letras perdidas (U+FFFD ou uma interrogação): só o original as tem",
    "cut": "respostas que parecem cortadas",
    "pasted": "instruções ao modelo coladas na pergunta: o lugar delas é data.system",
    "echo": "respostas que começam pela pergunta",
    "placeholder": "lacunas por preencher, como {nome}",
    "phrase": 'frases de chatbot, como "Claro! Aqui está"',
}
CONTRADICTIONS = {"numbers": "números diferentes", "yes or no": "sim e não"}


def reason(recorded: str, say: Tongue) -> str:
    """Why rows were left out."""
    if say.code == "en":
        return recorded
    for pattern, written in REASONS:
        if re.fullmatch(pattern, recorded, re.DOTALL):
            return re.sub(pattern, written, recorded, count=1, flags=re.DOTALL)
    return f"“{recorded}”"


def damage(kind: str, recorded: str, say: Tongue) -> str:
    return say(DAMAGE.get(kind, recorded), recorded)


def contradiction(kind: str, say: Tongue) -> str:
    return say(CONTRADICTIONS.get(kind, kind), kind)


def places(where: tuple[str, ...], total: int, say: Tongue) -> str:
    """`linhas 3, 9, ...`, or `a.csv:3, b.csv:9`."""
    text = places_in_english(where, total)
    return say(re.sub(r"^line(s?) ", r"linha\1 ", text), text)
