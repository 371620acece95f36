"""Facts -> the answers to the builder's questions, in words, and the limits that a reader must know.

Did it learn? Is it still sane after quantization? Is it better than the base? Each answer is yes, no or not
measured, and a sentence with the figures.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from packager.artifacts.checks import Check
from packager.artifacts.evaluation import BASE, HELDOUT, Difference
from packager.report.facts import ReportFacts
from packager.report.verdict import TEST_QUESTIONS, failed_probes, few_rows, lowered
from packager.report.words import Tongue

TOKENS = (("token", "tokens"), ("token", "tokens"))
PROBES = (("sonda", "sondas"), ("probe", "probes"))
IDENTIFIERS = (
    ("possível identificador de paciente", "possíveis identificadores de pacientes"),
    ("possible patient identifier", "possible patient identifiers"),
)
HELD_OUT = (("pergunta reservada vem", "perguntas reservadas vêm"), ("held-out question is", "held-out questions are"))
MILLIONS = (("milhão de parâmetros", "milhões de parâmetros"), ("million parameters", "million parameters"))


@dataclass(frozen=True)
class Finding:
    question: str
    yes: bool | None
    """None: not measured, or it cannot be told."""
    short: str
    says: str


def _named(check: Check, say: Tongue) -> str:
    return f"{check.id} {say('de', 'of')} {check.subject}" if check.subject else check.id


def findings(facts: ReportFacts, say: Tongue) -> tuple[Finding, ...]:
    return _learned(facts, say), _sane(facts, say), _better(facts, say)


def _learned(facts: ReportFacts, say: Tongue) -> Finding:
    question = say("Aprendeu?", "Did it learn?")
    adapter = facts.adapter
    if adapter is None:
        none = say("O modelo base foi empacotado sem treino.", "The base was packaged without training.")
        return Finding(question, None, say("não treinado", "not trained"), none)
    merged = facts.merged
    seen = say(
        f"No treino: de {say.number(adapter.heldout_loss_before)} para {say.number(adapter.heldout_loss_after)}",
        f"In training: from {say.number(adapter.heldout_loss_before)} to {say.number(adapter.heldout_loss_after)}",
    )
    if adapter.method == "qlora":
        seen += say(", sobre a base arredondada para NF4", ", on the base rounded to NF4")
    if merged.heldout_loss_base is None or merged.heldout_loss is None:
        figures = f"{seen}."
    else:
        before, after = merged.heldout_loss_base, merged.heldout_loss
        drop = _drop(before, after, say)
        on = say.counted(merged.heldout_tokens, *TOKENS)
        figures = say(
            f"A perda em {on} de respostas reservadas é de {say.number(before)} nats por token "
            f"no modelo base (16 bits) e de {say.number(after)} neste{drop}. {seen}.",
            f"Loss on {on} of held-out answers is {say.number(before)} nats per token "
            f"for the base (16 bits) and {say.number(after)} for this model{drop}. {seen}.",
        )
    passed = not any(c.failed for c in facts.proof.checks if c.id.startswith("train."))
    if passed and few_rows(facts):
        few = say("poucas linhas", "too few rows")
        return Finding(question, None, few, f"{figures} {say('São poucas para provar.', 'Too few to prove it.')}")
    if passed and not lowered(facts):
        return Finding(question, None, say("não se distingue", "cannot be told"), figures)
    return Finding(question, passed, say("sim", "yes") if passed else say("não", "no"), figures)


def _drop(before: float, after: float, say: Tongue) -> str:
    """By how much a loss fell or rose, with a colon before it."""
    if not before or before == after:
        return ""
    share = say.share(abs(before - after) / before)
    return f": {share} {say('menor', 'lower') if after < before else say('maior', 'higher')}"


def _sane(facts: ReportFacts, say: Tongue) -> Finding:
    """The checks of the quantized files, and the worst of their figures."""
    question = say("Continua são depois da quantização?", "Is it still sane after quantization?")
    checks = [c for c in facts.proof.checks if c.id.startswith(("quantize.", "smoke."))]
    passed = None if not facts.proof.answers else not any(c.failed for c in checks)
    ran = [f for f in facts.files if f.divergence]
    if not ran:
        return Finding(question, False, say("não", "no"), say("Nenhum arquivo roda.", "No file runs."))
    judged = {c.subject for c in checks if c.id == "quantize.top"}
    parts = [
        say(
            f"{f.type} escolhe o mesmo token que F16 em {say.share(f.divergence.same_top, 1)} dos casos"
            f"{'' if f.type in judged else ', o que aqui não se julga,'} (perplexidade "
            f"× {say.number(f.divergence.perplexity_ratio)})",
            f"{f.type} picks the same token as F16 in {say.share(f.divergence.same_top, 1)} of cases"
            f"{'' if f.type in judged else ', which is not judged here,'} (perplexity "
            f"× {say.number(f.divergence.perplexity_ratio)})",
        )
        for f in ran
        if f.divergence
    ]
    asked = len({a.ask for a in facts.proof.answers})
    questions = say.counted(asked, *TEST_QUESTIONS)
    end = say(
        f"Cada arquivo respondeu a {questions} nesta CPU.",
        f"Each file answered {questions} on this CPU.",
    )
    if not asked:
        end = say("Nenhuma pergunta de teste foi feita.", "No test question was asked.")
    failed = ", ".join(sorted({_named(c, say) for c in checks if c.failed}))
    waived = ", ".join(sorted({_named(c, say) for c in checks if c.waived}))
    wrong = say(f" Não passou: {failed}.", f" Failed: {failed}.") if failed else ""
    if waived:
        wrong += say(
            f" Dispensado, pois o padrão é outro arquivo: {waived}.",
            f" Waived, as another file is the default: {waived}.",
        )
    says = f"{'; '.join(parts)}. {end}{wrong}{_before_quantization(facts, say)}"
    if any(c.failed for c in checks):
        return Finding(question, False, say("não", "no"), says)
    return Finding(question, passed, say("sim", "yes") if passed else say("não perguntado", "not asked"), says)


def _before_quantization(facts: ReportFacts, say: Tongue) -> str:
    """What the F16 file answered, where it was asked because another one failed."""
    answers = facts.proof.answers_of_f16
    if not answers:
        return ""
    wrong = sum(bool(a.faults) for a in answers)
    return say(
        f" F16, antes da quantização, já falha em {wrong} das {len(answers)} perguntas.",
        f" F16, before quantization, already fails at {wrong} of the {len(answers)} questions.",
    )


def _better(facts: ReportFacts, say: Tongue) -> Finding:
    """What the evaluation shows of the default file against the base, on the held-out rows."""
    question = say("É melhor que o modelo base?", "Is it better than the base?")
    default = facts.files[0].type
    evaluation = facts.evaluation
    shown = [
        d
        for d in (evaluation.differences if evaluation else ())
        if (d.model, d.against, d.set) == (default, BASE, HELDOUT) and d.better
    ]
    if any(d.measure == "rouge1.f1" for d in shown):  # the same figure under another name is one measure
        shown = [d for d in shown if d.measure != "token_f1.f1"]
    if evaluation and not shown and few_rows(facts):
        few = say("poucas linhas", "too few rows")
        return Finding(question, None, few, say("São poucas para comparar.", "Too few to compare."))
    if not shown:
        how = say(
            f"Para comparar base, treinado e quantizados nas mesmas perguntas: packager evaluate {facts.recipe.name}",
            f"To compare base, tuned and quantized on the same questions: packager evaluate {facts.recipe.name}",
        )
        return Finding(question, None, say("não medido", "not measured"), how)
    better = [d for d in shown if sign(d) > 0]
    worse = [d for d in shown if sign(d) < 0]

    def named(found: Sequence[Difference], none: str) -> str:
        return f"{len(found)} ({'; '.join(say.measure(d.measure) for d in found)})" if found else none

    says = say(
        f"{default} contra o modelo base, nas mesmas perguntas reservadas, com intervalos de 95 %; das {len(shown)} "
        f"medidas, melhor em {named(better, 'nenhuma')}, pior em {named(worse, 'nenhuma')}.",
        f"{default} against the base on the same held-out questions, with 95 % intervals; of {len(shown)} measures, "
        f"better in {named(better, 'none')}, worse in {named(worse, 'none')}.",
    )
    if wrong := failed_probes(facts):
        says += say(
            f" Não passou em {say.counted(len(wrong), *PROBES)}.", f" It failed {say.counted(len(wrong), *PROBES)}."
        )
    if better and not worse and not wrong:
        return Finding(question, True, say("sim", "yes"), says)
    if worse and not better:
        return Finding(question, False, say("não", "no"), says)
    mixed = say("em parte", "in part") if better else say("não se distingue", "cannot be told")
    return Finding(question, None, mixed, says)


def sign(difference: Difference) -> int:
    """1: better, -1: worse, 0: the interval holds 0, so these rows show neither."""
    if not difference.better or not (difference.low > 0 or difference.high < 0):  # nor where they are no numbers
        return 0
    return 1 if (difference.value > 0) == (difference.better == "higher") else -1


def by_stage(facts: ReportFacts) -> dict[str, list[Check]]:
    found: dict[str, list[Check]] = {}
    for check in facts.proof.checks:
        found.setdefault(check.stage, []).append(check)
    return found


def limits(facts: ReportFacts, say: Tongue) -> Iterator[str]:
    """What the figures do not say."""
    size = say.counted(round(facts.base.parameters / 1e6), *MILLIONS)
    yield say(
        "Um modelo de linguagem inventa. Quanto menor, mais: este tem "
        f"{size}. As provas mostram que o arquivo é o que "
        "foi treinado e que se comporta; não mostram que o que ele diz é verdade.",
        f"A language model makes things up, the more so the smaller it is: this one has "
        f"{size}. The checks show that the file is what was "
        "trained and that it behaves; they do not show that what it says is true.",
    )
    yield say(
        f"{say.counted(facts.data.heldout_rows, *HELD_OUT)} da mesma fonte que as de treino "
        f"({facts.audit.source}); sobre perguntas de outro tipo, nada se mediu.",
        f"{say.counted(facts.data.heldout_rows, *HELD_OUT)} of the same source as those trained on "
        f"({facts.audit.source}); nothing was measured on questions of another kind.",
    )
    yield say(
        "Velocidade e memória são da máquina que construiu o pacote. Memória no contexto de "
        f"{facts.recipe.serve.context} tokens.",
        "Speed and memory are those of the machine that built the package; memory at a context of "
        f"{facts.recipe.serve.context} tokens.",
    )
    for file in facts.files:
        if file.fallback_share:
            yield say(
                f"{file.type}: {say.share(file.fallback_share)} dos pesos ficaram em outro tipo, porque suas linhas "
                "não se dividem em blocos de 256; por isso o arquivo é maior do que o nome sugere.",
                f"{file.type}: {say.share(file.fallback_share)} of the weights are of another type, because blocks of "
                "256 do not divide their rows; so the file is larger than its name suggests.",
            )
    if facts.data.identifiers:
        yield say(
            f"Os dados de treino têm {say.counted(facts.data.identifiers, *IDENTIFIERS)}; a receita permite.",
            f"The training data hold {say.counted(facts.data.identifiers, *IDENTIFIERS)}; the recipe allows them.",
        )
    if facts.recipe.overrides:
        fields = ", ".join(facts.recipe.overrides)
        yield say(f"Campos alterados na linha de comando: {fields}.", f"Fields changed on the command line: {fields}.")
    if facts.evaluation is None:
        yield say(
            "Sem avaliação: não se comparou com o modelo base o que ele escreve.",
            "Without an evaluation: what it writes was not compared with the base's.",
        )
    for left in facts.evaluation.left_out if facts.evaluation else ():
        yield say(
            f"Não medido: {not_measured(left.what)}. O programa disse, em inglês: “{left.why}”",
            f"Not measured: {left.what}. {left.why}",
        )


def not_measured(what: str) -> str:
    """What was not measured, in Portuguese; names stay as they are."""
    kinds = {"set ": "o conjunto ", "rows of ": "linhas de ", "judge": "notas de um juiz", "probe ": "a sonda "}
    return next((new + what[len(old) :] for old, new in kinds.items() if what.startswith(old)), what)
