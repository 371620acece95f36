"""Facts -> `report.html`: both languages in one file, chosen without a script; nothing is fetched.

The texts stand in the templates beside this module, in both languages side by side. Everything that comes from
the build is escaped.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from packager import __version__
from packager.report import answers, pictures, word_diff
from packager.report.causes import cause_of
from packager.report.facts import ReportFacts
from packager.report.fit_words import default_because
from packager.report.plots.figures import STYLE
from packager.report.verdict import verdict_of
from packager.report.words import ENGLISH, PORTUGUESE, Tongue

HERE = Path(__file__).parent
UNFOLDED = 6
"""Questions whose answers are shown at once; the others open at a touch, and in print."""


def render_page(facts: ReportFacts) -> str:
    """The whole report. It opens in the recipe's language."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    tongues = (PORTUGUESE, ENGLISH) if facts.recipe.language == "pt-BR" else (ENGLISH, PORTUGUESE)
    style = STYLE + (HERE / "report.css").read_text(encoding="utf-8")
    bodies = [(say, Markup(environment.get_template("body.jinja").render(_seen(facts, say)))) for say in tongues]
    return environment.get_template("report.jinja").render(facts=facts, bodies=bodies, style=Markup(style)) + "\n"


def _seen(facts: ReportFacts, say: Tongue) -> dict[str, Any]:
    """What the template of one language is rendered from."""
    evaluation = facts.evaluation
    return {
        "say": say,
        "facts": facts,
        "version": __version__,
        "evaluation": evaluation,
        "measured": {c.type: c for c in facts.choice.candidates},
        "verdict": verdict_of(facts, say),
        "findings": answers.findings(facts, say),
        "limits": list(answers.limits(facts, say)),
        "default_because": default_because(facts.choice, facts.recipe.quantize.types[0], facts.default_because, say),
        "failed": facts.proof.failed,
        "cause": lambda check: say(*cause_of(check)),
        "waived": [c for c in facts.proof.checks if c.waived],
        "stages": answers.by_stage(facts),
        "sign": answers.sign,
        "compare": word_diff.compare,
        "unfolded": UNFOLDED,
        "marked": word_diff.marked,
        "smoke": _smoke(facts),
        "loss": _image(pictures.loss(facts, say)),
        "lengths": _image(pictures.lengths(facts, say)),
        "quality": [(title, _image(text)) for title, text in pictures.quality(facts, say)],
        "scores": [(title, _image(text)) for title, text in (pictures.scores(evaluation, say) if evaluation else ())],
        "judged": [(title, _image(text)) for title, text in (pictures.judged(evaluation, say) if evaluation else ())],
        "measures": {name: _measures(facts, name) for name in (evaluation.sets if evaluation else ())},
    }


def _image(svg: str) -> Markup:
    return Markup(svg)


def _smoke(facts: ReportFacts) -> list[dict[str, Any]]:
    """The smoke test's questions, each with what every file answered and the words that the recipe expects."""
    expected = {q.ask: q.expect_any for q in facts.recipe.smoke}
    types = {f.name: f.type for f in facts.files}
    asked = dict.fromkeys(a.ask for a in facts.proof.answers)
    return [
        {
            "ask": ask,
            "expected": expected.get(ask, ()),
            "answers": [(types.get(a.file, a.file), a) for a in facts.proof.answers if a.ask == ask],
        }
        for ask in asked
    ]


def _measures(facts: ReportFacts, name: str) -> list[tuple[str, list[Any], Any]]:
    """For a validation set: measure, its value for each model (or None), and the best of them."""
    assert facts.evaluation is not None
    results = [facts.evaluation.result(model.name, name) for model in facts.evaluation.models]
    rows = []
    for measure in dict.fromkeys(m.name for r in results if r for m in r.measures):
        found = [r.measure(measure) if r else None for r in results]
        there = [m for m in found if m]
        way = max if there[0].better == "higher" else min
        differ = len({m.value for m in there}) > 1
        best = way(there, key=lambda m: m.value) if there[0].better and differ else None
        rows.append((measure, found, best))
    return rows
