"""Whether a file fits the clinic's machine, and why one is the package's default: in both languages."""

from __future__ import annotations

from packager.proof.fit import Candidate, FileChoice, Lack
from packager.report.words import Tongue

LACKS = {
    "smoke.ram": "precisa de {measured} GB de memória, e o limite é {limit}",
    "smoke.speed": "faz {measured} tokens/s, e o mínimo é {limit}",
    "smoke.first_token": "leva {measured} s até a primeira palavra, e o limite é {limit}",
}
"""Why a file does not fit, in Portuguese; in English a `Lack` says it itself."""


def lack(one: Lack, say: Tongue) -> str:
    return say(LACKS[one.check].format(measured=say.short(one.measured), limit=say.short(one.limit)), str(one))


def file_verdict(file: Candidate, choice: FileChoice, say: Tongue) -> str:
    """Whether it fits, and what speaks against it."""
    words = [lack(one, say) for one in file.lacks] or [say("cabe", "fits")]
    if file == choice.best:
        words = [say("o melhor que cabe", "best that fits")]
    if file.slow_kernels > 0.5:
        share = say.share(file.slow_kernels)
        words.append(
            say(
                f"em {share} de suas matrizes o AVX2 não tem cálculo rápido",
                f"{share} of its matrices have no fast kernel on AVX2",
            )
        )
    if file.dominated_by:
        words.append(say(f"{file.dominated_by} não perde em nada para este", f"dominated by {file.dominated_by}"))
    if file.name == choice.default:
        words.append(say("o padrão do pacote", "the package's default"))
    return ", ".join(words)


def default_because(choice: FileChoice, first: str, english: str, say: Tongue) -> str:
    """Why another file than the recipe's `first` type is the default; '' if that is it.

    `english` is what `proof.fit` recorded.
    """
    if not english or say.code == "en":
        return english
    by_type = {file.type: file for file in choice.candidates}
    best = next((file for file in choice.candidates if file.name == choice.default), None)
    left = by_type.get(first)
    if best is None or left is None:
        return ""
    why = " e ".join(lack(one, say) for one in left.lacks) or (
        f"se afasta mais de F16 ({say.number(left.kl, 4)} nats por token, e não {say.number(best.kl, 4)})"
    )
    return f"{best.type} é o padrão, porque {first} {why}"
