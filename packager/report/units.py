"""What is counted and measured, in both languages, one and many."""

from __future__ import annotations

Forms = tuple[str, str]
"""One, and many (zero is many)."""
UNITS: dict[str, tuple[Forms, Forms]] = {
    "rows": (("linha", "linhas"), ("row", "rows")),
    "share": (("proporção", "proporção"), ("share", "share")),
    "identifiers": (("identificador", "identificadores"), ("identifier", "identifiers")),
    "weight": (("peso", "peso"), ("weight", "weight")),
    "weights": (("peso", "pesos"), ("weight", "weights")),
    "pairs": (("par", "pares"), ("pair", "pairs")),
    "relative": (("relativo", "relativo"), ("relative", "relative")),
    "tokens": (("token", "tokens"), ("token", "tokens")),
    "other types": (("outro tipo", "outros tipos"), ("other type", "other types")),
    "texts": (("texto", "textos"), ("text", "texts")),
    "fields": (("campo", "campos"), ("field", "fields")),
    "stops": (("parada", "paradas"), ("stop", "stops")),
    "type": (("tipo", "tipo"), ("type", "type")),
    "bits/weight": (("bits/peso", "bits/peso"), ("bits/weight", "bits/weight")),
    "ratio": (("razão", "razão"), ("ratio", "ratio")),
    "commands": (("comando", "comandos"), ("command", "commands")),
    "faults": (("falha", "falhas"), ("fault", "faults")),
    "conversations": (("conversa", "conversas"), ("conversation", "conversations")),
    "template": (("modelo de prompt", "modelos de prompt"), ("template", "templates")),
    "answers": (("resposta", "respostas"), ("answer", "answers")),
    "questions": (("pergunta", "perguntas"), ("question", "questions")),
    "bits/character": (("bits/caractere", "bits/caractere"), ("bits/character", "bits/character")),
    "score": (("pontuação", "pontuação"), ("score", "score")),
    "passages": (("passagem", "passagens"), ("passage", "passages")),
    "mode": (("modo", "modo"), ("mode", "mode")),
    "token F1": (("F1 das palavras", "F1 das palavras"), ("token F1", "token F1")),
}
"""Units that are written alike in both languages (nats/token, GB, s) are left out."""
