"""Facts -> the report's plots, in one language: SVG text, with its title where there are several."""

from __future__ import annotations

from collections.abc import Iterator

from packager.artifacts.evaluation import Evaluation
from packager.report.facts import ReportFacts
from packager.report.fit import quality_of
from packager.report.plots import axes, figures
from packager.report.plots.figures import Box, Line, Picture
from packager.report.words import Tongue

SCORES = ("rouge1.f1", "rouge2.f1", "rougeL.f1", "bertscore.f1")
"""Measures that get a box plot, where they were measured."""


def loss(facts: ReportFacts, say: Tongue) -> str:
    """Training loss step by step, and the held-out points; '' without training."""
    trained = [(float(s.step), s.loss) for s in facts.course if s.loss is not None]
    heldout = [(float(s.step), s.heldout_loss) for s in facts.course if s.heldout_loss is not None]
    if not trained or not heldout:
        return ""
    x = axes.axis([0.0, *(step for step, _ in trained)], say("passo de treino", "training step"), write=say.short)
    label = say("perda, nats/token", "loss, nats/token")
    y = axes.axis([value for _, value in (*trained, *heldout)], label, write=say.short)
    series = [
        Line(say("treino", "training"), trained),
        Line(say("reservadas", "held out"), heldout, marked=True),
    ]
    says = say(
        f"A perda nas perguntas reservadas vai de {say.number(heldout[0][1])} no passo {heldout[0][0]:.0f} a "
        f"{say.number(heldout[-1][1])} no passo {heldout[-1][0]:.0f}.",
        f"Loss on held-out questions goes from {say.number(heldout[0][1])} at step {heldout[0][0]:.0f} to "
        f"{say.number(heldout[-1][1])} at step {heldout[-1][0]:.0f}.",
    )
    return figures.lines(_picture(say, "loss", say("Perda durante o treino", "Loss over training"), says), x, y, series)


def lengths(facts: ReportFacts, say: Tongue) -> str:
    """How long the rows are; '' where nothing was counted."""
    tokens = facts.audit.tokens
    if tokens is None or not tokens.histogram:
        return ""
    columns = [(float(b.low), float(b.high + 1), float(b.rows)) for b in tokens.histogram]
    x = axes.axis([edge for low, high, _ in columns for edge in (low, high)], "tokens", write=say.short)
    y = axes.axis([height for _, _, height in columns], say("linhas", "rows"), zero=True, write=say.short)
    says = say(
        f"De {tokens.shortest} a {tokens.longest} tokens, mediana {tokens.median}; o limite é {tokens.limit}.",
        f"From {tokens.shortest} to {tokens.longest} tokens, median {tokens.median}; the limit is {tokens.limit}.",
    )
    title = say("Comprimento das linhas", "Length of the rows")
    limit = (float(tokens.limit), say("limite", "limit"))
    return figures.bars(_picture(say, "lengths", title, says), x, y, columns, limit)


def quality(facts: ReportFacts, say: Tongue) -> Iterator[tuple[str, str]]:
    """Divergence from F16 against size, and against speed where that was measured."""
    files = facts.choice.candidates
    if not files:
        return
    y = say("divergência KL de F16, nats/token", "KL divergence from F16, nats/token")
    says = "; ".join(f"{f.type}: {f.size / 1e6:,.0f} MB, KL {say.number(f.kl, 4)}" for f in files)
    title = say("Qualidade e tamanho", "Quality and size")
    note = say(
        "esquerda e abaixo é melhor; verde: o melhor que cabe", "left and lower is better; green: best that fits"
    )
    sizes = [f.size / 1e6 for f in files]
    where = say("tamanho, MB", "size, MB")
    yield (
        title,
        quality_of(facts.choice, _picture(say, "size", title, says), where, y, sizes, note, say),
    )
    speeds = [f.tokens_per_second or 0.0 for f in files]
    if all(speeds):
        says = "; ".join(f"{f.type}: {say.number(s, 0)} tokens/s" for f, s in zip(files, speeds, strict=True))
        title = say("Qualidade e velocidade", "Quality and speed")
        note = say(
            "direita e abaixo é melhor; verde: o melhor que cabe", "right and lower is better; green: best that fits"
        )
        where = say("tokens por segundo nesta CPU", "tokens per second on this CPU")
        yield (
            title,
            quality_of(facts.choice, _picture(say, "speed", title, says), where, y, speeds, note, say),
        )


def scores(evaluation: Evaluation, say: Tongue) -> Iterator[tuple[str, str]]:
    """A box plot a score: every set and model."""
    for name in SCORES:
        rows, low = [], ""
        for number, model in enumerate(evaluation.models):
            for place, in_set in enumerate(evaluation.sets):
                result = evaluation.result(model.name, in_set)
                found = result.measure(name) if result else None
                if found is None or found.spread is None:
                    continue
                s = found.spread
                box = Box(say.model(model.name), s.minimum, s.quartile_1, s.median, s.quartile_3, s.maximum, number)
                rows.append((place, number, in_set, box))
                low += f"{say.model(in_set)}, {say.model(model.name)}: {say.number(found.value)}; "
        if not rows:
            continue
        rows.sort(key=lambda row: row[:2])
        boxes = []
        for at, (_, _, in_set, box) in enumerate(rows):
            first = len(evaluation.sets) > 1 and (at == 0 or rows[at - 1][2] != in_set)
            boxes.append(Box(**(vars(box) | {"group": say.model(in_set) if first else ""})))
        edges = [edge for box in boxes for edge in (box.low, box.high)]
        x = axes.axis(edges, f"{say.measure(name)}, 0–1", write=say.short)
        yield say.measure(name), figures.boxes(_picture(say, name.replace(".", "-"), say.measure(name), low), x, boxes)


def judged(evaluation: Evaluation, say: Tongue) -> Iterator[tuple[str, str]]:
    """How a judge's scores are spread, a plot a criterion."""
    judgement = evaluation.judgement
    if judgement is None:
        return
    titles = {"accuracy": say("Exatidão", "Accuracy"), "style": say("Estilo", "Style")}
    for criterion, title in titles.items():
        scored = [s for s in judgement.scores if s.criterion == criterion]
        rows = [
            (
                say.model(s.model),
                [s.shares.get(score, (0.0, 0.0, 0.0))[0] for score in (1, 2, 3)],
                f"{say.number(s.mean, 2)}",
            )
            for s in scored
        ]
        if rows:
            names = [say("1 ruim", "1 poor"), say("2 regular", "2 fair"), say("3 bom", "3 good")]
            says = "; ".join(
                f"{say.model(s.model)}: {say('média', 'mean')} {say.number(s.mean, 2)} "
                f"[{say.number(s.low, 2)}, {say.number(s.high, 2)}], n = {s.n}"
                for s in scored
            )
            yield title, figures.shares(_picture(say, f"judge-{criterion}", title, says), names, rows)


def _picture(say: Tongue, name: str, title: str, says: str) -> Picture:
    return Picture(f"{name}-{say.code}", title, says)
