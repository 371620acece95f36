"""An audit and some rows as they are trained -> one page that shows the data; nothing is fetched.

It is for the author of the data and stays on this machine: it shows what rows say, without those that name patients.
Everything that comes from the data is escaped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import jinja2
from markupsafe import Markup

from packager.data.audit.preparation import Prepared
from packager.data.audit.report import TokenLengths
from packager.data.audit.shown import ShownRow
from packager.report.data_words import contradiction, damage, places, reason
from packager.report.plots import axes, figures
from packager.report.plots.figures import STYLE, Picture
from packager.report.words import ENGLISH, PORTUGUESE, Tongue

HERE = Path(__file__).parent
TOPICS = 40
"""Topics that are listed, the largest first."""


def render_data_page(name: str, language: str, prepared: Prepared, rows: Sequence[ShownRow]) -> str:
    """The page, in the recipe's language; `rows` are shown whole."""
    say = PORTUGUESE if language == "pt-BR" else ENGLISH
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    audit = prepared.audit
    topics = Counter(row.topic for row in (*prepared.train, *prepared.heldout) if row.topic)
    held = Counter(row.topic for row in prepared.heldout if row.topic)
    return environment.get_template("data.jinja").render(
        say=say,
        name=name,
        audit=audit,
        train=len(prepared.train),
        heldout=len(prepared.heldout),
        topics=[(topic, rows, held[topic]) for topic, rows in topics.most_common(TOPICS)],
        more_topics=max(0, len(topics) - TOPICS),
        lengths=Markup(_lengths(audit.tokens, say)) if audit.tokens else "",
        places=places,
        reason=reason,
        damage=damage,
        contradiction=contradiction,
        rows=rows,
        style=Markup(STYLE + (HERE / "report.css").read_text(encoding="utf-8")),
    )


def _lengths(tokens: TokenLengths, say: Tongue) -> str:
    columns = [(float(b.low), float(b.high + 1), float(b.rows)) for b in tokens.histogram]
    x = axes.axis([edge for low, high, _ in columns for edge in (low, high)], "tokens", write=say.short)
    y = axes.axis([height for _, _, height in columns], say("linhas", "rows"), zero=True, write=say.short)
    title = say("Comprimento das linhas", "Length of the rows")
    says = say(
        f"De {tokens.shortest} a {tokens.longest} tokens, mediana {tokens.median}.",
        f"From {tokens.shortest} to {tokens.longest} tokens, median {tokens.median}.",
    )
    return figures.bars(Picture("lengths", title, says), x, y, columns, (float(tokens.limit), say("limite", "limit")))
