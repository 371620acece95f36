"""Facts of a build -> the verdict at the head of the report: what was proven, what was not, and what went wrong.

A proof that passed says that the packaged file is what was trained. It does not say that the answers are right, and
of what nobody asked it says nothing. So a green head needs answers that were judged, rows enough, and probes that
the packaged file did not fail.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from packager.artifacts.evaluation import ProbeAnswer, ProbeResult
from packager.data.audit.report import FEWEST
from packager.report.facts import ReportFacts
from packager.report.words import Tongue

TEST_QUESTIONS = (("pergunta de teste", "perguntas de teste"), ("test question", "test questions"))
ROWS = (("linha", "linhas"), ("row", "rows"))
HELD_OUT = (("linha reservada", "linhas reservadas"), ("row is held out", "rows are held out"))
GROUPS = (("grupo", "grupos"), ("group", "groups"))


@dataclass(frozen=True)
class Verdict:
    """The head of the report."""

    state: Literal["yes", "partly", "no"]
    """partly: every check passed, and something that a reader would take for granted was not proven, or is wrong."""
    proven: tuple[str, ...]
    unproven: tuple[str, ...]
    probes: tuple[tuple[ProbeResult, ProbeAnswer], ...]
    """The probes that the packaged default file failed, and what it said."""


def verdict_of(facts: ReportFacts, say: Tongue) -> Verdict:
    """What the head says, in the words of one language."""
    failed = failed_probes(facts)
    grave = [*_not_learned(facts, say), *_unjudged(facts, say)]
    state: Literal["yes", "partly", "no"] = "yes"
    if not facts.proof.passed:
        state = "no"
    elif grave or failed:
        state = "partly"
    return Verdict(
        state=state,
        proven=tuple(_proven(facts, say)) if facts.proof.passed else (),
        unproven=(*grave, *_never(facts, say)),
        probes=failed,
    )


def failed_probes(facts: ReportFacts) -> tuple[tuple[ProbeResult, ProbeAnswer], ...]:
    """The probes that the default file failed."""
    probes = facts.evaluation.probes if facts.evaluation else ()
    default = facts.files[0].type
    return tuple((p, a) for p in probes for a in p.answers if a.model == default and not a.passed)


def few_rows(facts: ReportFacts) -> bool:
    """Are there too few held-out groups of rows for any difference to be shown?"""
    split = facts.audit.split
    return split is not None and split.heldout_groups < FEWEST


def lowered(facts: ReportFacts) -> bool:
    """Is what was merged better than the base by more than the choice of the tokens explains?"""
    before, after = facts.merged.heldout_loss_base, facts.merged.heldout_loss
    return before is None or after is None or before - after > 2 * facts.merged.heldout_loss_error


def _proven(facts: ReportFacts, say: Tongue) -> Iterator[str]:
    types = ", ".join(f.type for f in facts.files)
    yield say(
        f"Os arquivos ({types}) são o modelo que saiu do treino: cada conversão prevê o mesmo que a anterior, salvo o "
        "que a quantização custa, e esse custo está dentro do limite.",
        f"The files ({types}) are the model that came out of training: each conversion predicts what the one before "
        "it does, but for what quantization costs, and that is within its limit.",
    )
    yield say(
        "O prompt que o Ollama e o llama.cpp montam é o do treino, token por token.",
        "The prompt that Ollama and llama.cpp build is training's, token for token.",
    )
    if facts.adapter and not few_rows(facts) and lowered(facts):
        yield say(
            f"O treino baixou a perda em {say.counted(facts.data.heldout_rows, *ROWS)} que nunca viu.",
            f"Training lowered the loss on {say.counted(facts.data.heldout_rows, *ROWS)} that it never saw.",
        )
    if asked := len({a.ask for a in facts.proof.answers}):
        judged = sum(bool(q.expect_any or q.reject_any) for q in facts.recipe.smoke)
        words = say(f"; {judged} julgadas pelas palavras que a receita espera", f", {judged} of them by expected words")
        questions = say.counted(asked, *TEST_QUESTIONS)
        yield say(
            f"Cada arquivo respondeu a {questions} nesta CPU: as respostas terminam, não se repetem e estão no idioma"
            f"{words if judged else ''}.",
            f"Each file answered {questions} on this CPU: answers end, do not repeat themselves and are in "
            f"the language{words if judged else ''}.",
        )


def _not_learned(facts: ReportFacts, say: Tongue) -> Iterator[str]:
    """What the held-out rows cannot show."""
    split = facts.audit.split
    if facts.adapter and not few_rows(facts) and not lowered(facts):
        yield say(
            "Que aprendeu: a perda caiu menos do que o acaso das linhas reservadas explica.",
            "That it learned: the loss fell by less than the choice of the held-out rows explains.",
        )
    if split is None or not few_rows(facts):
        return
    yield say(
        f"Que aprendeu: só {say.counted(facts.data.heldout_rows, *HELD_OUT)}, em "
        f"{say.counted(split.heldout_groups, *GROUPS)}. Com menos de {FEWEST} grupos, até um modelo que não aprendeu "
        "nada pode parecer melhor por acaso.",
        f"That it learned: only {say.counted(facts.data.heldout_rows, *HELD_OUT)}, in "
        f"{say.counted(split.heldout_groups, *GROUPS)}. With fewer than {FEWEST}, even a model that learned nothing "
        "may look better by chance.",
    )


def _unjudged(facts: ReportFacts, say: Tongue) -> Iterator[str]:
    """Answers that nobody looked at."""
    if not facts.proof.answers:
        yield say(
            "Como responde: a receita não tem perguntas de teste (smoke), e nenhuma resposta foi julgada.",
            "How it answers: the recipe has no test questions (smoke), and no answer was judged.",
        )
        return
    asked = facts.recipe.smoke
    if not any(q.expect_any or q.reject_any for q in asked):
        yield say(
            f"O que dizem as respostas: de {say.counted(len(asked), *TEST_QUESTIONS)}, nenhuma tem palavras esperadas.",
            f"What answers say: of {say.counted(len(asked), *TEST_QUESTIONS)}, none has expected words.",
        )


def _never(facts: ReportFacts, say: Tongue) -> Iterator[str]:
    """What no build proves, or was not asked for."""
    chose = [
        *([say("a base em que se mesclou", "the base to merge into")] if facts.merged.heldout_loss_nf4 else ()),
        *([say("o passo do treino", "the step of training")] if facts.recipe.train.evaluate_every else ()),
    ]
    if facts.adapter and chose and not facts.data.choosing_rows:
        what = say(" e ", " and ").join(chose)
        yield say(
            f"Que as perdas valem para linhas que nada escolheram: as reservadas são poucas e escolheram {what}.",
            f"That the losses hold for rows that chose nothing: the held-out rows are few and chose {what} as well.",
        )
    yield say(
        "Que o que ele diz é verdade: nenhum profissional de saúde leu as respostas.",
        "That what it says is true: no health professional read the answers.",
    )
    if facts.evaluation is None:
        yield say(
            "Que responde melhor que o modelo base: não foi avaliado.",
            "That it answers better than the base: it was not evaluated.",
        )
    elif not facts.evaluation.probes:
        yield say("Que sabe fatos: a receita não tem sondas.", "That it knows facts: the recipe has no probes.")
